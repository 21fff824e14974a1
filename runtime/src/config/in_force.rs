//! The configuration that is in force: one value, replaced as a whole.

use std::sync::Arc;

use arc_swap::ArcSwap;

use super::Live;
use crate::upstream::{UpstreamError, Upstreams};

/// The reloadable settings with the clients built from them.
pub struct InForce {
    /// What the operator has said.
    pub settings: Live,
    /// The upstreams' clients.
    pub upstreams: Upstreams,
}

/// The configuration in force, shared by all who read it. A reader keeps what it loaded until it loads again.
#[derive(Clone)]
pub struct Current(Arc<ArcSwap<InForce>>);

impl Current {
    /// Puts the first configuration in force.
    pub fn new(settings: Live) -> Result<Self, UpstreamError> {
        let upstreams = Upstreams::new(settings.upstreams.iter().cloned())?;
        Ok(Self(Arc::new(ArcSwap::from_pointee(InForce { settings, upstreams }))))
    }

    /// What is in force now.
    pub fn load(&self) -> Arc<InForce> {
        self.0.load_full()
    }

    /// Puts another configuration in force. Upstreams that did not change keep their connections; on an error nothing changes.
    pub fn replace(&self, settings: Live) -> Result<(), UpstreamError> {
        let upstreams = self.0.load().upstreams.reloaded(settings.upstreams.iter().cloned())?;
        self.0.store(Arc::new(InForce { settings, upstreams }));
        Ok(())
    }
}
