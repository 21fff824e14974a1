//! Books each event once in every way there is: a counter, a number that is read and written, an emitted event, a delivery, a step. What
//! it has booked it tells in its note.

use hookfast_sdk::prelude::*;

hookfast_sdk::plugin! {
    name: "ledger",
    upstreams: ["crm", "chat"],
    on "invoice.paid" => book,
    on "booked" => count_again,
    on "audit" => audit,
}

fn book(event: Event, cx: &mut Context) -> Outcome {
    let id: String = event.data_at("/id")?;
    // `evt_<connection>_<number>`: few runs at once write the same number.
    let account = id.split('_').nth(1).unwrap_or_default().to_owned();
    cx.post("crm", "/bookings").step("book").json(&json!({ "id": id })).send()?.success()?;
    cx.state().increment("counter", 1)?;
    let key = format!("account/{account}");
    let before: u64 = cx.state().get_json(&key)?.unwrap_or(0);
    cx.state().set_json(&key, &(before + 1))?;
    cx.emit("books").event_type("booked").json(&json!({ "id": id })).send()?;
    cx.deliver("chat", "/messages").json(&json!({ "id": id })).send()?;
    done("booked")
}

fn count_again(_: Event, cx: &mut Context) -> Outcome {
    cx.state().increment("emitted", 1)?;
    done("counted")
}

/// Tells `counter`, `emitted` and the sum of the accounts.
fn audit(event: Event, cx: &mut Context) -> Outcome {
    let accounts: Vec<String> = event.data_at("/accounts")?;
    let number = |key: &str| -> Result<u64, Fault> { Ok(cx.state().get_json(key)?.unwrap_or(0)) };
    let sum = accounts.iter().map(|account| number(&format!("account/{account}"))).sum::<Result<u64, Fault>>()?;
    done(format!("{} {} {sum}", number("counter")?, number("emitted")?))
}
