//! The one home of wall-clock time. Everything that needs "now" or waits for a moment is given a [`Clock`];
//! tests give a manual one and move it. Deadlines of I/O are monotonic and do not come from here.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::watch;

use crate::domain::Timestamp;

/// Tells the time and waits for it.
#[derive(Debug, Clone)]
pub struct Clock(Inner);

#[derive(Debug, Clone)]
enum Inner {
    System,
    Manual(Arc<watch::Sender<Timestamp>>),
}

impl Clock {
    /// The machine's clock.
    pub fn system() -> Self {
        Self(Inner::System)
    }

    /// A clock that stands still until [`Self::advance`] moves it.
    pub fn manual(start: Timestamp) -> Self {
        Self(Inner::Manual(Arc::new(watch::Sender::new(start))))
    }

    /// The time now.
    pub fn now(&self) -> Timestamp {
        match &self.0 {
            Inner::System => system_now(),
            Inner::Manual(time) => *time.borrow(),
        }
    }

    /// The time where a test gives it; `None` where it is the machine's, and a database shared by several may ask its own.
    pub fn given(&self) -> Option<Timestamp> {
        match &self.0 {
            Inner::System => None,
            Inner::Manual(time) => Some(*time.borrow()),
        }
    }

    /// Moves a manual clock forward and wakes whoever waits.
    ///
    /// # Panics
    /// If the clock is the machine's.
    pub fn advance(&self, by: Duration) {
        match &self.0 {
            Inner::System => panic!("the machine's clock cannot be moved"),
            Inner::Manual(time) => time.send_modify(|now| *now = *now + by),
        }
    }

    /// Waits until `due`. On the machine's clock it looks again at least every second, so that a step of the clock is noticed.
    pub async fn sleep_until(&self, due: Timestamp) {
        match &self.0 {
            Inner::System => {
                while system_now() < due {
                    tokio::time::sleep(due.since(system_now()).min(Duration::from_secs(1))).await;
                }
            }
            Inner::Manual(time) => {
                let mut time = time.subscribe();
                let _ = time.wait_for(|now| *now >= due).await;
            }
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "the one home of wall-clock time")]
fn system_now() -> Timestamp {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_millis(i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX))
}
