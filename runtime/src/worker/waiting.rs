//! Jobs that wait for an upstream: looked at all the time, and woken as many at once as it takes calls now.

use std::sync::Arc;
use std::time::Duration;

use tracing::{debug, error};

use super::Crew;

/// How often it is looked whether an upstream takes calls again.
const LOOK: Duration = Duration::from_secs(1);

/// So many are woken in one transaction.
const WOKEN_MAX: u32 = 1000;

impl Crew {
    pub(super) async fn wake_waiting(self: Arc<Self>) {
        while self.closing.run_until_cancelled(tokio::time::sleep(LOOK)).await.is_some() {
            self.turns.tidy();
            if let Err(error) = self.wake().await {
                error!(%error, "jobs that wait for an upstream could not be made ready");
            }
        }
    }

    async fn wake(&self) -> Result<(), crate::store::StoreError> {
        for (upstream, waiting) in self.workshop.store.parked_upstreams().await? {
            let takes = self.workshop.current.load().upstreams.takes(&upstream, self.workshop.clock.now()).min(WOKEN_MAX);
            if takes > 0 {
                let woken = self.workshop.store.unpark_upstream(&upstream, takes).await?;
                debug!(%upstream, waiting, woken, "jobs that waited for an upstream are ready");
            }
        }
        Ok(())
    }
}
