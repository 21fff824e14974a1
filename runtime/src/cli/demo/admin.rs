//! The operator: asks the admin API, as `hookfast events` and `hookfast dlq` do. Reads only what the story shows.

use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use chrono::DateTime;
use serde::Deserialize;
use serde_json::{Value, json};

use super::folder::Folder;
use crate::cli::arguments::Connection;
use crate::cli::client::{Client, Page, read};
use crate::domain::{CallRecord, Timestamp};

const ANSWER_MAX: Duration = Duration::from_secs(5);
const WAIT_MAX: Duration = Duration::from_secs(20);
const PAUSE: Duration = Duration::from_millis(10);

/// Whoever knows the token.
pub(super) struct Admin(Client);

/// An event and what became of it.
#[derive(Debug, Deserialize)]
pub(super) struct Event {
    pub(super) id: String,
    pub(super) status: String,
    #[serde(default)]
    pub(super) attempts: Vec<Attempt>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Attempt {
    pub(super) attempt: u32,
    pub(super) plugin: String,
    pub(super) digest: String,
    pub(super) started_at: Moment,
    pub(super) duration_us: u64,
    pub(super) outcome: String,
    pub(super) detail: Option<String>,
    pub(super) retry_at: Option<Moment>,
    pub(super) calls: Vec<CallRecord>,
}

#[derive(Debug, Deserialize)]
pub(super) struct DeadLetter {
    pub(super) id: String,
    pub(super) cause: String,
    pub(super) attempts: u32,
}

#[derive(Debug, Deserialize)]
pub(super) struct Refused {
    pub(super) cause: String,
    pub(super) status: u16,
    pub(super) detail: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct Plugin {
    pub(super) name: String,
    pub(super) digest: Option<String>,
}

/// What a replay moved.
#[derive(Debug, Deserialize)]
pub(super) struct Moved {
    pub(super) count: usize,
}

/// A point in time as the API writes it.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Moment(pub(super) Timestamp);

impl TryFrom<String> for Moment {
    type Error = chrono::ParseError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        DateTime::parse_from_rfc3339(&text).map(|moment| Self(Timestamp::from_millis(moment.timestamp_millis())))
    }
}

impl Attempt {
    /// From its end to when the next one was due, where there was to be one.
    pub(super) fn planned_delay(&self) -> Option<Duration> {
        let end = self.started_at.0 + Duration::from_micros(self.duration_us);
        self.retry_at.map(|due| due.0.since(end))
    }

    /// How its only call was answered.
    pub(super) fn answered(&self) -> Option<u16> {
        self.calls.first().and_then(|call| call.status)
    }

    /// Enough of the digest to tell two versions apart.
    pub(super) fn digest_short(&self) -> &str {
        self.digest.get(..19).unwrap_or(&self.digest)
    }
}

impl Admin {
    /// Of the server in this folder, which has been started once.
    pub(super) fn open(folder: &Folder) -> anyhow::Result<Self> {
        let url = Some(format!("http://{}", folder.admin));
        let connection = Connection { config: folder.config(), url, token_file: Some(folder.token()), json: true };
        Client::open(&connection).map(Self)
    }

    /// One event with its attempts.
    pub(super) async fn event(&self, id: &str) -> anyhow::Result<Event> {
        read(&self.get(&format!("/events/{id}"), &[]).await?)
    }

    /// Waits until the event has nothing left to do.
    pub(super) async fn finished(&self, id: &str) -> anyhow::Result<Event> {
        let settled = async || Ok(Some(self.event(id).await?).filter(|event| matches!(event.status.as_str(), "done" | "dead")));
        eventually(&format!("{id} to be done or dead"), settled).await
    }

    /// How many events a source has stored.
    pub(super) async fn count(&self, source: &str) -> anyhow::Result<usize> {
        let (mut count, mut cursor) = (0, None);
        loop {
            let query = [("source", Some(source.to_owned())), ("limit", Some("200".to_owned())), ("cursor", cursor)];
            let page: Page<Event> = read(&self.get("/events", &query).await?)?;
            count += page.data.len();
            cursor = page.next_cursor;
            if cursor.is_none() {
                return Ok(count);
            }
        }
    }

    /// The newest request that a source refused.
    pub(super) async fn last_refused(&self, source: &str) -> anyhow::Result<Option<Refused>> {
        let query = [("source", Some(source.to_owned())), ("limit", Some("1".to_owned()))];
        let page: Page<Refused> = read(&self.get("/requests", &query).await?)?;
        Ok(page.data.into_iter().next())
    }

    /// The dead letters of one event.
    pub(super) async fn dead_letters(&self, event: &str) -> anyhow::Result<Vec<DeadLetter>> {
        let page: Page<DeadLetter> = read(&self.get("/dead-letters", &[("id", Some(event.to_owned()))]).await?)?;
        Ok(page.data)
    }

    /// Replays a dead letter.
    pub(super) async fn replay(&self, id: &str) -> anyhow::Result<Moved> {
        let asked = json!({ "id": id });
        let moved = tokio::time::timeout(ANSWER_MAX, self.0.post("/dead-letters/replay", &asked)).await;
        read(&moved.context("the admin API did not answer in time")??)
    }

    /// The digest of the plugin that serves under this name.
    pub(super) async fn digest(&self, plugin: &str) -> anyhow::Result<Option<String>> {
        let page: Page<Plugin> = read(&self.get("/plugins", &[]).await?)?;
        Ok(page.data.into_iter().find(|found| found.name == plugin).and_then(|found| found.digest))
    }

    async fn get(&self, path: &str, query: &[(&str, Option<String>)]) -> anyhow::Result<Value> {
        let answer = tokio::time::timeout(ANSWER_MAX, self.0.get(path, query)).await;
        answer.with_context(|| format!("the admin API did not answer in time: {path}"))?
    }
}

/// Looks again and again until there is something to see; fails after 20 s, saying what was waited for.
pub(super) async fn eventually<T>(what: &str, look: impl AsyncFn() -> anyhow::Result<Option<T>>) -> anyhow::Result<T> {
    let begun = Instant::now();
    loop {
        if let Some(seen) = look().await? {
            return Ok(seen);
        }
        if begun.elapsed() > WAIT_MAX {
            bail!("waited {} s in vain for {what}", WAIT_MAX.as_secs());
        }
        tokio::time::sleep(PAUSE).await;
    }
}
