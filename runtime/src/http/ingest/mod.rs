//! The front door: `POST /in/{source}`. Limits, then proof, then the store, then the answer; no guest code, unless a source names a
//! plugin for its provider.

mod receive;
mod keys;
mod admission;
mod ask;
mod client_address;
mod budget;
mod body;
mod decode;
mod answer;
mod refusals;
mod quarantine;
mod reverify;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::config::{Current, Proxies};
use crate::http::listen::{Incoming, Respond};
use crate::metrics::Metrics;
use crate::random::Random;
use crate::sandbox::{Engine, Plugins};
use crate::store::Store;

pub use budget::BodyBudget;
pub use keys::KeyFetcher;
pub use refusals::RefusalLog;
pub use reverify::Reverifier;
pub(super) use reverify::{Reverified, ReverifyError};

/// What receiving a webhook needs.
pub struct FrontDoor {
    /// The sources.
    pub current: Current,
    /// Where events go.
    pub store: Store,
    /// Where plugins that prove requests run.
    pub engine: Arc<Engine>,
    /// Those that are live.
    pub plugins: Arc<Plugins>,
    /// The wall clock.
    pub clock: Clock,
    /// Where keys that providers publish come from.
    pub keys: KeyFetcher,
    /// Ids.
    pub random: Random,
    /// Where requests are counted.
    pub metrics: Arc<Metrics>,
    /// Where refusals are kept.
    pub refusals: Arc<RefusalLog>,
    /// Cancelled once the node takes no more.
    pub draining: CancellationToken,
    /// From the end of the head to the end of the body.
    pub body_timeout: Duration,
    /// The memory for bodies that have no proof yet.
    pub budget: BodyBudget,
    /// The proxies before this server.
    pub proxies: Arc<Proxies>,
}

/// `POST /in/{source}`; any other path is no source's. Without a router, which costs more than to look the source up.
impl Respond for Arc<FrontDoor> {
    type Body = answer::Body;

    fn respond(self, request: Request<Incoming>, peer: IpAddr) -> impl Future<Output = Response<answer::Body>> + Send + 'static {
        receive::receive(self, request, peer)
    }
}
