//! Tests of the rules that the engine fixes for every provider, each from both sides.

use std::time::Duration;

use crate::document::{self, Mistakes};
use crate::domain::{Held, RawRequest, RefusalCause, Secret, Verified};

use super::sender::{NOW, Sender, WHSEC, edited, secret};
use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn verdict(sender: &Sender, request: &RawRequest) -> Result<Verified, RefusalCause> {
    sender.verifier.verify(request, NOW)
}

fn refusal(sender: &Sender, request: &RawRequest) -> &'static str {
    verdict(sender, request).expect_err("a refusal").code()
}

fn without(request: RawRequest, header: &str) -> RawRequest {
    edited(request, |name, value| (name != header).then(|| value.into()))
}

fn with_value(request: RawRequest, header: &str, new: &str) -> RawRequest {
    edited(request, |name, value| Some(if name == header { new } else { value }.into()))
}

fn twice(mut request: RawRequest, header: &str) -> RawRequest {
    let value = request.headers.only(header).expect("a header").to_vec();
    request.headers.push(header, value);
    request
}

/// The scheme and the secret that held.
fn held(verified: &Verified) -> (usize, usize) {
    let held = verified.held.expect("a proof");
    (held.scheme, held.secret)
}

#[test]
fn what_is_signed_is_accepted_and_the_proof_says_what_it_covers() {
    let sender = Sender::new("standard-webhooks", WHSEC);
    let signed_headers = vec!["webhook-id".into(), "webhook-timestamp".into()];
    let expected = Verified {
        held: Some(Held { scheme: 0, secret: 0 }),
        signed_headers,
        vouches_for_body: true,
        is_token: false,
        secret_header: None,
    };
    assert_eq!(verdict(&sender, &sender.with("{}", &[])), Ok(expected));
}

#[test]
fn each_header_must_be_there_once() {
    let sender = Sender::new("standard-webhooks", WHSEC);
    for header in ["webhook-id", "webhook-timestamp", "webhook-signature"] {
        let request = sender.with("{}", &[]);
        let missing = RefusalCause::MissingHeader { header: header.into() };
        assert_eq!(verdict(&sender, &without(request.clone(), header)), Err(missing));
        assert_eq!(verdict(&sender, &twice(request, header)), Err(RefusalCause::DuplicateHeader { header: header.into() }));
    }
}

#[test]
fn a_malformed_header_is_told_with_what_is_expected() {
    let told = |provider: &str, secret: &str, header: &str, value: &str| {
        let sender = Sender::new(provider, secret);
        match verdict(&sender, &with_value(sender.with("{}", &[]), header, value)) {
            Err(RefusalCause::MalformedHeader { header, expected }) => format!("{header}: {expected}"),
            other => panic!("{other:?}"),
        }
    };
    let stripe = "stripe-signature: `t=<unix seconds>,v1=<64 hexadecimal digits>`";
    for value in ["", "t=1700000000", "v1=aa", "t=1,t=2,v1=aa", "t=1700000000,v1=zz", "t=+1700000000,v1=aa", "t=1700000000,v0=aa"] {
        assert_eq!(told("stripe", "s", "stripe-signature", value), stripe, "{value}");
    }
    let github = "x-hub-signature-256: `sha256=<64 hexadecimal digits>`";
    assert_eq!(told("github", "s", "x-hub-signature-256", "foo"), github);
    assert_eq!(told("github", "s", "x-hub-signature-256", "sha256=abcd"), github);
    let standard = "webhook-signature: `v1,<base64 of 32 bytes>`, several separated by ' '";
    assert_eq!(told("standard-webhooks", WHSEC, "webhook-signature", "v1a,AAAA"), standard);
    assert_eq!(told("standard-webhooks", WHSEC, "webhook-timestamp", "17e8"), "webhook-timestamp: `<unix seconds>`");
    assert_eq!(told("standard-webhooks", WHSEC, "webhook-id", "a.b"), "webhook-id: visible characters, none of them `.`");
    assert_eq!(told("token", "s", "authorization", "bearer s"), "authorization: `Bearer <token>`");
}

#[test]
fn a_timestamp_holds_for_the_tolerance_in_both_directions() {
    let check = |provider: &str, secret: &str, tolerance: Option<Duration>, seconds: u64| {
        let sender = Sender::with_options(provider, &[secret], &Options { tolerance, ..Options::default() });
        let (limit, skew) = (SECOND * u32::try_from(seconds).expect("seconds"), SECOND * u32::try_from(seconds + 1).expect("seconds"));
        assert!(verdict(&sender, &sender.at(NOW - limit, b"{}", &[])).is_ok());
        assert!(verdict(&sender, &sender.at(NOW + limit, b"{}", &[])).is_ok());
        let old = RefusalCause::TimestampTooOld { skew, tolerance: limit };
        assert_eq!(verdict(&sender, &sender.at(NOW - skew, b"{}", &[])), Err(old));
        let new = RefusalCause::TimestampTooNew { skew, tolerance: limit };
        assert_eq!(verdict(&sender, &sender.at(NOW + skew, b"{}", &[])), Err(new));
    };
    check("stripe", "s", None, 300);
    check("slack", "s", None, 300);
    check("standard-webhooks", WHSEC, None, 300);
    check("stripe", "s", Some(SECOND * 60), 60);
}

#[test]
fn a_stale_request_with_a_wrong_signature_is_above_all_wrong() {
    let (sender, stranger) = (Sender::new("stripe", "s"), Sender::new("stripe", "other"));
    assert_eq!(refusal(&sender, &stranger.at(NOW - SECOND * 900, b"{}", &[])), "wrong_signature");
    assert_eq!(refusal(&sender, &sender.at(NOW - SECOND * 900, b"{}", &[])), "timestamp_too_old");
}

#[test]
fn any_live_secret_will_do_and_the_proof_says_which() {
    let sender = Sender::with_options("stripe", &["old", "new"], &Options::default());
    for (text, position) in [("old", 0), ("new", 1)] {
        let proof = verdict(&sender, &Sender::new("stripe", text).with("{}", &[])).expect("a proof");
        assert_eq!(held(&proof).1, position);
    }
    assert_eq!(refusal(&sender, &Sender::new("stripe", "other").with("{}", &[])), "wrong_signature");
}

#[test]
fn during_a_rotation_one_right_signature_among_several_will_do() {
    let (old, new) = (Sender::new("stripe", "old"), Sender::new("stripe", "new"));
    let value = |sender: &Sender| sender.with("{}", &[]).headers.text("stripe-signature").map(str::to_owned).expect("a signature");
    let both = format!("{},{},v0=00", value(&old), value(&new).split_once(',').expect("pairs").1);
    let request = with_value(old.with("{}", &[]), "stripe-signature", &both);
    assert!(verdict(&old, &request).is_ok() && verdict(&new, &request).is_ok());
}

#[test]
fn a_secret_counts_only_while_it_is_valid() {
    let limited = SecretSpec { not_before: Some(NOW), not_after: Some(NOW + SECOND), ..secret("s") };
    let sender = Sender::with_secrets("github", &[limited], &Options::default());
    let request = sender.with("{}", &[]);
    let verdict = |now| sender.verifier.verify(&request, now).map_err(|cause| cause.code());
    assert_eq!(verdict(NOW - Duration::from_millis(1)), Err("no_live_secret"));
    assert!(verdict(NOW).is_ok() && verdict(NOW + Duration::from_millis(999)).is_ok());
    assert_eq!(verdict(NOW + SECOND), Err("no_live_secret"));
}

#[test]
fn signing_takes_the_newest_live_secret() {
    let at = |text, from| SecretSpec { not_before: from, ..secret(text) };
    let secrets = [at("a", None), at("b", Some(NOW - SECOND)), at("c", Some(NOW + SECOND))];
    let sender = Sender::with_secrets("github", &secrets, &Options::default());
    assert_eq!(verdict(&sender, &sender.with("{}", &[])).as_ref().map(held), Ok((0, 1)));
    let none = Sender::with_secrets("github", &[], &Options::default()).verifier;
    assert_eq!(none.sign(&mut Sample::of(""), NOW, "msg_1"), Err(CannotSign::NoLiveSecret));
}

#[test]
fn what_nothing_proves_is_let_in_only_where_the_source_says_so_and_claims_no_proof() {
    let catalogue = Catalogue::builtin();
    let [dockerhub, stripe] = ["dockerhub", "stripe"].map(|name| catalogue.provider(name).expect("a provider"));
    let options = Options { dedupe: Some("/push_data/pushed_at".parse().expect("a location")), ..Options::default() };
    let refused = [Verifier::new(dockerhub, &[], &options).err(), Verifier::unproved(stripe, &options).err()];
    let expected = [
        SetupError::NothingToCheck { provider: "dockerhub".into(), known: dockerhub.notes.clone() },
        SetupError::SomethingToCheck { provider: "stripe".into() },
    ];
    assert_eq!(refused, expected.map(Some));
    let hub = Sender { verifier: Verifier::unproved(dockerhub, &options).expect("nothing to check") };
    let request = hub.with(r#"{"push_data":{"pushed_at":7}}"#, &[]);
    let verified = hub.verifier.verify(&request, NOW).expect("let in");
    assert_eq!((&verified, hub.verifier.class()), (&Verified::unproved(), Class::Unverified));
    let key = hub.verifier.identify(&request, &verified).key.expect("a key");
    assert_eq!((key.value.as_str(), key.signed), ("7", false));
}

#[test]
fn older_versions_do_not_count() {
    let stripe = Sender::new("stripe", "s");
    let downgraded = edited(stripe.with("{}", &[]), |_, value| Some(value.replace("v1=", "v0=")));
    assert_eq!(refusal(&stripe, &downgraded), "malformed_header");
    let github = Sender::new("github", "s");
    let request = without(github.with("{}", &[("x-hub-signature", "sha1=aa")]), "x-hub-signature-256");
    assert_eq!(refusal(&github, &request), "missing_header");
}

#[test]
fn a_right_token_does_not_make_up_for_a_wrong_signature() {
    let both = Sender::with_options("gitlab", &[WHSEC, "plain"], &Options::default());
    let other = Sender::new("gitlab", "whsec_YWJjZGVmZ2hpamtsbW5vcA==");
    let token = [("x-gitlab-token", "plain")];
    assert_eq!(verdict(&both, &both.with("{}", &token)).as_ref().map(held), Ok((0, 0)));
    assert_eq!(refusal(&both, &other.with("{}", &token)), "wrong_signature");
    // Without the signature the token decides; a source that knows only the token does not look at a signature.
    assert_eq!(verdict(&both, &Sender::new("gitlab", "plain").with("{}", &[])).as_ref().map(held), Ok((1, 1)));
    assert!(verdict(&Sender::new("gitlab", "plain"), &other.with("{}", &token)).is_ok());
}

#[test]
fn svix_takes_either_trio_of_headers() {
    let (svix, standard) = (Sender::new("svix", WHSEC), Sender::new("standard-webhooks", WHSEC));
    assert_eq!(verdict(&svix, &svix.with("{}", &[])).as_ref().map(held), Ok((0, 0)));
    assert_eq!(verdict(&svix, &standard.with("{}", &[])).as_ref().map(held), Ok((1, 0)));
    assert_eq!(refusal(&svix, &without(svix.with("{}", &[]), "svix-signature")), "missing_header");
}

#[test]
fn a_token_is_compared_whole_and_never_stored() {
    let sender = Sender::new("token", "secret\n");
    let mut request = sender.with("{}", &[]);
    assert_eq!(request.headers.text("authorization"), Some("Bearer secret"));
    let proof = verdict(&sender, &request).expect("a proof");
    assert_eq!((&proof.signed_headers, proof.secret_header.as_deref()), (&vec![], Some("authorization")));
    for wrong in ["Bearer secre", "Bearer secrets", "Bearer SECRET", "Bearer secret\n"] {
        assert_eq!(refusal(&sender, &with_value(request.clone(), "authorization", wrong)), "wrong_token", "{wrong}");
    }
    sender.verifier.redact(&mut request, &proof);
    assert_eq!(request.headers.text("authorization"), Some("[verified]"));
}

#[test]
fn a_token_beside_a_signature_is_not_stored_either() {
    let sender = Sender::new("gitlab", WHSEC);
    let mut request = sender.with("{}", &[("x-gitlab-token", "plain")]);
    let proof = verdict(&sender, &request).expect("a proof");
    sender.verifier.redact(&mut request, &proof);
    assert_eq!(request.headers.text("x-gitlab-token"), Some("[redacted]"));
}

#[test]
fn a_public_key_verifies_and_cannot_sign() {
    let sender = Sender::new("standard-webhooks", WHSEC);
    let key = [secret("whpk_lZKk7McroID7euRH4UTFXpz6+e6XjhRYnLgrDkAn+SA=")];
    let public = Sender::with_secrets("standard-webhooks", &key, &Options::default());
    let request = sender.with("{}", &[]);
    let signature = format!("{} v1a,{}", request.headers.text("webhook-signature").expect("text"), "A".repeat(86) + "==");
    assert_eq!(refusal(&public, &request), "malformed_header");
    assert_eq!(refusal(&public, &with_value(request, "webhook-signature", &signature)), "wrong_signature");
    assert_eq!(public.verifier.sign(&mut Sample::of(""), NOW, "msg_1"), Err(CannotSign::PublicKey(0)));
}

#[test]
fn of_two_schemes_refusals_the_one_that_says_more_is_told() {
    let keys = [WHSEC, "whpk_lZKk7McroID7euRH4UTFXpz6+e6XjhRYnLgrDkAn+SA="];
    let sender = Sender::with_options("standard-webhooks", &keys, &Options::default());
    let told = |value: &str| verdict(&sender, &with_value(sender.with("{}", &[]), "webhook-signature", value)).expect_err("a refusal");
    let (mac, ed25519) = (format!("v1,{}=", "A".repeat(43)), format!("v1a,{}==", "A".repeat(86)));
    assert_eq!(told(&mac), RefusalCause::WrongSignature);
    assert_eq!(told(&ed25519), RefusalCause::WrongSignature);
    assert!(told("v2,AAAA").to_string().contains("`v1,<base64 of 32 bytes>`"));
    let stale = edited(sender.at(NOW - SECOND * 301, b"{}", &[]), |name, value| {
        Some(if name == "webhook-signature" { format!("{value} {ed25519}") } else { value.into() })
    });
    assert_eq!(refusal(&sender, &stale), "timestamp_too_old");
}

#[test]
fn a_generic_provider_is_what_the_source_sets() {
    let file =
        "header = \"x-sig\"\nprefix = \"sha512=\"\nalgorithm = \"hmac-sha512\"\nencoding = \"base64url\"\ntimestamp_header = \"x-time\"";
    let (mistakes, catalogue) = (Mistakes::default(), Catalogue::builtin());
    let options =
        |name: &str| document::read("f", file, &mistakes, |section| Options::read(section, catalogue.provider(name).expect("a provider")));
    let sender = Sender::with_options("hmac", &["s"], &options("hmac"));
    let request = sender.with("{}", &[]);
    let signature = request.headers.text("x-sig").expect("a signature");
    assert!(signature.starts_with("sha512=") && signature.len() == 7 + 88, "{signature}");
    assert!(verdict(&sender, &request).is_ok());
    assert_eq!(refusal(&sender, &sender.at(NOW - SECOND * 301, b"{}", &[])), "timestamp_too_old");
    assert_eq!(options("stripe"), Options::default(), "stripe's scheme is fixed");
    assert_eq!(mistakes.into_vec().len(), 5, "all of them unknown keys of a stripe source");
}

#[test]
fn settings_that_do_not_fit_are_refused_at_load() {
    let catalogue = Catalogue::builtin();
    let setup = |provider: &str, secret: &SecretSpec, options: &Options| {
        let provider = catalogue.provider(provider).expect("a provider");
        Verifier::new(provider, std::slice::from_ref(secret), options).expect_err("an error").to_string()
    };
    let header = Options { header: Some("x-sig".into()), ..Options::default() };
    assert_eq!(setup("stripe", &secret("s"), &header), "provider `stripe` does not let a source set `header`");
    let unsigned = Options { timestamp_header: Some("x-time".into()), message: "{body}".parse().ok(), ..Options::default() };
    assert!(setup("hmac", &secret("s"), &unsigned).starts_with("the timestamp is not signed"));
    assert_eq!(setup("svix", &secret("s"), &Options::default()), "secret 1 does not start with `whsec_`");
    assert_eq!(setup("github", &secret("\n"), &Options::default()), "secret 1 is empty");
}

#[test]
fn a_verifier_shows_nothing_of_its_secrets() {
    let shown = format!("{:?} {:?}", Sender::new("github", "s3cret").verifier, Secret::new(b"s3cret".as_slice()));
    assert!(!shown.contains("s3cret"), "{shown}");
}
