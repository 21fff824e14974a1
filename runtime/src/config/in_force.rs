//! The configuration that is in force: one value, replaced as a whole.

use std::collections::BTreeMap;
use std::sync::Arc;

use arc_swap::ArcSwap;

use super::{Live, Source};
use crate::domain::{RateLimiter, SourceName, SourceUsage, Timestamp};
use crate::upstream::{UpstreamError, Upstreams};

/// The reloadable settings with the clients built from them.
pub struct InForce {
    /// What the operator has said.
    pub settings: Live,
    /// The upstreams' clients.
    pub upstreams: Upstreams,
    /// Those who keep the sources' rates.
    limiters: Limiters,
    /// What is counted of the sources.
    usages: Usages,
}

type Usages = BTreeMap<SourceName, Arc<SourceUsage>>;
type Limiters = BTreeMap<SourceName, Arc<RateLimiter>>;

impl InForce {
    /// The one who keeps a source's rate, where it has one.
    pub fn limiter(&self, source: &SourceName) -> Option<&RateLimiter> {
        self.limiters.get(source).map(AsRef::as_ref)
    }

    /// What is counted of a source; every source that is in force has it.
    pub fn usage(&self, source: &SourceName) -> Option<&Arc<SourceUsage>> {
        self.usages.get(source)
    }
}

/// A source and a secret that stay keep what was counted.
fn usages(settings: &Live, before: &Usages, now: Timestamp) -> Usages {
    let usage = |(name, source): (&SourceName, &Arc<Source>)| {
        let secrets = source.secrets.iter().map(|secret| secret.spec.secret.clone());
        let before = before.get(name).map(AsRef::as_ref);
        (name.clone(), Arc::new(SourceUsage::continuing(before, secrets, now)))
    };
    settings.sources.iter().map(usage).collect()
}

/// A source whose rule did not change keeps what it has counted.
fn limiters(settings: &Live, before: &Limiters) -> Limiters {
    let rates = settings.sources.values().filter_map(|source| Some((source.name.clone(), source.rate?)));
    let limiter = |(source, rate)| {
        let kept = before.get(&source).filter(|limiter| limiter.rate() == rate).cloned();
        (source, kept.unwrap_or_else(|| Arc::new(RateLimiter::new(rate))))
    };
    rates.map(limiter).collect()
}

/// The configuration in force, shared by all who read it. A reader keeps what it loaded until it loads again.
#[derive(Clone)]
pub struct Current(Arc<ArcSwap<InForce>>);

impl Current {
    /// Puts the first configuration in force.
    pub fn new(settings: Live, now: Timestamp) -> Result<Self, UpstreamError> {
        let upstreams = Upstreams::new(settings.upstreams.iter().cloned())?;
        let limiters = limiters(&settings, &Limiters::new());
        let usages = usages(&settings, &Usages::new(), now);
        Ok(Self(Arc::new(ArcSwap::from_pointee(InForce { settings, upstreams, limiters, usages }))))
    }

    /// What is in force now.
    pub fn load(&self) -> Arc<InForce> {
        self.0.load_full()
    }

    /// Puts another configuration in force. Upstreams that did not change keep their connections, rates and secrets what was
    /// counted, sources the keys that were fetched; on an error nothing changes.
    pub fn replace(&self, settings: Live, now: Timestamp) -> Result<(), UpstreamError> {
        let before = self.0.load();
        let upstreams = before.upstreams.reloaded(settings.upstreams.iter().cloned())?;
        let limiters = limiters(&settings, &before.limiters);
        let usages = usages(&settings, &before.usages, now);
        for source in settings.sources.values() {
            before.settings.sources.get(source.name.as_str()).iter().for_each(|old| source.verifier.inherit(&old.verifier));
        }
        self.0.store(Arc::new(InForce { settings, upstreams, limiters, usages }));
        Ok(())
    }
}
