//! What every part of a run is given.

use crate::databases::Databases;
use crate::floor::Axum;
use crate::scale::Scale;
use crate::upstream::Upstreams;

pub(crate) struct Bench {
    pub(crate) scale: Scale,
    pub(crate) databases: Databases,
    pub(crate) upstreams: Upstreams,
    pub(crate) axum: Axum,
}

impl Bench {
    pub(crate) fn new(scale: Scale) -> anyhow::Result<Self> {
        Ok(Self { scale, databases: Databases::default(), upstreams: Upstreams::start()?, axum: Axum::start()? })
    }
}
