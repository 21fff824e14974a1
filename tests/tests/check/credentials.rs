//! What the operator says of upstreams: their credentials and certificates, and what goes wrong there on purpose.

use expect_test::expect;
use hookfast_tests::build::root;

use super::{Folder, GOOD, check};

#[test]
fn credentials_that_cannot_be_used_are_told_and_not_shown() {
    let config = r#"
[upstreams.clear]
url = "https://crm.example.com"
auth = { oauth2 = { token_url = "http://login.example.com/token", client_id = "a", client_secret = "env:PATH" } }

[upstreams.plain]
url = "http://crm.example.com"
auth = { bearer = "env:PATH" }

[upstreams.signed]
url = "http://crm.example.com"
auth = { standard_webhooks = "literal:whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw" }

[upstreams.half]
url = "https://crm.example.com"
auth = { oauth2 = { token_url = "login.example.com", client_id = "a", style = "header" } }

[upstreams.twice]
url = "https://crm.example.com"
auth = { bearer = "env:PATH", hmac = { secret = "env:PATH" } }

[upstreams.unsigned]
url = "https://crm.example.com"
auth = { hmac = { secret = "env:PATH", over = "{timestamp}{path}" } }

[upstreams.unknown]
url = "https://crm.example.com"
auth = { hmac = { secret = "env:PATH", over = "{bdy}", algorithm = "md5" } }

[upstreams.nobody]
url = "https://crm.example.com"
tls = { certificate = "file:hookfast.toml" }

[upstreams.no-pem]
url = "https://crm.example.com"
tls = { ca = "file:hookfast.toml" }
redirects = 11
stale_if_error = "0s"
"#;
    check(
        &Folder::with(config),
        78,
        &expect![[r#"
            error: `upstreams.clear.auth.oauth2.token_url` is not https: id and secret would cross the internet in the clear (RFC 6749 §3.2)
              --> hookfast.toml:4:33
             4 | auth = { oauth2 = { token_url = "..............................", client_id = ".", client_secret = "env:PATH" } }
               |                                 ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
              help: in the own network `allow_private = true` allows it

            warning: `upstreams.plain.url` is not https: credentials cross the internet in the clear
              --> hookfast.toml:7:7
             7 | url = "http://crm.example.com"
               |       ^^^^^^^^^^^^^^^^^^^^^^^^
              help: use https; in the own network `allow_private = true` allows it

            warning: `upstreams.signed.auth.standard_webhooks` holds a secret in plain sight
              --> hookfast.toml:12:30
             12 | auth = { standard_webhooks = ".............................................." }
                |                              ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
              help: put it into a file or the environment, and refer to it with file: or env:

            error: `client_secret` is missing in [upstreams.half.auth.oauth2]
              --> hookfast.toml:16:19
             16 | auth = { oauth2 = { token_url = ".................", client_id = ".", style = "......" } }
                |                   ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^

            error: `upstreams.half.auth.oauth2.token_url` is `login.example.com`: a token URL is like https://login.example.com/oauth2/token, without user and fragment
              --> hookfast.toml:16:33
             16 | auth = { oauth2 = { token_url = ".................", client_id = ".", style = "......" } }
                |                                 ^^^^^^^^^^^^^^^^^^^

            error: `upstreams.half.auth.oauth2.style` cannot be `header`
              --> hookfast.toml:16:79
             16 | auth = { oauth2 = { token_url = ".................", client_id = ".", style = "......" } }
                |                                                                               ^^^^^^^^
              help: allowed here: basic, body

            error: `auth` is one of: { bearer = "env:…" }, { basic = { user, password } }, { header = { name, value } }, { oauth2 = { token_url, client_id, client_secret } }, { hmac = { secret } }, { standard_webhooks = "env:…" }
              --> hookfast.toml:20:8
             20 | auth = { bearer = "env:PATH", hmac = { secret = "env:PATH" } }
                |        ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^

            error: these credentials cannot be sent: what `hmac` signs has no {body} in it, so that anyone could send another one
              --> hookfast.toml:24:8
             24 | auth = { hmac = { secret = "env:PATH", over = "................." } }
                |        ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^

            error: `upstreams.unknown.auth.hmac.over` is `{bdy}`: `{bdy}` is none of {timestamp}, {method}, {path} and {body}
              --> hookfast.toml:28:47
             28 | auth = { hmac = { secret = "env:PATH", over = ".....", algorithm = "..." } }
                |                                               ^^^^^^^

            error: `upstreams.unknown.auth.hmac.algorithm` cannot be `md5`
              --> hookfast.toml:28:68
             28 | auth = { hmac = { secret = "env:PATH", over = ".....", algorithm = "..." } }
                |                                                                    ^^^^^
              help: allowed here: sha256, sha1, sha512

            error: `certificate` and `key` of `tls` belong together
              --> hookfast.toml:32:7
             32 | tls = { certificate = "file:hookfast.toml" }
                |       ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^

            error: these certificates cannot be used: `ca` holds no certificate in PEM form
              --> hookfast.toml:36:7
             36 | tls = { ca = "file:hookfast.toml" }
                |       ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^

            error: `upstreams.no-pem.redirects` is 11; it must be between 0 and 10
              --> hookfast.toml:37:13
             37 | redirects = 11
                |             ^^

            error: `upstreams.no-pem.stale_if_error` must be between 1s and 2592000s
              --> hookfast.toml:38:18
             38 | stale_if_error = "0s"
                |                  ^^^^

            12 errors, 2 warnings in hookfast.toml
        "#]],
    );
}

#[test]
fn faults_on_purpose_are_refused_unless_they_are_meant() {
    let config = r#"
[upstreams.crm]
url = "https://crm.example.com"

[faults.upstreams.crm]
refuse = 0.1
latency = "0.2@300ms"
"#;
    check(
        &Folder::with(config),
        78,
        &expect![[r#"
            error: [faults] breaks calls on purpose, and is refused unless it says that it is meant
              --> hookfast.toml:5:2
             5 | [faults.upstreams.crm]
               |  ^^^^^^
              help: set allow_faults = true, or take the section away

            1 error, 0 warnings in hookfast.toml
        "#]],
    );
}

#[test]
fn faults_that_make_no_sense_are_told_with_their_places() {
    let config = r#"
[upstreams.crm]
url = "https://crm.example.com"

[upstreams.mail]
url = "https://mail.example.com"

[faults]
allow_faults = true

[faults.upstreams.crm]
refuse = 1.5
reset = "sometimes"
sulk = 0.1

[faults.upstreams.mail]
refuse = 0.6
html = 0.6

[faults.upstreams.chat]
hang = "first:3"
"#;
    check(
        &Folder::with(config),
        78,
        &expect![[r#"
            warning: faults are active on purpose: chat:hang=first:3
              --> hookfast.toml:8:1
             8 | [faults]
               | ^^^^^^^^
              help: take [faults] away where calls matter

            error: `faults.upstreams.crm.refuse` is 1.5; it must be between 0 and 1
              --> hookfast.toml:12:10
             12 | refuse = 1.5
                |          ^^^

            error: `faults.upstreams.crm.reset`: `sometimes` is none of a share from 0 to 1, `first:N` and `always`
              --> hookfast.toml:13:9
             13 | reset = "sometimes"
                |         ^^^^^^^^^^^

            error: `faults.upstreams.crm.sulk`: `sulk` is no fault; there are refuse, reset, latency, hang, too_many, server_error, truncate, html, drip
              --> hookfast.toml:14:8
             14 | sulk = 0.1
                |        ^^^

            error: the shares of the faults are over 1 together
              --> hookfast.toml:16:1
             16 | [faults.upstreams.mail]
                | ^^^^^^^^^^^^^^^^^^^^^^^

            error: upstream `chat` is not configured, and nothing can go wrong at it
              --> hookfast.toml:20:19
             20 | [faults.upstreams.chat]
                |                   ^^^^
              help: add [upstreams.chat]

            5 errors, 1 warning in hookfast.toml
        "#]],
    );
}

#[test]
fn faults_that_are_meant_are_shown() {
    let config = format!(
        "{GOOD}[upstreams.crm]\nurl = \"https://crm.example.com\"\n[faults]\nallow_faults = true\nseed = 7\n\
         [faults.upstreams.crm]\nrefuse = 0.1\nhang = \"first:3\"\nlatency = \"always@250ms\"\n"
    );
    let output = Folder::with(&config).hookfast(&["check"]);
    assert_eq!(output.status.code(), Some(0));
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(told.contains("faults are active on purpose: crm:"), "{told}");
}

#[test]
fn the_configuration_of_the_documentation_can_be_used() {
    let page = std::fs::read_to_string(root().join("docs/upstreams.md")).expect("the page");
    let blocks: String = page.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    // What the page takes from the environment stands in a file here, and what stands in its comments is tried as well.
    let secret = |text: &str| text.replace("env:", "file:secrets-").replace("file:secrets/", "file:secrets-");
    let commented = blocks.lines().filter_map(|line| line.strip_prefix("# auth = ").map(|auth| format!("auth = {auth}")));
    let others =
        commented.enumerate().map(|(place, auth)| format!("[upstreams.other-{place}]\nurl = \"https://crm.example.com\"\n{auth}\n"));
    let config = secret(&format!("{GOOD}{blocks}{}", others.collect::<String>())).replace("file:tls/", "file:");
    let certificates = root().join("runtime/src/upstream/tests/certificates");
    let read = |name: &str| std::fs::read_to_string(certificates.join(name)).expect("a file");
    let mut folder = Folder::with(&config).and("client.pem", &read("client.pem")).and("client.key", &read("client.key"));
    folder = folder.and("bank-ca.pem", &read("ca.pem"));
    for name in ["CRM_TOKEN", "CRM_PASSWORD", "crm", "ERP_SECRET", "SHOP_SECRET"] {
        folder = folder.and(&format!("secrets-{name}"), "hunter2\n");
    }
    let folder = folder.and("secrets-CRM_SIGNING_SECRET", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n");
    let output = folder.hookfast(&["check"]);
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0), "{told}");
    assert!(told.contains("trial:refuse=0.1,latency=always@250ms,server_error=first:3@503"), "{told}");
}
