//! A part of an attempt, alone, for the benchmark to measure. Nothing of a server comes here.

use super::SandboxError;
use super::engine::Engine;
use super::guest;
use super::plugin::Plugin;
use crate::domain::Limits;

impl Plugin {
    /// Makes an instance as an attempt does, and drops it.
    pub async fn instantiate(&self, engine: &Engine, limits: &Limits) -> Result<(), SandboxError> {
        let Some(handling) = &self.exports.handling else { return Ok(()) };
        let mut store = guest::store(engine, limits, None);
        handling.instantiate_async(&mut store).await.map(drop).map_err(SandboxError::Engine)
    }
}
