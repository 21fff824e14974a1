//! `hookfast verify`: judges stored requests without a server, as the front door would have.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use clap::Args;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::arguments::OwnProviders;
use super::client::catalogue;
use super::failure::{Exit, failure};
use super::output::{Output, count};
use super::table::Table;
use crate::clock::Clock;
use crate::domain::{Headers, RawRequest, Secret, Timestamp};
use crate::verify::{Algorithm, Catalogue, Class, Options, SecretSpec, Verifier};

#[derive(Debug, Args)]
#[command(after_help = FORMAT)]
pub(super) struct Verify {
    /// One request as a JSON object, or an array of them
    file: PathBuf,
    #[command(flatten)]
    own: OwnProviders,
    /// Print one JSON array, in the order of the file
    #[arg(long)]
    json: bool,
}

const FORMAT: &str = "A request:\n  { \"provider\": \"stripe\", \"secret\": \"whsec_…\", \"headers\": { \"Stripe-Signature\": \"t=…\" }, \"body\": \"{…}\",\n    \
     \"method\": \"POST\", \"url\": \"https://…\", \"now_unix\": 1700000000, \"config\": {}, \"expect\": \"valid\" }\n\n\
     `now_unix` is the time to judge at; without it no timestamp is too old. `body_base64` stands for a body that is no text, `url` is the one\n\
     that the provider knows, `config` holds its parameters. Exit code 1 if any verdict differs from its `expect`.";

/// A stored request, as it is written in files.
#[derive(Debug, Deserialize)]
struct Stored {
    provider: String,
    #[serde(default)]
    secret: Texts,
    #[serde(default)]
    headers: BTreeMap<String, Texts>,
    #[serde(default)]
    body: String,
    #[serde(alias = "body_b64")]
    body_base64: Option<String>,
    #[serde(default = "post")]
    method: String,
    url: Option<String>,
    now_unix: Option<i64>,
    #[serde(default)]
    config: BTreeMap<String, Value>,
    /// What the provider publishes of its keys, by URL.
    #[serde(default)]
    keys: BTreeMap<String, String>,
    expect: Option<Expected>,
}

/// What a file expects of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Expected {
    Valid,
    Invalid,
}

impl Default for Texts {
    fn default() -> Self {
        Self::Several(Vec::new())
    }
}

/// One text or several.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
enum Texts {
    One(String),
    Several(Vec<String>),
}

fn post() -> String {
    "POST".into()
}

/// What a request was found to be.
#[derive(Debug, Serialize)]
struct Judged {
    provider: String,
    /// `verified`, `authenticated` or `invalid`.
    verdict: &'static str,
    /// Why it is invalid: a refusal's code, `unknown_provider` or `unusable`.
    cause: Option<String>,
    #[serde(skip)]
    detail: String,
    /// Whether it is as the file expects; `None` where the file expects nothing.
    #[serde(skip)]
    is_expected: Option<bool>,
}

pub(super) fn run(arguments: &Verify) -> anyhow::Result<ExitCode> {
    let output = Output::new(arguments.json);
    let catalogue = catalogue(arguments.own.config.as_deref())?;
    let judged: Vec<Judged> = read(arguments)?.iter().map(|stored| judge(stored, &catalogue)).collect();
    output.show(&judged, |_| table(&judged))?;
    let differing = judged.iter().filter(|judged| judged.is_expected == Some(false)).count();
    if differing == 0 {
        let expected = judged.iter().filter(|judged| judged.is_expected.is_some()).count();
        output.hint(&format!("{}, {expected} of them expected and as expected", count(judged.len() as u64, "verdict")));
        return Ok(ExitCode::SUCCESS);
    }
    output.hint(&format!("{} of {} differ from what is expected", count(differing as u64, "verdict"), judged.len()));
    Ok(Exit::Failed.into())
}

fn read(arguments: &Verify) -> anyhow::Result<Vec<Stored>> {
    let name = arguments.file.display();
    let text = std::fs::read(&arguments.file).map_err(|error| failure(Exit::NotFound, format!("{name} cannot be read: {error}")))?;
    let document: Value = serde_json::from_slice(&text).map_err(|error| failure(Exit::Usage, format!("{name} is no JSON: {error}")))?;
    let entries = if let Value::Array(entries) = document { entries } else { vec![document] };
    let read = |(number, entry): (usize, Value)| {
        serde_json::from_value(entry).map_err(|error| failure(Exit::Usage, format!("{name}, request {}: {error}", number + 1)))
    };
    entries.into_iter().enumerate().map(read).collect()
}

fn judge(stored: &Stored, catalogue: &Catalogue) -> Judged {
    let (verdict, cause, detail) = match verdict(stored, catalogue) {
        Ok(Class::Authenticated) => ("authenticated", None, String::new()),
        Ok(_) => ("verified", None, String::new()),
        Err((cause, detail)) => ("invalid", Some(cause), detail),
    };
    let is_expected = stored.expect.map(|expect| (expect == Expected::Valid) == cause.is_none());
    Judged { provider: stored.provider.clone(), verdict, cause, detail, is_expected }
}

fn verdict(stored: &Stored, catalogue: &Catalogue) -> Result<Class, (String, String)> {
    let unusable = |detail: String| ("unusable".to_owned(), detail);
    let Some(provider) = catalogue.provider(&stored.provider) else {
        return Err(("unknown_provider".into(), "`hookfast providers list` shows those that are known".into()));
    };
    let request = request(stored).map_err(unusable)?;
    let secrets: Vec<SecretSpec> = stored.secret.texts().iter().map(|text| secret(text)).collect();
    let verifier = Verifier::new(provider, &secrets, &options(stored)).map_err(|error| unusable(error.to_string()))?;
    let verified = verifier.verify(&request, request.received_at).map_err(|cause| (cause.code().to_owned(), cause.to_string()))?;
    match provider.class() {
        Class::Unverified => Err(("unverified_provider".into(), "too little is known of what this provider proves".into())),
        _ if verified.is_token => Ok(Class::Authenticated),
        _ => Ok(Class::Verified),
    }
}

fn request(stored: &Stored) -> Result<RawRequest, String> {
    let body = match &stored.body_base64 {
        Some(text) => STANDARD.decode(text).map_err(|error| format!("body_base64: {error}"))?.into(),
        None => Bytes::from(stored.body.clone()),
    };
    let mut headers = Headers::default();
    for (name, values) in &stored.headers {
        values.texts().iter().for_each(|value| headers.push(&name.to_ascii_lowercase(), value.clone()));
    }
    let path = stored.url.as_deref().and_then(|url| url.split_once("://")).and_then(|(_, rest)| rest.find('/').map(|at| &rest[at..]));
    let now = stored.now_unix.map_or_else(|| Clock::system().now(), |seconds| Timestamp::from_millis(seconds.saturating_mul(1000)));
    Ok(RawRequest { method: stored.method.to_ascii_uppercase(), target: path.unwrap_or("/").into(), headers, body, received_at: now })
}

fn options(stored: &Stored) -> Options {
    let public_url = |url: &str| Some(url.split('?').next().unwrap_or_default().to_owned());
    let mut options = Options { public_url: stored.url.as_deref().and_then(public_url), is_offline: true, ..Options::default() };
    options.recorded_keys = stored.keys.iter().map(|(url, document)| (url.clone(), document.clone().into_bytes())).collect();
    if stored.now_unix.is_none() {
        options.tolerance = Some(Duration::MAX);
    }
    for (name, value) in &stored.config {
        let text = value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned);
        match name.as_str() {
            "header" => options.header = Some(text.to_ascii_lowercase()),
            "algorithm" => options.algorithm = Algorithm::WORDS.iter().find(|(word, _)| *word == text).map(|(_, algorithm)| *algorithm),
            "public_url" => options.public_url = public_url(&text),
            // As the claims are called.
            "aud" => drop(options.parameters.insert("audience".into(), text)),
            "iss" => drop(options.parameters.insert("issuer".into(), text)),
            _ => drop(options.parameters.insert(name.clone(), text)),
        }
    }
    options
}

fn secret(text: &str) -> SecretSpec {
    SecretSpec { secret: Secret::new(text.as_bytes()), not_before: None, not_after: None }
}

impl Texts {
    fn texts(&self) -> &[String] {
        match self {
            Self::One(text) => std::slice::from_ref(text),
            Self::Several(texts) => texts,
        }
    }
}

fn table(judged: &[Judged]) -> String {
    let expected = |judged: &Judged| match judged.is_expected {
        Some(true) => "as expected".into(),
        Some(false) => "differs".into(),
        None => String::new(),
    };
    let row = |(number, judged): (usize, &Judged)| {
        let cause = judged.cause.clone().unwrap_or_default();
        [(number + 1).to_string(), judged.provider.clone(), judged.verdict.into(), cause, expected(judged), judged.detail.clone()]
    };
    Table::new(["#", "PROVIDER", "VERDICT", "CAUSE", "EXPECTED", "DETAIL"], judged.iter().enumerate().map(row)).to_string()
}
