//! The bytes of signed requests: an invoice as Stripe sends it, each under an id of its own. Nothing here is sent.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use hookfast::clock::Clock;
use hookfast::verify::{Catalogue, sample};
use ring::hmac::{Context, HMAC_SHA256, Key};

/// What sender and sources share.
pub(crate) const SECRET: &str = "whsec_shared_by_the_benchmark_and_its_sources";
pub(crate) const EVENT_TYPE: &str = "invoice.paid";

/// Stands where the id goes, and is as long.
const ID: &str = "evt_bench_0000000000000000";

/// A body of about a given size, cut at its id.
#[derive(Clone)]
pub(crate) struct Body {
    before: Vec<u8>,
    after: Vec<u8>,
}

impl Body {
    /// An invoice with as many line items as make it at least so many bytes long.
    pub(crate) fn of(bytes: usize) -> Self {
        let catalogue = Catalogue::builtin();
        let provider = catalogue.provider("stripe").expect("a provider of the catalogue");
        let invoice = sample(provider, EVENT_TYPE, ID, Clock::system().now()).body;
        let invoice = String::from_utf8(invoice.to_vec()).expect("the sample is text");
        let (head, rest) = invoice.split_once("\"data\": [").expect("the sample has line items");
        let (item, tail) = rest.split_once(']').expect("the list ends");
        let more = bytes.saturating_sub(invoice.len()).div_ceil(item.len() + 1);
        let text = format!("{head}\"data\": [{}]{tail}", vec![item; more + 1].join(","));
        let (before, after) = text.split_once(ID).expect("the sample holds its id");
        Self { before: before.into(), after: after.into() }
    }

    /// Its length.
    pub(crate) fn bytes(&self) -> usize {
        self.before.len() + ID.len() + self.after.len()
    }

    /// With this id.
    pub(crate) fn with(&self, id: &str) -> Vec<u8> {
        [&self.before, id.as_bytes(), &self.after].concat()
    }
}

/// Writes requests, to one source after the other.
#[derive(Clone)]
pub(crate) struct Requests {
    body: Body,
    sources: Vec<String>,
    key: Arc<Key>,
    clock: Clock,
}

impl Requests {
    pub(crate) fn new(body: Body, sources: &[&str]) -> Self {
        let sources = sources.iter().map(|source| (*source).to_owned()).collect();
        Self { body, sources, key: Arc::new(Key::new(HMAC_SHA256, SECRET.as_bytes())), clock: Clock::system() }
    }

    /// Replaces what is in the buffer by the next request.
    pub(crate) fn write(&self, request: &mut Vec<u8>) {
        // No two events of a process have one id, whichever server they go to.
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let id = format!("evt_bench_{number:016x}");
        let now = self.clock.now().as_seconds();
        let source = &self.sources[usize::try_from(number).unwrap_or(0) % self.sources.len()];
        let Body { before, after } = &self.body;
        let mut signed = Context::with_key(&self.key);
        [now.to_string().as_bytes(), b".", before, id.as_bytes(), after].iter().for_each(|part| signed.update(part));
        let signature = hex::encode(signed.sign());
        let length = self.body.bytes();
        let head = format!(
            "POST /in/{source} HTTP/1.1\r\nhost: 127.0.0.1\r\nuser-agent: Stripe/1.0 (+https://stripe.com/docs/webhooks)\r\n\
             accept: */*\r\ncontent-type: application/json; charset=utf-8\r\nstripe-signature: t={now},v1={signature}\r\n\
             content-length: {length}\r\n\r\n"
        );
        request.clear();
        [head.as_bytes(), before, id.as_bytes(), after].iter().for_each(|part| request.extend_from_slice(part));
    }
}
