//! Tells a chat room what happened in a GitHub repository: pushes and releases, as one line of text each.

use hookfast_sdk::prelude::*;

/// A `push` event (docs.github.com/webhooks/webhook-events-and-payloads#push).
#[derive(Deserialize)]
struct Push {
    #[serde(rename = "ref")]
    reference: String,
    deleted: bool,
    forced: bool,
    compare: String,
    commits: Vec<Commit>,
    pusher: Pusher,
    repository: Repository,
}

#[derive(Deserialize)]
struct Commit {
    message: String,
}

#[derive(Deserialize)]
struct Pusher {
    name: String,
}

#[derive(Deserialize)]
struct Repository {
    full_name: String,
}

/// A `release` event (docs.github.com/webhooks/webhook-events-and-payloads#release).
#[derive(Deserialize)]
struct ReleaseEvent {
    action: String,
    release: Release,
    repository: Repository,
}

#[derive(Deserialize)]
struct Release {
    tag_name: String,
    name: Option<String>,
    html_url: String,
    prerelease: bool,
}

hookfast_sdk::plugin! {
    name: "github-notify",
    upstreams: ["chat"],
    fixtures: ["push" => include_str!("../fixtures/push.json"), "release" => include_str!("../fixtures/release.json")],
    on "push" => pushed,
    on "release" => released,
}

fn pushed(event: Event<Push>, cx: &mut Context) -> Outcome {
    say(&describe_push(&event.data), cx)
}

/// GitHub sends up to seven events a release (created, published, released, edited, …); one message is enough.
fn released(event: Event<ReleaseEvent>, cx: &mut Context) -> Outcome {
    match event.data.action.as_str() {
        "published" => say(&describe_release(&event.data), cx),
        action => discard(format!("not handled: release {action}")),
    }
}

fn say(text: &str, cx: &mut Context) -> Outcome {
    cx.post("chat", "/messages").step("chat").json(&json!({ "text": text })).send()?.success()?;
    done(text)
}

fn describe_push(push: &Push) -> String {
    let Push { pusher: Pusher { name }, repository: Repository { full_name }, compare, .. } = push;
    let target = match push.reference.strip_prefix("refs/tags/") {
        Some(tag) => format!("tag {tag}"),
        None => push.reference.trim_start_matches("refs/heads/").to_owned(),
    };
    if push.deleted {
        return format!("{name} deleted {target} of {full_name}");
    }
    let verb = if push.forced { "force-pushed" } else { "pushed" };
    let what = match push.commits.as_slice() {
        [] => format!("{name} {verb} {target} of {full_name}"),
        [_] => format!("{name} {verb} 1 commit to {target} of {full_name}"),
        commits => format!("{name} {verb} {} commits to {target} of {full_name}", commits.len()),
    };
    let last = push.commits.last().and_then(|commit| commit.message.lines().next());
    let last = last.map(|message| format!(": {message}")).unwrap_or_default();
    format!("{what}{last} ({compare})")
}

fn describe_release(event: &ReleaseEvent) -> String {
    let ReleaseEvent { release, repository: Repository { full_name }, .. } = event;
    let kind = if release.prerelease { "pre-released" } else { "released" };
    let name = match release.name.as_deref() {
        Some(name) if !name.is_empty() && name != release.tag_name => format!(": {name}"),
        _ => String::new(),
    };
    format!("{full_name} {kind} {}{name} ({})", release.tag_name, release.html_url)
}

#[cfg(test)]
mod tests;
