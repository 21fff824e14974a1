//! Claim 7: the server is killed while webhooks arrive and plugins run; what it has acknowledged is finished by the next one.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::Context;

use super::sender::{Sent, Stream};
use super::story::Story;
use super::{Stage, key, ms};

/// Eighty webhooks a second.
const GAP: Duration = Duration::from_micros(12_500);
/// How long events flow before the kill.
const BEFORE: Duration = Duration::from_millis(1200);
/// How long the provider goes on sending to nobody.
const DOWN: Duration = Duration::from_millis(400);
/// A CRM so slow that many jobs are under way at any moment, and one that lets the rest pass quickly.
const SLOW: Duration = Duration::from_millis(250);
const QUICK: Duration = Duration::from_millis(10);

pub(super) async fn in_mid_flight(stage: &mut Stage, story: &mut Story) -> anyhow::Result<()> {
    story.claim(
        "kill -9 in mid-flight loses nothing that was acknowledged",
        &[
            "80 invoices a second, a slow CRM, and no goodbye. A 202 is given after the commit, so the next start",
            "knows what is owed; what got no answer, the provider sends again. (Commits are synced, which is for",
            "power cuts: no demo can show that.)",
        ],
    );
    let (stored, calls) = (stage.admin.count("stripe").await?, stage.upstream.received(0).len());
    stage.upstream.answer_after(SLOW);
    let stream = Stream::start(&stage.stripe, "invoice.paid", "evt_demo_crash", GAP);
    tokio::time::sleep(BEFORE).await;
    stage.server.kill();
    let answered = stage.upstream.answered();
    tokio::time::sleep(DOWN).await;
    let sent = stream.stop().await?;
    let acknowledged: Vec<String> = sent.iter().filter_map(Sent::event).collect();
    let in_flight = acknowledged.iter().filter(|id| !answered.contains(&crm_key(id))).count();
    let (all, known) = (sent.len(), acknowledged.len());
    story.show(format_args!("{all} sent; killed after {known} were acknowledged, the CRM's answer to {in_flight} of them still out"));
    story.check(known > 0 && in_flight > 0 && known < all, "the kill came in mid-flight");

    stage.upstream.answer_after(QUICK);
    let ready = stage.server.start().await?;
    let pid = stage.server.pid().unwrap_or_default();
    story.show(format_args!("started again: pid {pid}, ready in {}", ms(ready)));
    let done = count_done(stage, &acknowledged).await?;
    story.check(done == known, format_args!("{done} of {known} acknowledged events are done"));
    let events = resend(stage, story, &sent).await?;
    let ledger = stage.admin.count("stripe").await? - stored;
    story.check(events.len() == all && ledger == all, format_args!("{ledger} events in the ledger for {all} sent: none lost, none twice"));
    check_keys(stage, story, &events, calls);
    Ok(())
}

fn crm_key(event: &str) -> String {
    key(event, "stripe-crm", "crm")
}

async fn count_done(stage: &Stage, events: &[String]) -> anyhow::Result<usize> {
    let mut done = 0;
    for id in events {
        done += usize::from(stage.admin.finished(id).await?.status == "done");
    }
    Ok(done)
}

/// Sends again what got no answer; the ids of all events.
async fn resend(stage: &Stage, story: &mut Story, sent: &[Sent]) -> anyhow::Result<BTreeSet<String>> {
    let mut events: BTreeSet<String> = sent.iter().filter_map(Sent::event).collect();
    let mut resent = Vec::new();
    for Sent { webhook, .. } in sent.iter().filter(|sent| sent.event().is_none()) {
        let answer = stage.stripe.send(webhook).await?;
        resent.push(answer.event().with_context(|| format!("{} was not accepted", webhook.id))?);
    }
    let done = count_done(stage, &resent).await?;
    story.check(done == resent.len(), format_args!("{done} of {} that got no answer were sent again, and are done", resent.len()));
    events.extend(resent);
    Ok(events)
}

fn check_keys(stage: &Stage, story: &mut Story, events: &BTreeSet<String>, calls: usize) {
    let mut times: BTreeMap<String, usize> = BTreeMap::new();
    let received = stage.upstream.received(calls);
    received.iter().for_each(|request| *times.entry(request.key.clone().unwrap_or_default()).or_insert(0) += 1);
    let wanted: BTreeSet<String> = events.iter().map(|event| crm_key(event)).collect();
    let again = times.values().filter(|times| **times > 1).count();
    let keys = times.keys().cloned().collect::<BTreeSet<_>>();
    let text = format!("{} calls under {} keys, one key an event: {again} came again, and the CRM can tell", received.len(), keys.len());
    story.check(keys == wanted, text);
}
