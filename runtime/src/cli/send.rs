//! `hookfast send`: a realistic request with a valid proof, to try a source with.

use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use bytes::Bytes;
use clap::Args;
use http::StatusCode;
use serde::Serialize;
use serde_json::Value;

use super::arguments::{CONFIG, config_flag};
use super::client::{local_url, settings, unanswered};
use super::failure::{Exit, failure};
use super::output::{Output, count, plain, print};
use super::time::measured;
use crate::clock::Clock;
use crate::config::{Settings, Source};
use crate::domain::{EventId, OutboundAnswer};
use crate::random::Random;
use crate::upstream::fetch;
use crate::verify::{Sample, sample};

const TIMEOUT: Duration = Duration::from_secs(30);
/// How much of an unexpected answer is shown.
const EXCERPT_CHARS: usize = 200;

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  hookfast send stripe invoice.paid
  hookfast send github push --count 100
  hookfast send stripe invoice.paid --id evt_7 --body invoice.json --url https://hooks.example.com")]
pub(super) struct Send {
    /// The source, as the configuration names it; or its provider, where no other source has that one
    source: String,
    /// The event's type, such as invoice.paid
    #[arg(value_name = "TYPE")]
    event_type: String,
    /// The provider's id of the event; the same one again is a duplicate [default: a fresh one for each]
    #[arg(long)]
    id: Option<String>,
    /// Send this file's bytes instead of the sample; `-` is standard input
    #[arg(long, value_name = "FILE")]
    body: Option<PathBuf>,
    /// How many to send, one after the other
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    count: u32,
    /// The configuration file, which says where the source's secret is
    #[arg(long, short, value_name = "FILE", default_value = CONFIG)]
    config: PathBuf,
    /// Where to send to [default: the configuration's ingest address]
    #[arg(long)]
    url: Option<String>,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

/// Everything that sending the same again needs.
struct Sender {
    source: Arc<Source>,
    event_type: String,
    id: Option<String>,
    body: Option<Bytes>,
    url: String,
    config_flag: String,
    clock: Clock,
    random: Random,
}

/// One answered request.
#[derive(Serialize)]
struct Sent {
    source: String,
    #[serde(rename = "type")]
    event_type: String,
    /// The provider's id that was sent.
    provider_id: String,
    status: u16,
    duration_us: u64,
    /// The event that it became, where the answer says so.
    event: Option<String>,
    /// The beginning of what was answered, where it was refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    answer: Option<String>,
}

/// The answered requests.
#[derive(Serialize)]
struct Document {
    data: Vec<Sent>,
}

pub(super) async fn run(arguments: Send) -> anyhow::Result<ExitCode> {
    let (output, rounds) = (Output::new(arguments.json), arguments.count);
    let sender = Sender::new(arguments)?;
    let mut document = Document { data: Vec::new() };
    let mut broken = None;
    for _ in 0..rounds {
        match sender.send().await {
            Ok(sent) => {
                if !output.is_json() {
                    print(&sent.line())?;
                }
                document.data.push(sent);
            }
            Err(error) => {
                broken = Some(error);
                break;
            }
        }
    }
    if output.is_json() {
        output.show(&document, |_| String::new())?;
    }
    sender.advise(&document.data, output);
    broken.map_or_else(|| Ok(document.exit()), Err)
}

impl Sender {
    fn new(arguments: Send) -> anyhow::Result<Self> {
        let settings = settings(&arguments.config)?;
        let source = find(&settings, &arguments.source, &arguments.config)?;
        let base = arguments.url.unwrap_or_else(|| local_url(settings.server.ingest));
        let url = format!("{}/in/{}", base.trim_end_matches('/'), source.name);
        let body = arguments.body.as_deref().map(read_body).transpose()?;
        let config_flag = config_flag(&arguments.config);
        let Send { event_type, id, .. } = arguments;
        Ok(Self { source, event_type, id, body, url, config_flag, clock: Clock::system(), random: Random::system() })
    }

    async fn send(&self) -> anyhow::Result<Sent> {
        let provider_id = self.id.clone().unwrap_or_else(|| format!("test_{}", hex::encode(self.random.bytes::<12>())));
        let now = self.clock.now();
        let verifier = &self.source.verifier;
        let mut sample = sample(verifier.provider(), &self.event_type, &provider_id, now);
        if let Some(body) = &self.body {
            sample.body = body.clone();
        }
        verifier.sign(&mut sample, now, &provider_id)?;
        let Sample { headers, body, query } = sample;
        let url = if query.is_empty() { self.url.clone() } else { format!("{}?{query}", self.url) };
        let started = Instant::now();
        let answer = fetch("POST", &url, headers, body, TIMEOUT).await;
        let answer = answer.map_err(|fault| unanswered(&fault, "is the server running? hookfast serve"))?;
        let duration_us = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
        let (source, event_type) = (self.source.name.to_string(), self.event_type.clone());
        let (status, event) = (answer.status, event_id(&answer));
        let answer = (!is_success(status)).then(|| excerpt(&answer.body));
        Ok(Sent { source, event_type, provider_id, status, duration_us, event, answer })
    }

    /// Says where to look next, for the last of what was sent.
    fn advise(&self, sent: &[Sent], output: Output) {
        let refused = sent.iter().filter(|sent| !sent.is_accepted()).count() as u64;
        let (name, flag) = (&self.source.name, &self.config_flag);
        match sent.last() {
            None => {}
            Some(_) if refused > 0 => {
                let requests = count(refused, "request");
                output.hint(&format!("{requests} not accepted; see why: hookfast requests list --source {name}{flag}"));
            }
            Some(Sent { event: Some(id), .. }) => output.hint(&format!("follow it: hookfast events show {id}{flag}")),
            Some(_) => output.hint(&format!("follow it: hookfast events list --source {name}{flag}")),
        }
    }
}

impl Sent {
    fn is_accepted(&self) -> bool {
        is_success(self.status)
    }

    fn line(&self) -> String {
        let status = StatusCode::from_u16(self.status).map_or_else(|_| self.status.to_string(), |status| status.to_string());
        let answer = self.answer.as_ref().or(self.event.as_ref()).map_or("", String::as_str);
        format!("{} in {}  {answer}", status.trim_end(), measured(self.duration_us)).trim_end().to_owned() + "\n"
    }
}

impl Document {
    fn exit(&self) -> ExitCode {
        let accepted = self.data.iter().filter(|sent| sent.is_accepted()).count();
        match self.data.last() {
            Some(_) if accepted == self.data.len() => ExitCode::SUCCESS,
            Some(_) if accepted > 0 => Exit::Partial.into(),
            Some(Sent { status: 429 | 502..=504, .. }) => Exit::Unreachable.into(),
            _ => Exit::Failed.into(),
        }
    }
}

/// The source of this name, else the only one of the provider of this name.
fn find(settings: &Settings, name: &str, config: &Path) -> anyhow::Result<Arc<Source>> {
    let sources = &settings.live.sources;
    if let Some(source) = sources.get(name) {
        return Ok(Arc::clone(source));
    }
    let of_provider: Vec<_> = sources.values().filter(|source| source.verifier.provider().name == name).collect();
    let names = |sources: &[&Arc<Source>]| sources.iter().map(|source| source.name.to_string()).collect::<Vec<_>>().join(", ");
    let config = config.display();
    let message = match (of_provider.as_slice(), sources.len()) {
        ([source], _) => return Ok(Arc::clone(source)),
        ([], 0) => format!("there is no source `{name}` in {config}; it has none"),
        ([], _) => format!("there is no source `{name}` in {config}; it has: {}", names(&sources.values().collect::<Vec<_>>())),
        (several, _) => {
            let message = format!("several sources in {config} are of the provider `{name}`; send to one of them: {}", names(several));
            return Err(failure(Exit::Usage, message));
        }
    };
    Err(failure(Exit::NotFound, message))
}

fn read_body(path: &Path) -> anyhow::Result<Bytes> {
    let mut bytes = Vec::new();
    let read = match path.to_str() {
        Some("-") => io::stdin().lock().read_to_end(&mut bytes).map(|_| bytes),
        _ => std::fs::read(path),
    };
    read.map(Bytes::from).with_context(|| format!("cannot read the body from {}", path.display()))
}

/// The event's id from `{"id":"evt_…"}`; a source may answer something else.
fn event_id(answer: &OutboundAnswer) -> Option<String> {
    let document: Value = serde_json::from_slice(&answer.body).ok()?;
    let id: EventId = document["id"].as_str()?.parse().ok()?;
    Some(id.to_string())
}

fn is_success(status: u16) -> bool {
    (200..300).contains(&status)
}

fn excerpt(body: &[u8]) -> String {
    plain(&String::from_utf8_lossy(body)).chars().take(EXCERPT_CHARS).collect()
}
