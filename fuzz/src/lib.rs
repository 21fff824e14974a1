//! What the targets share: requests as text, and a verifier of each provider with secrets that nobody can guess.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use hookfast::domain::{Headers, RawRequest, Secret, Timestamp};
use hookfast::verify::{Catalogue, Options, Provider, SecretSpec, SetupError, Verifier};

/// The moment at which it happens: that of the vectors which the corpus is made of.
pub const NOW: Timestamp = Timestamp::from_millis(1_760_000_000_000);

/// One of each form; `Verifier::new` tells which of them a provider's secret is.
pub const SECRETS: [&str; 6] = [
    "unguessable, and long at that: 9f1c",
    "whsec_bm9ib2R5IGd1ZXNzZXMgdGhpcyBlaXRoZXI=",
    "bm9ib2R5IGd1ZXNzZXMgdGhpcyBlaXRoZXI=",
    "9f1c44782def547aaa06c910c43932b1eb0c71fc68d9d0c057550c48ec2acf6b",
    P256,
    RSA,
];

const P256: &str = "-----BEGIN PUBLIC KEY-----\n\
     MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEDToBtZbskLlIY7BhRuPUHB8Db3Zx\n\
     0qe1uJTt8/ob11fHVPv/TdIkusJYpAB7vOzoH39fqUqL++B5hYDUWjqv5Q==\n\
     -----END PUBLIC KEY-----";
const RSA: &str = "-----BEGIN PUBLIC KEY-----\n\
     MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAvPF+07v9G/BEFA4Y0F0A\n\
     wFeUiNhiqWvTV83AEzjUPx/GwuuRguE304ZXoEME6CsUpcR/HtYuRLjg6WSi0vRv\n\
     4pa0b+Dk7ObHImb13G0UIUSg9BTlIvFO736/Cd+YRTLp8XJ8XZFs579Q7x2z4LqU\n\
     KpqaSq+G5W+Zus+OXPgpSlUugD3Veppev9ufXITv78ej2yayLuilc3s/oxLrvtCb\n\
     2tlwzLzov0KHAZN9921Nzc0CFcV3mdPXs/Mf38XSRNnqvJNn/QFojR0L0MNzHiku\n\
     OrLvyqWN4NCB2IPK4DTZ1zUmxomQltXsK49JIq/VcsbeHZs30oiB6MizEClSDQRs\n\
     WwIDAQAB\n\
     -----END PUBLIC KEY-----";

static CATALOGUE: LazyLock<Catalogue> = LazyLock::new(Catalogue::builtin);

static VERIFIERS: LazyLock<BTreeMap<&str, Verifier>> = LazyLock::new(|| {
    let verifier = |name| SECRETS.iter().find_map(|secret| arm(provider(name), secret.as_bytes()).ok());
    CATALOGUE.names().filter_map(|name| Some((name, verifier(name)?))).collect()
});

/// A provider compiled in.
pub fn provider(name: &str) -> &'static Provider {
    CATALOGUE.provider(name).expect("a provider of the catalogue")
}

/// All providers whose requests can be verified.
pub fn verifiers() -> &'static BTreeMap<&'static str, Verifier> {
    &VERIFIERS
}

/// A verifier with one secret, and whatever parameters the provider asks for.
pub fn arm(provider: &Provider, secret: &[u8]) -> Result<Verifier, SetupError> {
    arm_with(provider, secret, Options::default())
}

/// As [`arm`], with settings of the source.
pub fn arm_with(provider: &Provider, secret: &[u8], mut options: Options) -> Result<Verifier, SetupError> {
    let secrets = [SecretSpec { secret: Secret::new(secret), not_before: None, not_after: None }];
    options.public_url = Some("https://hooks.example.com/in/sample?a=1".into());
    loop {
        match Verifier::new(provider, &secrets, &options) {
            Err(SetupError::NoParameter { parameter, .. }) if !options.parameters.contains_key(&parameter) => {
                options.parameters.insert(parameter, "sample".into());
            }
            verifier => return verifier,
        }
    }
}

/// A request as the corpus writes it: `PROVIDER METHOD TARGET`, then `name: value` lines, an empty line, and the body.
pub fn request(text: &[u8]) -> Option<(&'static Verifier, RawRequest)> {
    let end = text.windows(2).position(|pair| pair == b"\n\n")?;
    let (head, body) = (&text[..end], &text[end + 2..]);
    let mut lines = head.split(|byte| *byte == b'\n');
    let mut first = std::str::from_utf8(lines.next()?).ok()?.splitn(3, ' ');
    let verifier = VERIFIERS.get(first.next()?)?;
    let (method, target) = (first.next()?.into(), first.next()?.into());
    let mut headers = Headers::default();
    for line in lines {
        let at = line.windows(2).position(|pair| pair == b": ")?;
        headers.push(&std::str::from_utf8(&line[..at]).ok()?.to_ascii_lowercase(), &line[at + 2..]);
    }
    Some((verifier, RawRequest { method, target, headers, body: body.to_vec().into(), received_at: NOW }))
}
