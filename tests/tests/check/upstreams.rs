//! What an upstream's policies may be.

use expect_test::expect;

use super::{Folder, GOOD, check};

#[test]
fn mistakes_about_policies_are_told_with_their_places() {
    let upstreams = r#"
[upstreams.crm]
url = "http://127.0.0.1:9"
concurrency = 0
rate = "many"
wait = "1h"
idempotent = "yes"
retries = 9
breaker = { failure_rate = 50, slow_after = "40s", open = "1m", open_max = "10s", probe = 3 }

[upstreams.erp]
url = "http://127.0.0.1:9"
rate = { per_second = 5 }
breaker = "off"
"#;
    check(
        &Folder::with(&format!("{GOOD}{upstreams}")),
        78,
        &expect![[r#"
            warning: `sources.shop.secrets[0]` holds a secret in plain sight
              --> hookfast.toml:8:12
             8 | secrets = ["........."]
               |            ^^^^^^^^^^^
              help: put it into a file or the environment, and refer to it with file: or env:

            warning: `upstreams.crm.url` is at 127.0.0.1, which is not on the public internet: its calls are refused
              --> hookfast.toml:11:7
             11 | url = "http://127.0.0.1:9"
                |       ^^^^^^^^^^^^^^^^^^^^
              help: `allow_private = true` allows this upstream to be in the own network

            error: `upstreams.crm.concurrency` is 0; it must be between 1 and 10000
              --> hookfast.toml:12:15
             12 | concurrency = 0
                |               ^

            error: `upstreams.crm.rate` is `many`: a rate is a whole number up to 1000000 and one of /s, /m, /h, as in "100/s"
              --> hookfast.toml:13:8
             13 | rate = "many"
                |        ^^^^^^

            error: `upstreams.crm.wait` must be between 0ns and 30s
              --> hookfast.toml:14:8
             14 | wait = "1h"
                |        ^^^^

            error: `upstreams.crm.idempotent` must be true or false, found string
              --> hookfast.toml:15:14
             15 | idempotent = "yes"
                |              ^^^^^

            error: `upstreams.crm.retries` is 9; it must be between 0 and 5
              --> hookfast.toml:16:11
             16 | retries = 9
                |           ^

            error: `open_max` is shorter than `open`: the time for which the breaker is open grows from `open` to `open_max`
              --> hookfast.toml:17:11
             17 | breaker = { failure_rate = 50, slow_after = "40s", open = "1m", open_max = "10s", probe = 3 }
                |           ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^

            error: `upstreams.crm.breaker.failure_rate` is 50; it must be between 0.01 and 1
              --> hookfast.toml:17:28
             17 | breaker = { failure_rate = 50, slow_after = "40s", open = "1m", open_max = "10s", probe = 3 }
                |                            ^^

            error: `upstreams.crm.breaker.slow_after` is 40s: no call is ever so slow
              --> hookfast.toml:17:45
             17 | breaker = { failure_rate = 50, slow_after = "40s", open = "1m", open_max = "10s", probe = 3 }
                |                                             ^^^^^
              help: a call ends after 30s, the upstream's `timeouts.total`; choose less

            error: unknown key `probe` in [upstreams.crm.breaker]
              --> hookfast.toml:17:83
             17 | breaker = { failure_rate = 50, slow_after = "40s", open = "1m", open_max = "10s", probe = 3 }
                |                                                                                   ^^^^^
              help: did you mean `probes`? allowed here: failure_rate, growth, minimum_calls, open, open_max, probes, slow_after, slow_rate, window

            warning: `upstreams.erp.url` is at 127.0.0.1, which is not on the public internet: its calls are refused
              --> hookfast.toml:20:7
             20 | url = "http://127.0.0.1:9"
                |       ^^^^^^^^^^^^^^^^^^^^
              help: `allow_private = true` allows this upstream to be in the own network

            error: `burst` is missing in [upstreams.erp.rate]
              --> hookfast.toml:21:8
             21 | rate = { per_second = 5 }
                |        ^^^^^^^^^^^^^^^^^^

            error: `upstreams.erp.breaker` must be true or false, found string
              --> hookfast.toml:22:11
             22 | breaker = "off"
                |           ^^^^^

            11 errors, 3 warnings in hookfast.toml
        "#]],
    );
}

#[test]
fn good_policies_are_taken() {
    let upstream = r#"
[upstreams.crm]
url = "http://127.0.0.1:9"
concurrency = 32
rate = "100/s"
wait = "1s"
idempotent = true
retries = 1
breaker = { failure_rate = 0.5, slow_rate = 0.9, slow_after = "5s", window = "30s", minimum_calls = 20, open = "5s", open_max = "5m", probes = 3 }
"#;
    assert_eq!(Folder::with(&format!("{GOOD}{upstream}")).exit_code(&["check"]), Some(0));
}
