//! Asks for the effects that its config names, for the benchmark to measure: `effects = "call step state emit delivery"`, or some of them.

use hookfast_sdk::prelude::*;

hookfast_sdk::plugin! {
    name: "costs",
    otherwise => run,
}

fn run(event: Event, cx: &mut Context) -> Outcome {
    let body: Value = event.data_at("")?;
    let id = body["id"].as_str().unwrap_or_default().to_owned();
    let note = json!({ "id": id });
    for effect in cx.config("effects").unwrap_or_default().split_whitespace() {
        match effect {
            "call" => drop(cx.post("crm", "/x").json(&note).send()?.success()?),
            "step" => drop(cx.post("crm", "/x").step("x").json(&note).send()?.success()?),
            "state" => cx.state().set(&id, "seen")?,
            "counter" => drop(cx.state().increment("events", 1)?),
            "emit" => drop(cx.emit("topic").event_type("seen").json(&note).send()?),
            "delivery" => drop(cx.deliver("crm", "/x").json(&note).send()?),
            _ => return dead_letter("config `effects` names something else"),
        }
    }
    done("")
}
