//! Claim 6: a plugin's file is replaced while its events flow.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::Context;

use super::admin::{Event, eventually};
use super::sender::{Answer, Sent, Stream};
use super::story::Story;
use super::{Stage, key, ms};

/// Fifty webhooks a second.
const GAP: Duration = Duration::from_millis(20);
/// How long events flow before and after the swap.
const FLOW: Duration = Duration::from_millis(1000);

/// Two programs that could not be mistaken for each other stand for two versions of one.
const OLD: &str = "github-notify";
const NEW: &str = "forward";

pub(super) async fn under_load(stage: &Stage, story: &mut Story) -> anyhow::Result<()> {
    story.claim(
        "A plugin is swapped while its events flow; nobody notices",
        &[
            "relay.wasm is replaced by rename while 50 pushes a second arrive: first the program that tells the",
            "chat room, then one that forwards the event as it is. New events run the new one once it has loaded.",
        ],
    );
    let stream = Stream::start(&stage.relay, "push", "swap", GAP);
    tokio::time::sleep(FLOW).await;
    let live_after = swap(stage).await?;
    tokio::time::sleep(FLOW).await;
    let sent = stream.stop().await?;
    story.show(format_args!("{} live {} after the rename: found, compiled, checked, swapped in", NEW, ms(live_after)));
    check(stage, story, &sent).await
}

/// Replaces the file; how long until the new version serves.
async fn swap(stage: &Stage) -> anyhow::Result<Duration> {
    let wanted = Some(stage.component(NEW)?.digest.to_string());
    let renamed = Instant::now();
    stage.folder.publish(&stage.component(NEW)?.wasm, "relay")?;
    eventually("the new version to be live", async || Ok((stage.admin.digest("relay").await? == wanted).then_some(()))).await?;
    Ok(renamed.elapsed())
}

async fn check(stage: &Stage, story: &mut Story, sent: &[Sent]) -> anyhow::Result<()> {
    let ids: Vec<String> = sent.iter().filter_map(Sent::event).collect();
    let mut took: Vec<Duration> = sent.iter().filter_map(|sent| sent.answer.as_ref()).map(|Answer { took, .. }| *took).collect();
    took.sort();
    let (median, slowest) = (took.get(took.len() / 2), took.last());
    let (median, slowest) = (median.context("nothing was answered")?, slowest.context("nothing was answered")?);
    let answers = format!("{} of {} answered 202, half of them within {}, all within {}", ids.len(), sent.len(), ms(*median), ms(*slowest));
    story.check(ids.len() == sent.len(), answers);

    let mut events = Vec::new();
    for id in &ids {
        events.push(stage.admin.finished(id).await?);
    }
    let done = events.iter().filter(|event| event.status == "done" && event.attempts.len() == 1).count();
    story.check(done == sent.len(), format_args!("{done} of {} done at the first attempt", sent.len()));

    let by_digest = count_by_digest(&events);
    let (old, new) = (stage.component(OLD)?.digest.to_string(), stage.component(NEW)?.digest.to_string());
    let runs = |digest: &str| by_digest.get(digest).copied().unwrap_or(0);
    let only_these = runs(&old) > 0 && runs(&new) > 0 && runs(&old) + runs(&new) == sent.len();
    story.check(only_these, format_args!("attempts by digest: {} by {}, {} by {}", runs(&old), short(&old), runs(&new), short(&new)));
    let faithful = events.iter().filter(|event| effect_is_of_its_version(stage, event, &old)).count();
    story.check(faithful == sent.len(), "each event had one effect, that of the version which ran it");
    Ok(())
}

fn count_by_digest(events: &[Event]) -> BTreeMap<&str, usize> {
    let mut counts = BTreeMap::new();
    for attempt in events.iter().flat_map(|event| &event.attempts) {
        *counts.entry(attempt.digest.as_str()).or_insert(0) += 1;
    }
    counts
}

/// The old version calls the chat room, the new one the target; never both.
fn effect_is_of_its_version(stage: &Stage, event: &Event, old: &str) -> bool {
    let calls = |step| stage.upstream.under(&key(&event.id, "relay", step)).len();
    let ran_old = event.attempts.iter().all(|attempt| attempt.digest == old);
    (calls("chat"), calls("forward")) == if ran_old { (1, 0) } else { (0, 1) }
}

fn short(digest: &str) -> &str {
    digest.get(..19).unwrap_or(digest)
}
