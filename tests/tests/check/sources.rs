//! What a source may leave unchecked, and how it is called.

use expect_test::expect;

use super::{Folder, GOOD, check};

#[test]
fn what_proves_nothing_is_taken_only_from_a_provider_that_cannot() {
    let config = r#"
[sources.asked]
provider = "dockerhub"
verify = "none"

[sources.empty]
provider = "stripe"
secrets = []

[sources.seeming]
provider = "dockerhub"
verify = "none"
secrets = ["env:PATH"]

[sources.signed]
provider = "stripe"
verify = "none"

[sources.unasked]
provider = "dockerhub"
"#;
    check(
        &Folder::with(config),
        78,
        &expect![[r#"
            warning: `sources.asked.verify` lets in anyone who knows the URL: provider `dockerhub` proves nothing
              --> hookfast.toml:4:10
             4 | verify = "none"
               |          ^^^^^^
              help: say with `allow_from` where it sends from, and let plugins ask the provider before they act on an event

            error: `secrets` is missing or empty: nothing could be verified; write `secrets = ["env:NAME"]` or `["file:PATH"]`
              --> hookfast.toml:6:1
             6 | [sources.empty]
               | ^^^^^^^^^^^^^^^

            error: `verify = "none"` checks nothing, so `secrets` would only look as if
              --> hookfast.toml:12:10
             12 | verify = "none"
                |          ^^^^^^
              help: take `secrets` out

            error: provider `stripe` proves its requests: `verify = "none"` would let in anyone who knows the URL; give its `secrets`
              --> hookfast.toml:17:10
             17 | verify = "none"
                |          ^^^^^^

            error: provider `dockerhub` proves nothing that the host could check (unsigned; secret path; callback_url must be hub.docker.com (SSRF)); a source that takes its events all the same says `verify = "none"`
              --> hookfast.toml:19:1
             19 | [sources.unasked]
                | ^^^^^^^^^^^^^^^^^

            4 errors, 1 warning in hookfast.toml
        "#]],
    );
}

#[test]
fn a_source_can_be_called_by_its_provider_where_no_other_has_it() {
    let send = |folder: &Folder| {
        let output = folder.hookfast(&["send", "stripe", "invoice.paid", "--url", "http://127.0.0.1:1"]);
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    assert_eq!(send(&Folder::with(GOOD)).0, Some(3), "the source is found, and nobody listens");
    let second = "[sources.subscriptions]\nprovider = \"stripe\"\nsecrets = [\"literal:s\"]\n";
    let (code, told) = send(&Folder::with(GOOD).and("conf.d/more.toml", second));
    assert_eq!(code, Some(2), "{told}");
    assert!(
        told.contains("several sources in hookfast.toml are of the provider `stripe`; send to one of them: shop, subscriptions"),
        "{told}"
    );
}

#[test]
fn a_source_may_describe_its_provider_itself() {
    let config = r#"
[sources.good]
secrets = ["env:PATH"]

[sources.good.provider]
event_type = "header:x-kind"
schemes = [{ carrier = "header:x-sig", algorithm = "hmac-sha256", encoding = "hex", key = "utf8", message = "{body}" }]

[sources.bad]
secrets = ["env:PATH"]
provider = { schemes = [{ carrier = "header:x-sig", algorithm = "hmac-sha256", encoding = "hex", key = "utf8", message = "{header:x-id}" }] }
"#;
    check(
        &Folder::with(config),
        78,
        &expect![[r#"
        error: the proof covers the body (`{body}` in the message, or in a claim), or the scheme says `partial = true`
          --> hookfast.toml:11:25
         11 | provider = { schemes = [{ carrier = "header:x-sig", algorithm = "hmac-sha256", encoding = "hex", key = "utf8", message = "{header:x-id}" }] }
            |                         ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^

        1 error, 0 warnings in hookfast.toml
    "#]],
    );
}
