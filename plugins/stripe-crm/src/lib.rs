//! Copies paid Stripe invoices to the CRM: one request an invoice, idempotent over all attempts.
//!
//! More of it where the operator says so: config `totals = "on"` counts in state what each customer has paid, and `notify = "on"` hands a
//! notice over to the upstream `notify`. Both need their grant.

use hookfast_sdk::prelude::*;

/// The part of Stripe's invoice object (docs.stripe.com/api/invoices/object) that the CRM keeps.
#[derive(Deserialize)]
struct Invoice {
    id: String,
    customer: String,
    /// In the smallest unit of the currency.
    amount_paid: u64,
    currency: Option<String>,
}

hookfast_sdk::plugin! {
    name: "stripe-crm",
    upstreams: ["crm"],
    fixtures: ["invoice.paid" => include_str!("../fixtures/invoice.paid.json")],
    on "invoice.paid" at "/data/object" => paid,
}

fn paid(event: Event<Invoice>, cx: &mut Context) -> Outcome {
    let Invoice { id, customer, amount_paid, currency } = event.data;
    let currency = currency.or_else(|| cx.config("currency")).or_dead_letter("no currency: neither in the invoice nor in config")?;
    let entry = json!({ "invoice": id, "customer": customer, "amount_paid": amount_paid, "currency": currency });
    cx.post("crm", "/invoices").step("crm").json(&entry).send()?.success()?;
    if is_on(cx, "totals") {
        let cents = amount_paid.try_into().or_dead_letter("amount_paid")?;
        cx.state().increment(&format!("paid/{customer}/{currency}"), cents)?;
    }
    if is_on(cx, "notify") {
        let text = format!("{customer} has paid {id}: {amount_paid} {currency}");
        cx.deliver("notify", "/messages").json(&json!({ "text": text })).send()?;
    }
    cx.info("invoice synced", &[("invoice", &id), ("amount_paid", &amount_paid)]);
    done(format!("synced {id}"))
}

fn is_on(cx: &Context, key: &str) -> bool {
    cx.config(key).is_some_and(|value| value == "on")
}

#[cfg(test)]
mod tests {
    use super::*;
    use hookfast_sdk::test::{Answer, Host, Run, fixture};
    use std::time::Duration;

    const PAID: &str = include_str!("../fixtures/invoice.paid.json");

    fn answered(answer: Answer) -> Run {
        Host::new(&PLUGIN).on_post("crm", "/invoices", answer).run(&fixture("invoice.paid", PAID))
    }

    #[test]
    fn a_paid_invoice_reaches_the_crm() {
        let mut host = Host::new(&PLUGIN).config("currency", "usd").on_post("crm", "/invoices", 201);
        assert_eq!(host.run(&fixture("invoice.paid", PAID)).text(), "synced in_1SkQ2bLkdIwHu7ixPaW4f0Yz");

        let sent = host.sent("crm")[0];
        let expected = json!({
            "invoice": "in_1SkQ2bLkdIwHu7ixPaW4f0Yz",
            "customer": "cus_ThXk2pQ9vB41Ls",
            "amount_paid": 4900,
            "currency": "eur",
        });
        assert_eq!(sent.json::<Value>(), expected);
        assert_eq!(sent.header("content-type"), Some("application/json"));
        assert_eq!(host.logs()[0].message, "invoice synced");
    }

    #[test]
    fn a_crm_that_is_down_is_tried_again_under_the_same_key() {
        let mut host = Host::new(&PLUGIN).on_post("crm", "/invoices", [503, 200]);
        let event = fixture("invoice.paid", PAID);
        assert!(host.run(&event).is_retry());
        assert!(host.run(&event).is_done());

        let key = format!("{}.stripe-crm/crm", event.id);
        let keys: Vec<_> = host.sent("crm").iter().map(|sent| sent.header("idempotency-key")).collect();
        assert_eq!(keys, [Some(key.as_str()), Some(&key)]);
    }

    #[test]
    fn totals_and_notices_are_there_where_the_operator_wants_them_and_once() {
        let host = Host::new(&PLUGIN).config("totals", "on").config("notify", "on").on_post("crm", "/invoices", [503, 201]);
        let mut host = host.seed("paid/cus_ThXk2pQ9vB41Ls/eur", "100");
        let event = fixture("invoice.paid", PAID);
        assert!(host.run(&event).is_retry());
        assert!(host.delivered("notify").is_empty());
        assert!(host.run(&event).is_done());

        assert_eq!(host.state("paid/cus_ThXk2pQ9vB41Ls/eur"), Some("5000"));
        let [notice] = host.delivered("notify")[..] else { panic!("one notice") };
        assert_eq!((notice.method.as_str(), notice.path.as_str()), ("POST", "/messages"));
        let text = "cus_ThXk2pQ9vB41Ls has paid in_1SkQ2bLkdIwHu7ixPaW4f0Yz: 4900 eur";
        assert_eq!(notice.json::<Value>(), json!({ "text": text }));
    }

    #[test]
    fn without_them_it_needs_no_grant_but_the_crm() {
        let mut host = Host::new(&PLUGIN).without_grant("state").without_grant("notify").on_post("crm", "/invoices", 201);
        assert!(host.run(&fixture("invoice.paid", PAID)).is_done());
        assert!(host.delivered("notify").is_empty());

        let mut host = Host::new(&PLUGIN).without_grant("state").config("totals", "on").on_post("crm", "/invoices", 201);
        assert!(host.run(&fixture("invoice.paid", PAID)).is_dead_letter());
    }

    #[test]
    fn the_crms_answer_decides() {
        let busy = answered(Answer::status(429).header("retry-after", "30"));
        assert_eq!((busy.is_retry(), busy.after()), (true, Some(Duration::from_secs(30))));
        assert!(answered(Answer::fault("timeout")).is_retry());

        let refused = answered(Answer::status(400).body(r#"{"error":"unknown customer"}"#));
        assert!(refused.is_dead_letter() && refused.text().contains("unknown customer"), "{}", refused.text());
    }

    #[test]
    fn an_invoice_without_a_currency_takes_the_operators() {
        let invoice = PAID.replace(r#""currency": "eur","#, "");
        let mut host = Host::new(&PLUGIN).config("currency", "usd").on_post("crm", "/invoices", 200);
        assert!(host.run(&fixture("invoice.paid", &invoice)).is_done());
        assert_eq!(host.sent("crm")[0].json::<Value>()["currency"], "usd");

        let nowhere = Host::new(&PLUGIN).run(&fixture("invoice.paid", &invoice));
        assert!(nowhere.is_dead_letter() && nowhere.text().contains("no currency"), "{}", nowhere.text());
    }

    #[test]
    fn what_is_not_an_invoice_is_a_dead_letter_and_is_not_sent() {
        for garbage in ["", "not json", "{}", r#"{"data":{"object":{}}}"#, &PAID.replace("4900", "-1")] {
            let mut host = Host::new(&PLUGIN);
            assert!(host.run(&fixture("invoice.paid", garbage)).is_dead_letter(), "{garbage}");
            assert!(host.sent("crm").is_empty());
        }
    }

    #[test]
    fn other_events_are_discarded_unread() {
        let run = Host::new(&PLUGIN).run(&fixture("invoice.created", "not json"));
        assert!(run.is_discard());
        assert_eq!(run.text(), "not handled: invoice.created");
    }
}
