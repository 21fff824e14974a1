//! `docs/providers.md` is the catalogue as a table. It is made here, so that it cannot say what the catalogue does not:
//! `UPDATE_EXPECT=1 cargo test -p hookfast-tests --test providers` writes it anew.

use std::fmt::Write;

use expect_test::expect_file;
use hookfast::verify::{Catalogue, Class, Proof, Provider, Scheme};
use hookfast_tests::build::root;

const HEAD: &str = "# Providers

<!-- Made from runtime/catalogue by tests/tests/providers.rs; do not edit. -->

What stands in `provider = \"…\"`, and what Hookfast checks of each request before anything of it is kept.

- **verified**: a signature or a signed token was checked. *In part* means that the provider does not sign the body, or not all of it: whoever has seen
  one request can put other content beside its signature.
- **authenticated**: the provider sends a shared secret along and signs nothing.
- **unverified**: the provider proves nothing, the host cannot check it yet, or too little is known of it. It is never reported as verified. Of
  those that prove nothing a source takes events only if it says `verify = \"none\"`: anyone who knows the URL can then send them, so say with
  `allow_from` where they come from, and let plugins ask the provider before they act. Their ids count only together with the body.

Confidence: **A** the provider's documentation, kit or code was read; **B** an independent implementation was read and agrees, nothing of the provider
itself; **C** neither. A public key is pasted as the source's secret (PEM); where it says
*keys fetched*, a source may leave `secrets` out.
";

#[test]
fn the_table_of_providers_is_what_the_catalogue_says() {
    let catalogue = Catalogue::builtin();
    let providers: Vec<&Provider> = catalogue.names().map(|name| &**catalogue.provider(name).expect("a provider")).collect();
    let mut page = HEAD.to_owned();
    let of = |class| providers.iter().filter(|provider| provider.class() == class).count();
    let (verified, authenticated, unverified) = (of(Class::Verified), of(Class::Authenticated), of(Class::Unverified));
    writeln!(page, "\n{} providers: {verified} verified, {authenticated} authenticated, {unverified} unverified.\n", providers.len())
        .expect("text");
    page.push_str("| provider | name | class | what is checked | where | confidence | sends again | to know |\n| --- | --- | --- | --- | --- | --- | --- | --- |\n");
    providers.iter().for_each(|provider| page.push_str(&row(provider)));
    expect_file!["../../docs/providers.md"].assert_eq(&page);
    let readme = std::fs::read_to_string(root().join("README.md")).expect("a README");
    let asked = providers.iter().filter(|provider| !provider.handshakes.is_empty()).count();
    for told in [
        format!("[{} by name]", providers.len()),
        format!("{verified} whose signature is checked, {authenticated} that send a secret along, and {unverified} that prove"),
        format!("the questions that {asked} of them ask first are answered"),
    ] {
        assert!(readme.contains(&told), "the README does not say: {told}");
    }
}

fn row(provider: &Provider) -> String {
    let class = provider.class();
    let in_part = class == Class::Verified && provider.schemes.iter().any(|scheme| scheme.partial);
    let class = if in_part { format!("{}, in part", class.word()) } else { class.word().into() };
    let checked = listed(provider.schemes.iter().map(checked));
    let places = listed(provider.schemes.iter().map(|scheme| format!("`{}`", scheme.carrier)));
    let again = provider.redelivery.as_deref().unwrap_or_default();
    let batch = provider.items.as_ref().map(|items| format!("one event for each of `{items}`"));
    let keys = provider.publishes_keys().then(|| "keys fetched".to_owned());
    let notes =
        [&batch, &keys, &provider.challenge, &provider.notes].into_iter().flatten().map(|note| cell(note)).collect::<Vec<_>>().join("; ");
    let confidence = provider.confidence.word();
    format!(
        "| `{}` | {} | {class} | {checked} | {} | {confidence} | {} | {notes} |\n",
        provider.name,
        cell(&provider.title),
        cell(&places),
        cell(again)
    )
}

/// Each once.
fn listed(words: impl Iterator<Item = String>) -> String {
    let mut all: Vec<String> = Vec::new();
    words.for_each(|word| {
        if !all.contains(&word) {
            all.push(word);
        }
    });
    all.join(", ")
}

fn checked(scheme: &Scheme) -> String {
    match &scheme.proof {
        Proof::Token => "token".into(),
        Proof::Basic => "Basic".into(),
        Proof::Jwt(jwt) => format!("JWT {}", jwt.algorithms.iter().map(|algorithm| algorithm.word()).collect::<Vec<_>>().join("/")),
        Proof::Signature(signature) => signature.algorithm.word().into(),
    }
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ").replace('<', "&lt;")
}
