//! Does what its event says, line by line: `{"lines": [{"do": "increment", "key": "seen"}, …], "exhausted": […]}`.

use std::time::Duration;

use hookfast_sdk::prelude::*;
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
enum Line {
    /// Calls an upstream; what is no success decides as `?` does.
    /// `{attempt}` in its path is the attempt's number; with `json` its answer has to be JSON.
    Call {
        to: String,
        path: String,
        step: Option<String>,
        method: Option<String>,
        body: Option<String>,
        json: Option<bool>,
    },
    /// The same as a step that asks `check` first where it is not known what came of it; 200 there means that it was done.
    Checked {
        to: String,
        path: String,
        step: String,
        check: String,
    },
    /// A call that gives way to a default.
    Fallback {
        to: String,
        path: String,
    },
    Increment {
        key: String,
    },
    /// Reads a text, and writes it longer by this.
    Append {
        key: String,
        text: String,
    },
    Set {
        key: String,
        value: String,
        ttl_ms: Option<u64>,
    },
    Delete {
        key: String,
    },
    Emit {
        to: String,
        event_type: String,
        body: String,
        key: Option<String>,
        delay_ms: Option<u64>,
    },
    /// Emits the event that it runs for once more.
    Echo {
        to: String,
    },
    Deliver {
        to: String,
        path: String,
        json: Option<bool>,
    },
    /// Ends here, in attempts up to the given one: `retry`, `dead`, `discard` or `panic`.
    Fail {
        how: String,
        up_to: Option<u32>,
    },
    /// Takes a while.
    Spin {
        turns: u64,
    },
}

hookfast_sdk::plugin! {
    name: "scripted",
    compensate => exhausted,
    otherwise => run,
}

fn run(event: Event, cx: &mut Context) -> Outcome {
    let lines: Vec<Line> = event.data_at("/lines")?;
    let said = lines.into_iter().map(|line| follow(line, &event, cx)).collect::<Result<Vec<_>, _>>()?;
    done(said.into_iter().filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" "))
}

fn exhausted(event: Event, last_error: &str, cx: &mut Context) -> Outcome {
    let lines: Vec<Line> = event.data_at("/exhausted")?;
    let said = lines.into_iter().map(|line| follow(line, &event, cx)).collect::<Result<Vec<_>, _>>()?;
    done(format!("took back after `{last_error}`: {}", said.join(" ")))
}

fn follow(line: Line, event: &Event, cx: &mut Context) -> Result<String, Failure> {
    let text = match line {
        Line::Call { to, path, step, method, body, json } => {
            let path = path.replace("{attempt}", &event.attempt.to_string());
            let mut request = cx.request(method.as_deref().unwrap_or("POST"), &to, path);
            if json == Some(true) {
                request = request.expect_json();
            }
            if let Some(step) = &step {
                request = request.step(step);
            }
            let answer = request.body(body.unwrap_or_default()).send()?;
            let (recorded, stale) = (answer.is_recorded(), answer.stale_for().is_some());
            let answer = answer.success()?;
            if json == Some(true) {
                answer.json::<Value>()?;
            }
            let status = answer.status;
            format!("{status}{}{}", if recorded { " recorded" } else { "" }, if stale { " stale" } else { "" })
        }
        Line::Checked { to, path, step, check } => {
            let ask = |cx: &Context| -> Result<Option<String>, Fault> {
                let answer = cx.get(&to, &check).send()?;
                if answer.status == 404 { Ok(None) } else { answer.success().map(|_| Some("found".to_owned())) }
            };
            match cx.post(&to, path).checked_step(&step, || ask(cx)).send()? {
                Checked::Answered(answer) => answer.success()?.status.to_string(),
                Checked::Found(found) => found,
            }
        }
        Line::Fallback { to, path } => {
            let answer = cx.get(&to, path).send().and_then(|answer| answer.success());
            answer.map(|answer| answer.status).fallback(FaultClass::OUTAGE, |_| 0)?.to_string()
        }
        Line::Increment { key } => cx.state().increment(&key, 1)?.to_string(),
        Line::Append { key, text } => {
            let before = cx.state().get_text(&key)?.unwrap_or_default();
            cx.state().set(&key, format!("{before}{text}"))?;
            before
        }
        Line::Set { key, value, ttl_ms } => {
            let state = cx.state();
            let state = if let Some(ms) = ttl_ms { state.ttl(Duration::from_millis(ms)) } else { state };
            state.set(&key, value)?;
            String::new()
        }
        Line::Delete { key } => {
            cx.state().delete(&key)?;
            String::new()
        }
        Line::Emit { to, event_type, body, key, delay_ms } => {
            let mut emission = cx.emit(&to).event_type(event_type).body(body);
            if let Some(key) = key {
                emission = emission.dedupe_key(key);
            }
            if let Some(ms) = delay_ms {
                emission = emission.delay(Duration::from_millis(ms));
            }
            emission.send()?
        }
        Line::Echo { to } => cx.emit(&to).event_type("echo").body(event.body.clone()).send()?,
        Line::Deliver { to, path, json } => {
            let delivery = cx.deliver(&to, path).body("{}");
            if json == Some(true) { delivery.header("accept", "application/json").send()? } else { delivery.send()? }
        }
        Line::Fail { how, up_to } if event.attempt <= up_to.unwrap_or(u32::MAX) => match how.as_str() {
            "dead" => return dead_letter("as the event says"),
            "discard" => return discard("as the event says"),
            "panic" => panic!("as the event says"),
            _ => return retry("as the event says"),
        },
        Line::Fail { .. } => String::new(),
        Line::Spin { turns } => {
            let mut at = 0_u64;
            for _ in 0..turns {
                at = std::hint::black_box(at.wrapping_add(1));
            }
            String::new()
        }
    };
    Ok(text)
}
