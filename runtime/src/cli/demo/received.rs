//! Claims 1 to 3: what becomes of a webhook that is good, one that came before, and one that is forged.

use std::time::Duration;

use anyhow::{Context, bail};

use super::admin::Attempt;
use super::sender::{Answer, Sender, Webhook};
use super::story::Story;
use super::{Stage, key, ms};

/// How long the upstreams take, so that an answer which waited for them would show.
const UPSTREAM_TAKES: Duration = Duration::from_millis(200);

/// A webhook that was handled.
pub(super) struct Handled {
    webhook: Webhook,
    answer: Answer,
    event: String,
    key: String,
}

/// A webhook and what it should lead to.
struct Case<'a> {
    sender: &'a Sender,
    event_type: &'a str,
    id: &'a str,
    plugin: &'a str,
    step: &'a str,
    /// What the upstream should get.
    line: &'a str,
}

/// Gives the Stripe one, which is sent again next.
pub(super) async fn handled(stage: &Stage, story: &mut Story) -> anyhow::Result<Handled> {
    story.claim(
        "A signed webhook is answered at once, and then handled",
        &[
            "202 means: the signature held, and the event is stored and synced to disk. The plugin runs after",
            "that, in a sandbox, and calls its upstreams by name. These take 200 ms here; the sender does not wait.",
        ],
    );
    let stripe = Case {
        sender: &stage.stripe,
        event_type: "invoice.paid",
        id: "evt_demo_first",
        plugin: "stripe-crm",
        step: "crm",
        line: "POST /crm/invoices",
    };
    let github = Case {
        sender: &stage.github,
        event_type: "push",
        id: "5f8e3a10-demo",
        plugin: "github-notify",
        step: "chat",
        line: "POST /chat/messages",
    };
    stage.upstream.answer_after(UPSTREAM_TAKES);
    let first = check(stage, story, &stripe).await?;
    story.print("");
    check(stage, story, &github).await?;
    stage.upstream.answer_after(Duration::ZERO);
    Ok(first)
}

async fn check(stage: &Stage, story: &mut Story, case: &Case<'_>) -> anyhow::Result<Handled> {
    let webhook = case.sender.webhook(case.event_type, case.id);
    let answer = case.sender.send(&webhook).await?;
    story.show(format_args!("{} → {} {} in {}", case.event_type, answer.status, answer.body, ms(answer.took)));
    let Some(id) = answer.event() else { bail!("{} was not accepted", case.event_type) };
    let event = stage.admin.finished(&id).await?;
    event.attempts.iter().for_each(|attempt| story.show(described(attempt)));
    let key = key(&id, case.plugin, case.step);
    let received = stage.upstream.under(&key);
    for request in &received {
        story.show(format_args!("the upstream got {} {}", request.line, brief(&request.body)));
        story.show(format_args!("with Idempotency-Key: {key}"));
    }
    let lines: Vec<&str> = received.iter().map(|request| request.line.as_str()).collect();
    story.check(answer.took < UPSTREAM_TAKES, format_args!("{}: answered 202 before its upstream had answered", case.event_type));
    let holds = event.status == "done" && event.attempts.len() == 1 && lines == [case.line];
    story.check(holds, format_args!("{}: done at the first attempt, its upstream called once", case.event_type));
    Ok(Handled { webhook, answer, event: id, key })
}

fn described(attempt: &Attempt) -> String {
    let Attempt { attempt: number, plugin, outcome, detail, duration_us, .. } = attempt;
    let took = ms(Duration::from_micros(*duration_us));
    let detail = detail.as_deref().map(|detail| format!(", \"{}\"", brief(detail))).unwrap_or_default();
    format!("attempt {number}: {plugin} ({}) ran {took}: {outcome}{detail}", attempt.digest_short())
}

/// As much of a text as fits on a line.
fn brief(text: &str) -> String {
    const CHARACTERS: usize = 72;
    match text.char_indices().nth(CHARACTERS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

pub(super) async fn again(stage: &Stage, story: &mut Story, first: &Handled) -> anyhow::Result<()> {
    story.claim(
        "The same webhook again is answered the same, and not run again",
        &["Providers resend what they think was lost. The ledger knows an event by the id its provider gave it."],
    );
    let stored = stage.admin.count("stripe").await?;
    let again = stage.stripe.send(&first.webhook).await?;
    story.show(format_args!("{} → {} {} in {}", first.webhook.id, again.status, again.body, ms(again.took)));
    story.check(again.status == first.answer.status && again.body == first.answer.body, "the same status and body as the first time");
    let attempts = stage.admin.event(&first.event).await?.attempts.len();
    let (stored_now, calls) = (stage.admin.count("stripe").await?, stage.upstream.under(&first.key).len());
    story.check(stored_now == stored && attempts == 1 && calls == 1, "still one event, one attempt, one call");
    Ok(())
}

pub(super) async fn forged(stage: &Stage, story: &mut Story) -> anyhow::Result<()> {
    story.claim(
        "A forged webhook is refused, and the operator sees why",
        &["Signed with a guessed secret. The sender learns nothing; the cause is kept for whoever has to find out."],
    );
    let stored = stage.admin.count("stripe").await?;
    let answer = stage.stranger.send(&stage.stranger.webhook("invoice.paid", "evt_demo_forged")).await?;
    story.show(format_args!("evt_demo_forged → {} {} in {}", answer.status, answer.body, ms(answer.took)));
    story.check(answer.status == 401, "answered 401");
    let refused = stage.admin.last_refused("stripe").await?.context("the refused request is not recorded")?;
    story.show(format_args!("requests: {} {}: {}", refused.status, refused.cause, brief(&refused.detail)));
    story.check(refused.cause == "wrong_signature" && refused.status == 401, "recorded with its cause, `wrong_signature`");
    story.check(stage.admin.count("stripe").await? == stored, "nothing was stored, so nothing can run");
    Ok(())
}
