//! Places for newcomers. Round robin shares only places that come free; where the jobs of one source wait for a slow upstream, none does.
//! So some places are kept for sources that have next to none. What is kept is never filled with jobs of a source that has more.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;

use super::Crew;
use crate::domain::SourceName;

/// One place of so many is kept.
const KEPT_OF: usize = 16;
/// A source with so many running jobs gets none of them; and one claim takes no more, so that no source gets many at once.
const FEW: usize = 2;
/// How often is looked for newcomers while jobs are due and all other places are taken.
const LOOK: Duration = Duration::from_millis(25);
/// After a look that found none, so many times what it took: it goes over all sources with ready jobs.
const LOOKS: u32 = 4;
/// And at most that: a newcomer is to start within 100 ms.
const LOOK_MAX: Duration = Duration::from_millis(75);

/// Of so many places, how many are kept.
pub(super) fn kept(places: usize) -> usize {
    places / KEPT_OF
}

/// How many jobs of each source run.
#[derive(Default)]
pub(super) struct Running(Mutex<HashMap<SourceName, usize>>);

/// A job that runs, for as long as it does.
pub(super) struct Run {
    running: Arc<Running>,
    source: SourceName,
}

impl Running {
    pub(super) fn begin(self: &Arc<Self>, source: &SourceName) -> Run {
        *self.lock().entry(source.clone()).or_default() += 1;
        Run { running: Arc::clone(self), source: source.clone() }
    }

    /// The sources that are no newcomers.
    fn regulars(&self) -> Vec<SourceName> {
        self.lock().iter().filter(|(_, jobs)| **jobs >= FEW).map(|(source, _)| source.clone()).collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<SourceName, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        let mut running = self.running.lock();
        if let Some(jobs) = running.get_mut(&self.source) {
            *jobs -= 1;
            if *jobs == 0 {
                running.remove(&self.source);
            }
        }
    }
}

impl Crew {
    /// Claims due jobs of newcomers for the places that are kept.
    pub(super) async fn run_newcomers(self: &Arc<Self>, kept: usize) {
        let places = Arc::new(Semaphore::new(kept));
        let mut backlog = self.workshop.store.backlog();
        let work = async {
            let mut rest = LOOK;
            while self.until_due(&mut backlog).await {
                tokio::time::sleep(rest).await;
                if self.workshop.slots.free() > 0 {
                    rest = LOOK;
                    continue;
                }
                let mut free = vec![Arc::clone(&places).acquire_owned().await.expect("the semaphore is never closed")];
                free.extend(std::iter::from_fn(|| Arc::clone(&places).try_acquire_owned().ok()).take(FEW - 1));
                let (wanted, looked) = (free.len(), Instant::now());
                rest = match self.claim(free, self.running.regulars()).await {
                    0 => (LOOKS * looked.elapsed()).clamp(LOOK, LOOK_MAX),
                    claimed if claimed == wanted => Duration::ZERO,
                    _ => LOOK,
                };
            }
        };
        self.closing.run_until_cancelled(work).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_a_newcomer_while_few_of_its_jobs_run() {
        let running = Arc::new(Running::default());
        let (busy, quiet): (SourceName, SourceName) = ("busy".parse().expect("a name"), "quiet".parse().expect("a name"));
        let _quiet = running.begin(&quiet);
        let runs = [&busy, &busy, &busy].map(|source| running.begin(source));
        assert_eq!(running.regulars(), [busy]);
        drop(runs);
        assert_eq!(running.regulars(), []);
        assert_eq!(running.lock().keys().collect::<Vec<_>>(), [&quiet]);
    }

    #[test]
    fn a_small_worker_keeps_no_place() {
        assert_eq!([1, 15, 16, 128].map(kept), [0, 0, 1, 8]);
    }
}
