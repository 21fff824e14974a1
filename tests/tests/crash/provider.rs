//! A provider as providers are: what is not acknowledged is sent again under the same id.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use hookfast::clock::Clock;
use hookfast::random::Random;
use hookfast_tests::Sender;
use hookfast_tests::sender::Wire;
use tokio::sync::watch;

/// Where each node takes webhooks now; none while it is down.
pub(crate) type Served = watch::Receiver<Vec<Option<SocketAddr>>>;

/// What it sends, and what was acknowledged.
pub(crate) struct Provider {
    sender: Sender,
    clock: Clock,
    pub(crate) served: Served,
    pub(crate) stops: AtomicBool,
    /// The provider's id of each event, and ours.
    pub(crate) acknowledged: Mutex<BTreeMap<String, String>>,
}

impl Provider {
    pub(crate) fn new(served: Served) -> Self {
        Self {
            sender: Sender::new("stripe", "stripe", "shared-secret"),
            clock: Clock::system(),
            served,
            stops: AtomicBool::new(false),
            acknowledged: Mutex::default(),
        }
    }

    /// One connection, always to the same node: event after event, and some of them again later, across crashes.
    pub(crate) async fn send(self: Arc<Self>, connection: u64) {
        let (wire, mut served, random) = (Wire::new(), self.served.clone(), Random::seeded(connection));
        let mut sent = Vec::new();
        while !self.stops.load(Ordering::Relaxed) {
            let old = sent.get((random.draw() * 10.0 * sent.len() as f64) as usize).cloned();
            let id = old.unwrap_or_else(|| format!("evt_{connection}_{}", sent.len()));
            let event = self.until_acknowledged(&id, connection, &wire, &mut served).await;
            let known = self.acknowledged.lock().expect("no panic").insert(id.clone(), event.clone());
            match known {
                Some(known) => assert_eq!(known, event, "{id} is another event the second time"),
                None => sent.push(id),
            }
        }
    }

    pub(crate) async fn until_acknowledged(&self, id: &str, connection: u64, wire: &Wire, served: &mut Served) -> String {
        loop {
            let address = {
                let nodes = served.borrow_and_update();
                nodes[usize::try_from(connection).expect("a small number") % nodes.len()]
            };
            let delivery = self.sender.delivery("invoice.paid", id, self.clock.now());
            let answer = match address {
                Some(address) => wire.send(address, &delivery).await.ok(),
                None => None,
            };
            match answer {
                Some(answer) if answer.status == 202 => return answer.event().to_string(),
                Some(answer) => assert_eq!(answer.status, 503, "{answer:?}"),
                // The process is gone; the next one will be announced.
                None => served.changed().await.expect("the test goes on"),
            }
        }
    }
}
