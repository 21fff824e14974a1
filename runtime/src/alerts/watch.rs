//! Looks at this node now and then, and tells what is due.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::alert::Rule;
use super::board::{Board, Shown};
use super::event::event;
use super::health;
use super::heard::Heard;
use super::message::Message;
use super::notices::{Notice, Notices, Pace};
use super::rules::{Observer, Sample};
use super::standings::Standings;
use crate::clock::Clock;
use crate::config::{AlertSettings, Current, InForce, alerts_topic};
use crate::domain::Timestamp;
use crate::metrics::Metrics;
use crate::random::Random;
use crate::store::{AdmitError, DeadFilter, Store, StoreError};

/// How often it is looked whether alerts are configured by now.
const IDLE: Duration = Duration::from_secs(15);

/// What the watch looks at and tells by.
pub struct Watch {
    /// The queue, and where notices are admitted.
    pub store: Store,
    /// Rules, receivers, and what is counted of sources.
    pub current: Current,
    /// What is counted of plugins; where it is shown what fires.
    pub metrics: Arc<Metrics>,
    /// The wall clock.
    pub clock: Clock,
    /// Ids.
    pub random: Random,
    /// Where what fires is shown.
    pub board: Arc<Board>,
    /// This machine's name; empty where it has none.
    pub host: String,
    /// Whether others may see the same queue: what all see is told apart from what this node sees.
    pub is_one_of_several: bool,
}

/// What it has in mind from look to look.
struct Mind {
    observer: Observer,
    standings: Standings,
    notices: Notices,
}

/// Why something could not be told; it stays due.
#[derive(Debug, thiserror::Error)]
enum Untold {
    #[error("what was told before cannot be read: {0}")]
    Unreadable(#[from] StoreError),
    #[error("{0}")]
    NotAdmitted(#[from] AdmitError),
}

impl Watch {
    /// Watches until `closing`.
    pub async fn run(self, closing: CancellationToken) {
        let mut mind = None;
        loop {
            let in_force = self.current.load();
            let pause = match &in_force.settings.alerts {
                Some(settings) => {
                    self.look(&mut mind, &in_force, settings).await;
                    settings.every
                }
                None => {
                    mind = None;
                    self.show(&[]);
                    IDLE
                }
            };
            drop(in_force);
            if closing.run_until_cancelled(self.clock.sleep(pause)).await.is_none() {
                break;
            }
        }
    }

    /// One look, and what it brings. A store that cannot be read is looked at again the next time.
    async fn look(&self, mind: &mut Option<Mind>, in_force: &InForce, settings: &AlertSettings) {
        let mind = match mind {
            Some(mind) => mind,
            None => match self.begin().await {
                Ok(begun) => mind.insert(begun),
                Err(error) => return warn!(%error, "alerts are not looked at: what was told before cannot be read"),
            },
        };
        let sample = match self.sample(in_force).await {
            Ok(sample) => sample,
            Err(error) => return warn!(%error, "alerts are not looked at: the queue cannot be read"),
        };
        let found = mind.observer.look(&sample, &settings.rules, &|key| mind.standings.is_firing(key));
        mind.standings.look(found);
        if let Err(error) = self.tell(mind, in_force, settings, sample.at).await {
            warn!(%error, "an alert is not told yet");
        }
        let shown = |alert: &super::Alert| Shown { told_at: mind.notices.told_at(alert), alert: alert.clone() };
        self.show(&mind.standings.firing().map(shown).collect::<Vec<_>>());
    }

    /// What was told as firing before this process began fires until two looks say otherwise.
    async fn begin(&self) -> Result<Mind, StoreError> {
        let heard = Heard::read(&self.store, &self.host).await?;
        let (mut standings, mut notices) = (Standings::default(), Notices::default());
        standings.resume(heard.firing());
        heard.teach(&mut notices);
        Ok(Mind { observer: Observer::new(self.host.clone()), standings, notices })
    }

    async fn sample(&self, in_force: &InForce) -> Result<Sample, StoreError> {
        let counts = self.store.job_counts().await?;
        // One that told of a dead letter may become one, and would be told of.
        let own = self.store.dead_letter_count(&DeadFilter { source: Some(alerts_topic()), ..DeadFilter::default() }).await?;
        let at = self.clock.steady();
        let sources = in_force.settings.sources.keys();
        let refused = sources.filter_map(|source| Some((source.clone(), in_force.usage(source)?.counts().refused())));
        Ok(Sample {
            at,
            dead_letters: counts.dead.saturating_sub(own),
            waited: counts.oldest_due.map(|due| at.since(due)).unwrap_or_default(),
            runs: self.metrics.runs(),
            refused: refused.collect(),
            upstreams: health::upstreams(in_force, self.clock.now()),
        })
    }

    /// Tells what is due and nobody else has told.
    async fn tell(&self, mind: &mut Mind, in_force: &InForce, settings: &AlertSettings, now: Timestamp) -> Result<(), Untold> {
        let Mind { standings, notices, .. } = mind;
        let pace = Pace { group: settings.group, repeat: settings.repeat };
        if notices.due(standings.firing(), now, pace).is_empty() {
            return Ok(());
        }
        let heard = Heard::read(&self.store, &self.host).await?;
        heard.teach(notices);
        for notice in notices.due(standings.firing(), now, pace) {
            for part in self.parts(notice) {
                let told_at = self.clock.now();
                let message = Message::new(part.clone(), &self.host, told_at);
                let id = self.store.event_id(told_at.max(now), self.random.bytes());
                let event = event(id, &message, heard.newest, &in_force.settings, settings, told_at);
                self.store.admit(vec![event]).await?;
                info!(event = %id, kind = part.kind.as_str(), alerts = part.alerts.len(), "alerts told");
                notices.told(&part, now);
            }
        }
        Ok(())
    }

    /// What all nodes tell alike, and what is this one's: an event that several may store must be the same for all of them.
    fn parts(&self, notice: Notice) -> Vec<Notice> {
        if !self.is_one_of_several {
            return vec![notice];
        }
        let Notice { kind, alerts } = notice;
        let (shared, own): (Vec<_>, Vec<_>) = alerts.into_iter().partition(|alert| alert.rule.is_shared());
        [shared, own].into_iter().filter(|alerts| !alerts.is_empty()).map(|alerts| Notice { kind, alerts }).collect()
    }

    fn show(&self, firing: &[Shown]) {
        for rule in Rule::ALL {
            self.metrics.alerts_firing(rule.as_str(), firing.iter().filter(|shown| shown.alert.rule == rule).count());
        }
        self.board.show(firing.to_vec());
    }
}
