//! What may be said of alerts.

use expect_test::expect;

use super::{Folder, GOOD, check};

const UPSTREAM: &str = "[upstreams.ops]\nurl = \"https://ops.example.com\"\n";

#[test]
fn alerts_need_no_more_than_somebody_to_tell() {
    let config = format!("{GOOD}{UPSTREAM}[alerts]\nto = [{{ upstream = \"ops\", path = \"/hooks\" }}]\n");
    assert_eq!(Folder::with(&config).exit_code(&["check"]), Some(0));
    let rules = "[alerts.rules]\ndead_letters = false\noldest = true\nerrors = { share = 0.2 }\nrefusals = false\nupstreams = false\n";
    assert_eq!(Folder::with(&format!("{config}{rules}")).exit_code(&["check"]), Some(0));
    let in_another_file = Folder::with(&format!("{GOOD}{UPSTREAM}")).and("conf.d/alerts.toml", "[alerts]\nevery = \"1m\"\n");
    assert_eq!(in_another_file.exit_code(&["check"]), Some(0));
}

#[test]
fn mistakes_about_alerts_are_told_with_their_places() {
    let config = r#"
[alerts]
to = [{ upstream = "opps", path = "hooks" }, { upstream = "ops", format = "email" }]
every = "0s"
group = "2h"
repeat = "10s"

[alerts.rules]
dead_letters = 0
oldest = "never"
errors = { share = 1.5, minimum = 0, windows = "5m" }
traps = { window = "1s" }
refusals = 5
upstreams = "all"
latency = true

[upstreams.ops]
url = "https://ops.example.com"
"#;
    check(
        &Folder::with(config),
        78,
        &expect![[r#"
            error: upstream `opps` is not configured
              --> hookfast.toml:3:20
             3 | to = [{ upstream = "opps", path = "hooks" }, { upstream = "ops", format = "email" }]
               |                    ^^^^^^
              help: add [upstreams.opps]

            error: `alerts.to[0].path` is `hooks`: a path begins with one `/`; it is appended to the upstream's base URL
              --> hookfast.toml:3:35
             3 | to = [{ upstream = "opps", path = "hooks" }, { upstream = "ops", format = "email" }]
               |                                   ^^^^^^^

            error: `alerts.to[1].format` cannot be `email`
              --> hookfast.toml:3:75
             3 | to = [{ upstream = "opps", path = "hooks" }, { upstream = "ops", format = "email" }]
               |                                                                           ^^^^^^^
              help: allowed here: webhook, slack

            error: `alerts.every` must be between 1s and 3600s
              --> hookfast.toml:4:9
             4 | every = "0s"
               |         ^^^^

            error: `alerts.group` must be between 1s and 3600s
              --> hookfast.toml:5:9
             5 | group = "2h"
               |         ^^^^

            error: `alerts.repeat` must be between 60s and 2592000s
              --> hookfast.toml:6:10
             6 | repeat = "10s"
               |          ^^^^^

            error: `alerts.rules.dead_letters` is 0; it must be between 1 and 1000000000
              --> hookfast.toml:9:16
             9 | dead_letters = 0
               |                ^

            error: `alerts.rules.oldest` is `never`: a duration is a number and one of ms, s, m, h, d, as in "30s"
              --> hookfast.toml:10:10
             10 | oldest = "never"
                |          ^^^^^^^

            error: `alerts.rules.errors.share` is 1.5; it must be between 0.001 and 1
              --> hookfast.toml:11:20
             11 | errors = { share = 1.5, minimum = 0, windows = "5m" }
                |                    ^^^

            error: `alerts.rules.errors.minimum` is 0; it must be between 1 and 1000000000
              --> hookfast.toml:11:35
             11 | errors = { share = 1.5, minimum = 0, windows = "5m" }
                |                                   ^

            error: unknown key `windows` in [alerts.rules.errors]
              --> hookfast.toml:11:38
             11 | errors = { share = 1.5, minimum = 0, windows = "5m" }
                |                                      ^^^^^^^
              help: did you mean `window`? allowed here: minimum, share, window

            error: `alerts.rules.traps.window` must be between 10s and 3600s
              --> hookfast.toml:12:20
             12 | traps = { window = "1s" }
                |                    ^^^^

            error: `alerts.rules.refusals` must be a table, found integer
              --> hookfast.toml:13:12
             13 | refusals = 5
                |            ^

            error: `alerts.rules.upstreams` must be true or false, found string
              --> hookfast.toml:14:13
             14 | upstreams = "all"
                |             ^^^^^

            error: unknown key `latency` in [alerts.rules]
              --> hookfast.toml:15:1
             15 | latency = true
                | ^^^^^^^
              help: allowed here: dead_letters, errors, oldest, refusals, traps, upstreams

            15 errors, 0 warnings in hookfast.toml
        "#]],
    );
}

#[test]
fn the_name_of_the_topic_is_the_hosts_once_alerts_are_configured() {
    let named = r#"
[sources.alerts]
provider = "stripe"
secrets = ["env:PATH"]
"#;
    assert_eq!(Folder::with(named).exit_code(&["check"]), Some(0));
    check(
        &Folder::with(&format!("[alerts]\n{named}")),
        78,
        &expect![[r#"
            warning: nobody is told of alerts: `to` is empty, and no plugin is subscribed by [topics.alerts]
              --> hookfast.toml:1:1
             1 | [alerts]
               | ^^^^^^^^
              help: add `to = [{ upstream = "NAME" }]`; what fires is shown by `hookfast alerts list`

            error: `alerts` is the topic that [alerts] tells by; a source cannot have its name
              --> hookfast.toml:3:10
             3 | [sources.alerts]
               |          ^^^^^^
              help: give the source another name

            1 error, 1 warning in hookfast.toml
        "#]],
    );
    let topic = "[topics.alerts]\nroutes = [{ plugin = \"pager\" }, { plugin = \"alerts\" }]\n";
    check(
        &Folder::with(&format!("[alerts]\n{topic}")),
        78,
        &expect![[r#"
            error: the route `alerts` of the topic `alerts` is the host's own, which tells the receivers of [alerts]
              --> hookfast.toml:2:9
             2 | [topics.alerts]
               |         ^^^^^^
              help: give the route another `name`

            warning: plugin `pager` is not in the plugin directory yet
              --> hookfast.toml:3:22
             3 | routes = [{ plugin = "pager" }, { plugin = "alerts" }]
               |                      ^^^^^^^
              help: its jobs wait parked, and senders whose requests it proves are told to come back, until pager.wasm is there

            warning: plugin `alerts` is not in the plugin directory yet
              --> hookfast.toml:3:44
             3 | routes = [{ plugin = "pager" }, { plugin = "alerts" }]
               |                                            ^^^^^^^^
              help: its jobs wait parked, and senders whose requests it proves are told to come back, until alerts.wasm is there

            1 error, 2 warnings in hookfast.toml
        "#]],
    );
}
