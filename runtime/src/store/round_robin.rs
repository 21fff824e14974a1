//! Round robin over sources: a claim gives its places away one by one, to the sources in turn, and the next claim goes on where it stopped.
//! So each source gets its share however few places are free at a time, and however many jobs of others wait.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::domain::SourceName;

/// Where the last claim stopped: at the source that got a place last. In memory: after a start it begins anew. Claims of all sources and
/// those that leave some out go round each for themselves, or what the latter leave out would be passed over by the former.
#[derive(Default)]
pub(super) struct RoundRobin {
    all: Mutex<String>,
    some: Mutex<String>,
}

/// Where one claim stopped.
pub(super) struct Stop {
    leaves_out: bool,
    source: String,
}

impl Stop {
    /// At this source, a claim that left those out.
    pub(super) fn of(but: &[SourceName], source: String) -> Self {
        Self { leaves_out: !but.is_empty(), source }
    }
}

impl RoundRobin {
    /// Where the last claim stopped that left sources out, if this one does, else the last one that left none out; empty at first.
    pub(super) fn last(&self, but: &[SourceName]) -> String {
        self.of(!but.is_empty()).clone()
    }

    /// Notes where a claim stopped.
    pub(super) fn note(&self, stop: Stop) {
        *self.of(stop.leaves_out) = stop.source;
    }

    fn of(&self, leaves_out: bool) -> MutexGuard<'_, String> {
        let last = if leaves_out { &self.some } else { &self.all };
        last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How one claim gives its places away, in turns. What a source leaves of its share goes to the others in the next turn.
pub(super) struct Shares {
    /// Who may have more jobs, those first to whom the next place is due.
    next: VecDeque<String>,
    /// Those who had one of the places that were left over in this turn.
    had_one_more: VecDeque<String>,
    /// What each source is due in this turn, at least.
    each: usize,
    /// Places that nobody has.
    left: usize,
    /// Who was due a place last.
    last: Option<String>,
}

/// What a source may take.
pub(super) struct Share {
    pub(super) source: String,
    /// So many jobs; never none.
    pub(super) wanted: usize,
}

impl Shares {
    /// Of so many places, among sources with due jobs, those first that come after the last one.
    pub(super) fn of(places: usize, sources: Vec<String>) -> Self {
        Self { next: sources.into(), had_one_more: VecDeque::new(), each: 0, left: places, last: None }
    }

    /// The shares of the next turn, together as many as places are left; `None` once no place is left or nobody has more jobs.
    pub(super) fn turn(&mut self) -> Option<Vec<Share>> {
        self.next.append(&mut self.had_one_more);
        let sources = self.next.len();
        if sources == 0 || self.left == 0 {
            return None;
        }
        self.each = self.left / sources;
        let one_more = self.left % sources;
        let last = if one_more > 0 { one_more } else { sources } - 1;
        self.last = self.next.get(last).cloned();
        let asked = if self.each > 0 { sources } else { one_more };
        let due = |number| self.each + usize::from(number < one_more);
        Some(self.next.drain(..asked).enumerate().map(|(number, source)| Share { source, wanted: due(number) }).collect())
    }

    /// Notes how many jobs the source of a share had.
    pub(super) fn found(&mut self, share: Share, jobs: usize) {
        self.left = self.left.saturating_sub(jobs);
        if jobs >= share.wanted {
            let rank = if share.wanted > self.each { &mut self.had_one_more } else { &mut self.next };
            rank.push_back(share.source);
        }
    }

    /// Where the claim stopped: at the source that was due a place last, if any was.
    pub(super) fn last(self) -> Option<String> {
        self.last
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::{RoundRobin, Shares, Stop};
    use crate::domain::SourceName;

    /// Gives so many places to sources with so many jobs each, but for some.
    fn claim(round: &RoundRobin, jobs: &mut BTreeMap<String, usize>, places: usize, but: &[SourceName]) -> BTreeMap<String, usize> {
        let last = round.last(but);
        let is_asked = |source: &String| but.iter().all(|but| but.as_str() != source);
        let waiting = jobs.iter().filter(|(source, jobs)| **jobs > 0 && is_asked(source)).map(|(source, _)| source.clone());
        let (before, after): (Vec<_>, Vec<_>) = waiting.partition(|source| *source <= last);
        let (mut shares, mut taken) = (Shares::of(places, [after, before].concat()), BTreeMap::new());
        while let Some(turn) = shares.turn() {
            for share in turn {
                let waits = jobs.get_mut(&share.source).expect("a source");
                let found = share.wanted.min(*waits);
                *waits -= found;
                *taken.entry(share.source.clone()).or_insert(0) += found;
                shares.found(share, found);
            }
        }
        shares.last().into_iter().for_each(|last| round.note(Stop::of(but, last)));
        taken
    }

    proptest! {
        #[test]
        fn no_place_stays_free_while_jobs_wait(jobs in prop::collection::vec(0_usize..20, 1..8), places in 1_usize..40) {
            let mut waiting: BTreeMap<_, _> = jobs.iter().enumerate().map(|(number, jobs)| (format!("s{number}"), *jobs)).collect();
            let taken = claim(&RoundRobin::default(), &mut waiting, places, &[]);
            prop_assert_eq!(taken.values().sum::<usize>(), places.min(jobs.iter().sum()));
        }

        #[test]
        fn sources_that_always_have_jobs_get_equal_shares(sources in 1_usize..12, claims in prop::collection::vec(1_usize..30, 1..40)) {
            let mut waiting: BTreeMap<_, _> = (0..sources).map(|number| (format!("s{number}"), 100_000)).collect();
            let (round, mut had) = (RoundRobin::default(), BTreeMap::new());
            for places in &claims {
                // Whoever leaves some out in between changes nothing of it.
                claim(&round, &mut waiting, 1, &["s0".parse().expect("a name")]);
                for (source, jobs) in claim(&round, &mut waiting, *places, &[]) {
                    *had.entry(source).or_insert(0) += jobs;
                }
            }
            let each = |number| had.get(&format!("s{number}")).copied().unwrap_or(0);
            let (least, most) = ((0..sources).map(each).min().unwrap_or(0), (0..sources).map(each).max().unwrap_or(0));
            prop_assert!(most - least <= 1, "{had:?}");
        }

        #[test]
        fn each_other_source_has_a_place_once_at_most_before_one_that_waits(
            claims in prop::collection::vec((1_usize..8, prop::collection::vec(0_usize..4, 6)), 1..60)
        ) {
            let (round, mut waiting, mut places_of_others) = (RoundRobin::default(), BTreeMap::new(), BTreeMap::new());
            for (places, arriving) in claims {
                for (number, jobs) in arriving.into_iter().enumerate() {
                    *waiting.entry(format!("s{number}")).or_insert(0) += jobs;
                }
                let before = waiting.clone();
                let taken = claim(&round, &mut waiting, places, &[]);
                for (source, _) in before.into_iter().filter(|(_, jobs)| *jobs > 0) {
                    let others = if taken.contains_key(&source) { 0 } else { taken.values().sum::<usize>() };
                    let waited = places_of_others.entry(source).or_insert(0);
                    *waited = if others > 0 { *waited + others } else { 0 };
                    prop_assert!(*waited < waiting.len());
                }
            }
        }
    }
}
