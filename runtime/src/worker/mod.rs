//! Runs jobs: takes a place, takes the job, runs the plugin, settles. Holds no transaction while a plugin runs, and settles
//! only what is still its own. Knows nothing of HTTP servers.

mod attempt;
mod handle;
mod surroundings;
mod journal;
mod effects;
mod deliver;
mod waiting;
mod turns;
mod newcomers;
mod notice;
mod decide;
mod report;
mod pace;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{error, info, warn};

use self::newcomers::Running;
use self::turns::Turns;
use crate::clock::Clock;
use crate::config::Current;
use crate::domain::{Effects, Job, Outcome, SourceName};
use crate::metrics::Metrics;
use crate::random::Random;
use crate::sandbox::{Engine, Plugins};
use crate::store::{Backlog, Claimed, Opened, Slots, Store};

/// The most jobs that one claim takes.
const CLAIM_MAX: usize = 128;
/// How often suspects are looked for.
const SUSPECTS_LOOK: Duration = Duration::from_millis(250);
/// How long after a failed claim the next is tried.
const CLAIM_RETRY: Duration = Duration::from_millis(500);

/// How long giving back may take: a full disk may take nothing at all.
const GIVING_BACK: Duration = Duration::from_secs(5);

/// What the worker works with.
pub struct Workshop {
    /// The queue.
    pub store: Store,
    /// The engine that plugins run on.
    pub engine: Arc<Engine>,
    /// The live plugins.
    pub plugins: Arc<Plugins>,
    /// Sources, upstreams and grants.
    pub current: Current,
    /// The wall clock.
    pub clock: Clock,
    /// Jitter.
    pub random: Random,
    /// Where attempts are measured.
    pub metrics: Arc<Metrics>,
    /// The places, shared with the store.
    pub slots: Slots,
}

/// The running worker. Its tasks live on the runtime it was started on.
pub struct Worker {
    tasks: TaskTracker,
    /// No new work.
    closing: CancellationToken,
    /// No more patience with running work.
    aborting: CancellationToken,
}

/// What the store found when it was opened, as far as the worker must know.
pub struct Inheritance {
    /// Jobs born running.
    pub born: mpsc::UnboundedReceiver<Claimed>,
    /// Whether there was unfinished work: then concurrency grows slowly.
    pub has_work: bool,
}

impl Inheritance {
    /// What an opened store hands on.
    pub fn of(opened: Opened) -> Self {
        Self { born: opened.born, has_work: opened.has_work }
    }
}

impl Worker {
    /// Starts working, on the runtime it is called on. `places` is how many attempts may run at once in the end.
    pub fn start(workshop: Workshop, inheritance: Inheritance, places: usize) -> Self {
        let worker = Self { tasks: TaskTracker::new(), closing: CancellationToken::new(), aborting: CancellationToken::new() };
        let (tasks, closing, aborting) = (worker.tasks.clone(), worker.closing.clone(), worker.aborting.clone());
        let crew = Arc::new(Crew {
            workshop,
            tasks,
            closing,
            aborting,
            outcomes: Semaphore::new(places),
            turns: Turns::default(),
            running: Arc::default(),
        });
        let Inheritance { born, has_work } = inheritance;
        worker.tasks.spawn(Arc::clone(&crew).run_born(born));
        worker.tasks.spawn(Arc::clone(&crew).run_claimed());
        worker.tasks.spawn(Arc::clone(&crew).run_suspects());
        worker.tasks.spawn(Arc::clone(&crew).wake_waiting());
        worker.tasks.spawn(async move {
            let kept = newcomers::kept(places);
            crew.open_places(places - kept, has_work).await;
            // Not before: after a start every source is a newcomer.
            if kept > 0 {
                crew.run_newcomers(kept).await;
            }
        });
        worker
    }

    /// Takes no new work, waits up to `patience` for running attempts, then gives back what still runs. Everything is settled
    /// when this returns.
    pub async fn drain(&self, patience: Duration) {
        self.closing.cancel();
        self.tasks.close();
        if tokio::time::timeout(patience, self.tasks.wait()).await.is_err() {
            warn!("drain time is over; running jobs are given back and will run again");
            self.aborting.cancel();
            if tokio::time::timeout(GIVING_BACK, self.tasks.wait()).await.is_err() {
                warn!("the store takes no outcomes now; what was running will be rescued at the next start");
            }
        }
    }
}

/// What the worker's tasks share.
struct Crew {
    workshop: Workshop,
    tasks: TaskTracker,
    closing: CancellationToken,
    aborting: CancellationToken,
    /// Outcomes on their way to the disk.
    outcomes: Semaphore,
    turns: Turns,
    running: Arc<Running>,
}

impl Crew {
    /// Runs jobs as they are born. What is born while closing is given back unrun.
    async fn run_born(self: Arc<Self>, mut born: mpsc::UnboundedReceiver<Claimed>) {
        while let Some(Some(claimed)) = self.closing.run_until_cancelled(born.recv()).await {
            self.start(claimed);
        }
        born.close();
        while let Some(claimed) = born.recv().await {
            self.give_back(claimed).await;
        }
    }

    /// Claims due jobs whenever there are some and a place is free.
    async fn run_claimed(self: Arc<Self>) {
        let mut backlog = self.workshop.store.backlog();
        let work = async {
            while self.until_due(&mut backlog).await {
                let slots = &self.workshop.slots;
                let mut places = vec![slots.take().await];
                places.extend(std::iter::from_fn(|| slots.try_take()).take(CLAIM_MAX - 1));
                self.claim(places, Vec::new()).await;
            }
        };
        self.closing.run_until_cancelled(work).await;
    }

    /// Until something is due; false once the store is gone.
    async fn until_due(&self, backlog: &mut watch::Receiver<Backlog>) -> bool {
        loop {
            let waiting = *backlog.borrow_and_update();
            if waiting.is_due(self.workshop.clock.steady()) {
                return true;
            }
            tokio::select! {
                changed = backlog.changed() => if changed.is_err() { return false },
                () = self.due(waiting.next_due()) => {}
            }
        }
    }

    async fn due(&self, next_due: Option<crate::domain::Timestamp>) {
        match next_due {
            Some(due) => self.workshop.clock.sleep_until(due).await,
            None => std::future::pending().await,
        }
    }

    /// Fills these places with due jobs of all sources but some; how many it found.
    async fn claim(self: &Arc<Self>, places: Vec<OwnedSemaphorePermit>, but: Vec<SourceName>) -> usize {
        // A claim that is under way is seen through, also while closing: what it takes is ours.
        let crew = Arc::clone(self);
        let claim = self.tasks.spawn(async move {
            let claimed = match crew.workshop.store.claim(places, but).await {
                Ok(claimed) => claimed,
                Err(error) => {
                    error!(%error, "jobs could not be claimed");
                    tokio::time::sleep(CLAIM_RETRY).await;
                    return 0;
                }
            };
            let found = claimed.len();
            for claimed in claimed {
                if crew.closing.is_cancelled() {
                    crew.give_back(claimed).await;
                } else {
                    crew.start(claimed);
                }
            }
            found
        });
        // A panic in it was logged by the panic hook, and the next turn claims again.
        claim.await.unwrap_or(0)
    }

    /// Runs the suspects of a crash one at a time beside ordinary work: this process's own predecessor's, and those of other nodes.
    async fn run_suspects(self: Arc<Self>) {
        while !self.closing.is_cancelled() {
            if !self.workshop.store.may_have_suspects() {
                self.pause().await;
                continue;
            }
            let Some(place) = self.closing.run_until_cancelled(self.workshop.slots.take()).await else { break };
            match self.workshop.store.claim_suspect(place).await {
                Ok(Some(claimed)) => {
                    let _run = self.running.begin(&claimed.job.source);
                    self.attempt(claimed).await;
                }
                // One that was charged waits for a while.
                Ok(None) => self.pause().await,
                Err(error) => {
                    error!(%error, "a suspect could not be claimed");
                    tokio::time::sleep(CLAIM_RETRY).await;
                }
            }
        }
    }

    async fn pause(&self) {
        self.closing.run_until_cancelled(tokio::time::sleep(SUSPECTS_LOOK)).await;
    }

    fn start(self: &Arc<Self>, claimed: Claimed) {
        let (crew, run) = (Arc::clone(self), self.running.begin(&claimed.job.source));
        self.tasks.spawn(async move {
            crew.attempt(claimed).await;
            drop(run);
        });
    }

    async fn give_back(&self, claimed: Claimed) {
        self.release(&claimed.job).await;
    }

    /// Makes a job ready again, as if it had not been taken.
    async fn release(&self, job: &Job) {
        if let Err(error) = self.workshop.store.settle(job, Outcome::Release, None, Effects::default()).await {
            info!(%error, event = %job.lineage.event, lineage = %job.lineage, "a job could not be given back; it will be rescued at the next start");
        }
    }
}
