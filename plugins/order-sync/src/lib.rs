//! Takes an order through payment, inventory and e-mail: three steps, each made once in effect over all attempts. If that cannot be done,
//! what was done is taken back. `docs/guides/reliable-handlers.md` explains it line by line.
//!
//! Granted: the upstreams `payment`, `inventory` and `mail`, and state. Config `announce`: a topic, granted with `emits`, that is told of
//! each order.

use hookfast_sdk::prelude::*;
use std::time::Duration;

const QUARTER: Duration = Duration::from_secs(90 * 24 * 3600);

#[derive(Deserialize)]
struct Order {
    id: String,
    email: String,
    sku: String,
    quantity: u32,
    cents: u64,
}

#[derive(Deserialize)]
struct Payment {
    /// Empty where the host runs the fixture: its upstreams answer `{}`.
    #[serde(default)]
    id: String,
}

hookfast_sdk::plugin! {
    name: "order-sync",
    upstreams: ["payment", "inventory", "mail"],
    fixtures: ["order.placed" => include_str!("../fixtures/order.placed.json")],
    compensate at "/order" => take_back,
    on "order.placed" at "/order" => placed,
}

fn placed(event: Event<Order>, cx: &mut Context) -> Outcome {
    let order = event.data;
    if cx.state().get(&taken_back_key(&order))?.is_some() {
        return discard(format!("{} was taken back: it has to be placed anew", order.id));
    }
    let payment = charge(&order, cx)?;
    reserve(&order, cx)?;
    confirm(&order, &payment, cx)?;

    cx.state().increment(&format!("sold/{}", order.sku), order.quantity.into())?;
    if let Some(topic) = cx.config("announce") {
        let days = delivery_days(&order, cx).fallback(FaultClass::OUTAGE, |_| 5)?;
        cx.emit(&topic).event_type("order.confirmed").json(&json!({ "order": order.id, "delivery_days": days })).send()?;
    }
    done(format!("{} is paid, reserved and confirmed", order.id))
}

/// The payment provider knows no idempotency keys: after a call that nobody answered, it is asked first.
fn charge(order: &Order, cx: &Context) -> Result<Payment, Fault> {
    let charge = json!({ "order": order.id, "cents": order.cents });
    let request = cx.post("payment", "/payments").json(&charge).expect_json();
    request.checked_step("charge", || find_payment(order, cx)).send()?.json()
}

fn find_payment(order: &Order, cx: &Context) -> Result<Option<Payment>, Fault> {
    let answer = cx.get("payment", format!("/payments/{}", order.id)).send()?;
    if answer.status == 404 { Ok(None) } else { answer.success()?.json().map(Some) }
}

fn reserve(order: &Order, cx: &Context) -> Result<(), Failure> {
    let reservation = json!({ "order": order.id, "sku": order.sku, "quantity": order.quantity });
    let answer = cx.post("inventory", "/reservations").step("reserve").json(&reservation).send()?;
    if answer.status == 409 {
        return dead_letter(format!("{} is sold out", order.sku));
    }
    answer.success()?;
    Ok(())
}

fn confirm(order: &Order, payment: &Payment, cx: &Context) -> Result<(), Fault> {
    let message = json!({ "to": order.email, "template": "order-confirmed", "order": order.id, "payment": payment.id });
    cx.post("mail", "/messages").step("confirm").json(&message).send()?.success()?;
    Ok(())
}

/// Nice to know: an inventory that does not say it holds no order up.
fn delivery_days(order: &Order, cx: &Context) -> Result<u32, Fault> {
    cx.get("inventory", format!("/delivery-days/{}", order.sku)).send()?.success()?.json()
}

/// Handed over, not called: a compensation runs once, and the host tries a delivery again. Both upstreams answer with a success also where
/// there is nothing to take back, so that it need not be known how far the attempts came.
fn take_back(event: Event<Order>, last_error: &str, cx: &mut Context) -> Outcome {
    let order = event.data;
    cx.deliver("inventory", format!("/reservations/{}", order.id)).method("DELETE").send()?;
    cx.deliver("payment", format!("/payments/{}/void", order.id)).json(&json!({ "reason": last_error })).send()?;
    cx.state().ttl(QUARTER).set(&taken_back_key(&order), last_error)?;
    done(format!("{} is taken back", order.id))
}

/// A dead letter that is replayed has its journal still, where what was taken back counts as done.
fn taken_back_key(order: &Order) -> String {
    format!("taken-back/{}", order.id)
}

#[cfg(test)]
mod tests;
