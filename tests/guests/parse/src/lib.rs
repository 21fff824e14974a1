//! The least that a handler written in Rust does: parses the whole body as JSON, and is done. It calls nobody.

use hookfast_sdk::prelude::*;

hookfast_sdk::plugin! {
    name: "parse",
    on "invoice.paid" => paid,
}

fn paid(event: Event<Value>, _: &mut Context) -> Outcome {
    done(event.data["type"].as_str().unwrap_or("no type").to_owned())
}
