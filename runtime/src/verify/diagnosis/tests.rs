//! Each way of going wrong, signed so by a sender, and what is said of it.

use super::super::sender::{NOW, Sender, edited, secret};
use super::super::{KeyForm, Options, SecretSpec};
use super::*;
use crate::domain::{SecretSpelling, Timestamp};
use crate::verify::algorithm::{Algorithm, Encoding};

const MINUTE: Duration = Duration::from_mins(1);
const JSON: &str = r#"{"type":"invoice.paid","b":{"url":"https://x/é"},"a":[1,2.50]}"#;

/// The code for a request that this verifier refuses.
fn code(verifier: &Verifier, request: &RawRequest) -> Option<&'static str> {
    found(verifier, request).map(|diagnosis| diagnosis.code())
}

fn found(verifier: &Verifier, request: &RawRequest) -> Option<Diagnosis> {
    let cause = verifier.verify(request, request.received_at).expect_err("a refusal");
    verifier.diagnose(request, &cause, &mut Effort::of_bytes(8 << 20))
}

fn hmac(text: &str, options: &Options) -> Sender {
    Sender::with_options("hmac", &[text], options)
}

fn plain() -> Sender {
    hmac("secret", &Options::default())
}

/// A request that was signed over `signed` and arrives with another body.
fn arriving(sender: &Sender, signed: &str, body: impl Into<bytes::Bytes>) -> RawRequest {
    RawRequest { body: body.into(), ..sender.with(signed, &[]) }
}

#[test]
fn a_secret_that_is_read_the_wrong_way_is_told_with_the_right_way() {
    let keyed = |text: &str, key| hmac(text, &Options { key: Some(key), ..Options::default() });
    for (text, ours, theirs, word) in [
        ("c2VjcmV0", KeyForm::Utf8, KeyForm::Base64, "base64"),
        ("c2VjcmV0", KeyForm::Base64, KeyForm::Utf8, "utf8"),
        ("736563", KeyForm::Utf8, KeyForm::Hex, "hex"),
        ("736563", KeyForm::Hex, KeyForm::Utf8, "utf8"),
        ("whsec_c2VjcmV0", KeyForm::Utf8, KeyForm::Whsec, "whsec"),
        ("whsec_c2VjcmV0", KeyForm::Whsec, KeyForm::Utf8, "utf8"),
    ] {
        let request = keyed(text, theirs).with(JSON, &[]);
        let expected = Diagnosis::SecretEncoding { secret: 0, key: word, is_settable: true };
        assert_eq!(found(&keyed(text, ours).verifier, &request), Some(expected), "{text} {ours:?} {theirs:?}");
    }
}

#[test]
fn a_provider_whose_keys_are_fixed_is_not_to_be_set() {
    let text = "whsec_c2VjcmV0";
    let request = Sender::new("stripe", text).with(JSON, &[]);
    assert_eq!(code(&Sender::new("stripe", "another").verifier, &request), Some("other_secret"));
    let decoded = Sender::new("stripe", "secret").with(JSON, &[]);
    let diagnosis = found(&Sender::new("stripe", text).verifier, &decoded).expect("a diagnosis");
    assert_eq!(diagnosis, Diagnosis::SecretEncoding { secret: 0, key: "whsec", is_settable: false });
    assert!(diagnosis.advice().contains("provider = \"hmac\""), "{}", diagnosis.advice());
}

#[test]
fn what_stands_around_a_secret_is_told() {
    use SecretSpelling::{Trimmed, Unquoted, WithNewline, WithoutPrefix};
    for (ours, theirs, spelling) in [
        (" secret ", "secret", Trimmed),
        ("secret", "secret\n\n", WithNewline),
        ("\"secret\"", "secret", Unquoted),
        ("'secret'", "secret", Unquoted),
        ("whsec_plain", "plain", WithoutPrefix),
    ] {
        let request = Sender::new("github", theirs).with(JSON, &[]);
        let expected = Diagnosis::SecretSpelling { secret: 0, spelling };
        assert_eq!(found(&Sender::new("github", ours).verifier, &request), Some(expected), "{ours:?}");
    }
}

#[test]
fn a_token_with_a_blank_at_its_end_is_told() {
    let request = Sender::new("gitlab", "secret").with(JSON, &[]);
    let expected = Diagnosis::SecretSpelling { secret: 0, spelling: SecretSpelling::Trimmed };
    assert_eq!(found(&Sender::new("gitlab", "secret ").verifier, &request), Some(expected));
    assert_eq!(code(&Sender::new("gitlab", "another").verifier, &request), Some("other_secret"));
}

#[test]
fn a_secret_that_is_not_valid_now_is_told() {
    let old = SecretSpec { not_after: Some(NOW - MINUTE), ..secret("old") };
    let new = SecretSpec { not_before: Some(NOW + MINUTE), ..secret("new") };
    let ours = Sender::with_secrets("github", &[secret("other"), old.clone(), new.clone()], &Options::default());
    for (theirs, position) in [("old", 1), ("new", 2)] {
        let request = Sender::new("github", theirs).with(JSON, &[]);
        assert_eq!(found(&ours.verifier, &request), Some(Diagnosis::SecretNotValidNow { secret: position }));
    }
    let none_is_live = Sender::with_secrets("github", &[old, new], &Options::default());
    assert_eq!(code(&none_is_live.verifier, &Sender::new("github", "new").with(JSON, &[])), Some("secret_not_valid_now"));
}

#[test]
fn a_body_that_was_altered_on_its_way_is_told_with_the_alteration() {
    let check = |signed: &str, arrived: &[u8], expected: &str| {
        let sender = plain();
        let request = arriving(&sender, signed, arrived.to_vec());
        assert_eq!(code(&sender.verifier, &request), Some(expected), "{signed:?}");
    };
    check("a", b"a\n", "body_newline_added");
    check("a", b"a\r\n", "body_newline_added");
    check("a\n", b"a", "body_newline_removed");
    check("a\nb", b"a\r\nb", "body_line_ends");
    check("a\r\nb", b"a\nb", "body_line_ends");
    check("a", b"\xef\xbb\xbfa", "body_byte_order_mark");
    check("\u{feff}a", b"a", "body_byte_order_mark");
    check("é", b"\xe9", "body_charset");
    check("", b"a", "body_not_signed");
    check(r#"{"a":"\u00e9"}"#, r#"{"a":"é"}"#.as_bytes(), "body_json_escapes");
    check(r#"{"a":"é\/"}"#, br#"{"a":"\u00e9/"}"#, "body_json_escapes");
    check(r#"{"a":"x/y"}"#, br#"{"a":"x\/y"}"#, "body_json_escapes");
    check(r#"{"b": 1, "a": [2.50]}"#, br#"{"b":1,"a":[2.50]}"#, "body_json_layout");
    check("{\n  \"b\": 1\n}", br#"{"b":1}"#, "body_json_layout");
    check(r#"{"a":1,"b":2}"#, br#"{"b": 2, "a": 1}"#, "body_json_layout");
    check(r#"{"a": "\u00e9"}"#, r#"{"a":"é"}"#.as_bytes(), "body_json_layout");
}

#[test]
fn a_body_in_latin1_is_told() {
    let sender = plain();
    let request = RawRequest { body: "é".into(), ..sender.at(NOW, b"\xe9", &[]) };
    assert_eq!(code(&sender.verifier, &request), Some("body_charset"));
}

#[test]
fn another_url_is_told_as_it_was_signed() {
    let at = |url: &str| Sender::with_options("twilio", &["secret"], &Options { public_url: Some(url.into()), ..Options::default() });
    let ours = at("https://hooks.example.com/in/test");
    for signed in ["http://hooks.example.com/in/test", "https://hooks.example.com/in/test/"] {
        let request = at(signed).with("id=1", &[("content-type", "application/x-www-form-urlencoded")]);
        assert_eq!(found(&ours.verifier, &request), Some(Diagnosis::WrongUrl { signed: signed.into() }));
    }
    let headers = [("content-type", "application/x-www-form-urlencoded"), ("host", "other.example")];
    let request = at("https://other.example/in/test").with("id=1", &headers);
    assert_eq!(code(&ours.verifier, &request), Some("wrong_url"));
}

#[test]
fn other_settings_of_a_generic_provider_are_told_as_they_are_written() {
    let check = |options: Options, expected: &str| {
        let request = hmac("secret", &options).with(JSON, &[]);
        let expected = Some(Diagnosis::WrongSettings { settings: expected.into() });
        assert_eq!(found(&plain().verifier, &request), expected);
    };
    check(Options { algorithm: Some(Algorithm::HmacSha1), ..Options::default() }, "`algorithm = \"hmac-sha1\"`");
    check(Options { encoding: Some(Encoding::Base64), ..Options::default() }, "`encoding = \"base64\"`");
    check(Options { prefix: Some("sha256=".into()), ..Options::default() }, "`prefix = \"sha256=\"`");
    let everything = Options { prefix: Some("sha512=".into()), algorithm: Some(Algorithm::HmacSha512), ..Options::default() };
    check(
        Options { header: Some("x-shop-signature".into()), ..everything },
        "`header = \"x-shop-signature\"`, `prefix = \"sha512=\"`, `algorithm = \"hmac-sha512\"`",
    );
}

#[test]
fn the_signature_of_another_provider_is_told_by_its_header() {
    let github = Sender::new("github", "secret");
    let stripe = Sender::new("stripe", "secret").with(JSON, &[]);
    let told = |holds| Diagnosis::OtherProvider { header: "stripe-signature".into(), providers: vec!["stripe".into()], holds };
    assert_eq!(found(&github.verifier, &stripe), Some(told(true)));
    let stranger = Sender::new("stripe", "another").with(JSON, &[]);
    assert_eq!(found(&github.verifier, &stranger), Some(told(false)));
}

#[test]
fn another_version_of_the_provider_is_told() {
    let standard = Sender::new("gitlab", "token");
    let other = standard.verifier.provider().schemes.iter().map(|scheme| scheme.carrier.to_string()).collect::<Vec<_>>();
    assert!(other.len() > 1, "GitLab has a token and a signature");
    let signed = Sender::new("gitlab", super::super::sender::WHSEC).with(JSON, &[("webhook-id", "msg_1")]);
    assert_eq!(code(&standard.verifier, &signed), Some("other_version"));
}

#[test]
fn a_request_without_a_signature_is_told_by_what_else_it_has() {
    let github = Sender::new("github", "secret");
    let without = |headers: &[(&str, &str)]| {
        edited(github.with(JSON, headers), |name, value| (name != "x-hub-signature-256").then(|| value.to_owned()))
    };
    assert_eq!(code(&github.verifier, &without(&[("x-github-event", "push"), ("via", "1.1 x")])), Some("not_signed"));
    let removed = found(&github.verifier, &without(&[("via", "1.1 x")]));
    assert_eq!(removed, Some(Diagnosis::HeaderRemoved { missing: "x-hub-signature-256".into(), sign: "via".into() }));
    assert_eq!(code(&github.verifier, &without(&[])), None);
}

#[test]
fn a_timestamp_is_told_by_how_far_it_is_off() {
    let stripe = Sender::new("stripe", "secret");
    let at = |request: RawRequest, received_at| code(&stripe.verifier, &RawRequest { received_at, ..request });
    assert_eq!(at(stripe.with(JSON, &[]), NOW + 6 * MINUTE), Some("sent_late"));
    assert_eq!(at(stripe.with(JSON, &[]), NOW - 6 * MINUTE), Some("clock_behind"));
    let milliseconds = Timestamp::from_millis(NOW.as_millis() * 1000);
    assert_eq!(at(stripe.at(milliseconds, JSON.as_bytes(), &[]), NOW), Some("timestamp_unit"));
}

#[test]
fn a_late_request_of_a_wrongly_read_secret_is_told_for_its_secret() {
    let keyed = |key| hmac("736563", &Options { key: Some(key), timestamp_header: Some("x-at".into()), ..Options::default() });
    let request = keyed(KeyForm::Hex).with(JSON, &[]);
    let late = RawRequest { received_at: NOW + 10 * MINUTE, ..request };
    assert_eq!(code(&keyed(KeyForm::Utf8).verifier, &late), Some("secret_encoding"));
}

#[test]
fn what_is_too_large_or_costs_too_much_is_not_diagnosed() {
    let sender = plain();
    let of = |length: usize| arriving(&sender, &"a".repeat(length - 1), "a".repeat(length - 1) + "\n");
    assert_eq!(code(&sender.verifier, &of(DIAGNOSED_BYTES_MAX)), Some("body_newline_added"));
    assert_eq!(code(&sender.verifier, &of(DIAGNOSED_BYTES_MAX + 1)), None);
    let request = arriving(&sender, "a", "b");
    let diagnose = |bytes| sender.verifier.diagnose(&request, &RefusalCause::WrongSignature, &mut Effort::of_bytes(bytes));
    assert_eq!(diagnose(100 << 10), Some(Diagnosis::OtherSecret));
    assert_eq!(diagnose(3 << 10), None, "not everything was tried");
}

#[test]
fn nothing_that_is_said_holds_a_secret() {
    let (ours, theirs) = ("c2VjcmV0LW9mLW91cnM=", "secret-of-ours");
    let keyed = |text: &str| hmac(text, &Options::default());
    let diagnosis = found(&keyed(ours).verifier, &keyed(theirs).with(JSON, &[])).expect("a diagnosis");
    let said = format!("{diagnosis} {} {diagnosis:?}", diagnosis.advice());
    assert!(!said.contains(ours) && !said.contains(theirs), "{said}");
}

#[test]
fn credentials_of_a_refused_request_are_taken_out() {
    let mut headers = Sender::new("gitlab", "token").with("{}", &[("authorization", "Bearer x"), ("x-other", "1")]).headers;
    Sender::new("gitlab", "another").verifier.redact_refused(&mut headers);
    assert_eq!(headers.text("x-gitlab-token"), Some("[redacted]"));
    assert_eq!((headers.text("authorization"), headers.text("x-other")), (Some("[redacted]"), Some("1")));
    let mut lost = Sender::new("gitlab", "token").with("{}", &[("x-hub-signature-256", "sha256=00")]).headers;
    Sender::new("github", "secret").verifier.redact_refused(&mut lost);
    assert_eq!((lost.text("x-gitlab-token"), lost.text("x-hub-signature-256")), (Some("[redacted]"), Some("sha256=00")));
}
