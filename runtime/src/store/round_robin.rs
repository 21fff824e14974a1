//! Round robin over sources: a claim gives its places away one by one, to the sources in turn, and the next claim goes on where it stopped.
//! So each source gets its share however few places are free at a time, and however many jobs of others wait.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

/// Where the round stands: at the source that got a place last. In memory: after a start it begins anew.
#[derive(Default)]
pub(super) struct RoundRobin(Mutex<String>);

impl RoundRobin {
    /// The source that got a place last, empty at first: the round goes on with the next one by name.
    pub(super) fn last(&self) -> String {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// These sources in the round's order.
    pub(super) fn in_order(&self, mut sources: Vec<String>) -> Vec<String> {
        sources.sort_unstable();
        let last = self.last();
        let next = sources.partition_point(|source| *source <= last);
        sources.rotate_left(next);
        sources
    }

    /// Notes where a claim stopped.
    pub(super) fn stops_at(&self, source: String) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = source;
    }
}

/// How one claim gives its places away. What a source is due in a turn it takes at once; what it leaves of that goes to the others in the
/// next turn.
pub(super) struct Shares {
    /// Who has not been asked in this turn, in the round's order.
    waiting: VecDeque<String>,
    /// Who took all that it was due in this turn, and may have more jobs.
    unsatisfied: VecDeque<String>,
    /// What each source is due in this turn.
    each: usize,
    /// So many of those that wait are due one more, and so many of the unsatisfied had one more: the places that were left over.
    one_more: usize,
    had_one_more: usize,
    left: usize,
    last: Option<String>,
}

/// What a source may take.
pub(super) struct Share {
    pub(super) source: String,
    /// So many jobs; never none.
    pub(super) wanted: usize,
}

impl Shares {
    /// Of so many places, among sources with due jobs in the round's order.
    pub(super) fn of(places: usize, sources: Vec<String>) -> Self {
        let (waiting, unsatisfied) = (VecDeque::new(), sources.into());
        Self { waiting, unsatisfied, each: 0, one_more: 0, had_one_more: 0, left: places, last: None }
    }

    /// The next source's; `None` once no place is left or nobody has more jobs.
    pub(super) fn next(&mut self) -> Option<Share> {
        if self.left == 0 {
            return None;
        }
        if self.waiting.is_empty() || self.due() == 0 {
            self.begin_turn();
        }
        let wanted = self.due();
        self.waiting.pop_front().map(|source| Share { source, wanted })
    }

    /// What the next source is due.
    fn due(&self) -> usize {
        self.each + usize::from(self.one_more > 0)
    }

    /// First those to whom the next place is due.
    fn begin_turn(&mut self) {
        self.unsatisfied.rotate_left(self.had_one_more);
        self.waiting.append(&mut self.unsatisfied);
        let sources = self.waiting.len().max(1);
        (self.each, self.one_more, self.had_one_more) = (self.left / sources, self.left % sources, 0);
        let last = self.one_more.checked_sub(1).map_or_else(|| self.waiting.back(), |last| self.waiting.get(last));
        self.last = last.cloned().or_else(|| self.last.take());
    }

    /// Notes how many jobs the source of a share had.
    pub(super) fn found(&mut self, share: Share, jobs: usize) {
        self.left = self.left.saturating_sub(jobs);
        let is_one_more = self.one_more > 0;
        self.one_more = self.one_more.saturating_sub(1);
        if jobs >= share.wanted {
            self.had_one_more += usize::from(is_one_more);
            self.unsatisfied.push_back(share.source);
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

    use super::{RoundRobin, Shares};

    /// Gives so many places to sources with so many jobs each.
    fn claim(round: &RoundRobin, jobs: &mut BTreeMap<String, usize>, places: usize) -> BTreeMap<String, usize> {
        let waiting = jobs.iter().filter(|(_, jobs)| **jobs > 0).map(|(source, _)| source.clone()).collect();
        let (mut shares, mut taken) = (Shares::of(places, round.in_order(waiting)), BTreeMap::new());
        while let Some(share) = shares.next() {
            let waits = jobs.get_mut(&share.source).expect("a source");
            let found = share.wanted.min(*waits);
            *waits -= found;
            *taken.entry(share.source.clone()).or_insert(0) += found;
            shares.found(share, found);
        }
        shares.last().into_iter().for_each(|last| round.stops_at(last));
        taken
    }

    proptest! {
        #[test]
        fn no_place_stays_free_while_jobs_wait(jobs in prop::collection::vec(0_usize..20, 1..8), places in 1_usize..40) {
            let mut waiting: BTreeMap<_, _> = jobs.iter().enumerate().map(|(number, jobs)| (format!("s{number}"), *jobs)).collect();
            let taken = claim(&RoundRobin::default(), &mut waiting, places);
            prop_assert_eq!(taken.values().sum::<usize>(), places.min(jobs.iter().sum()));
        }

        #[test]
        fn sources_that_always_have_jobs_get_equal_shares(sources in 1_usize..12, claims in prop::collection::vec(1_usize..30, 1..40)) {
            let mut waiting: BTreeMap<_, _> = (0..sources).map(|number| (format!("s{number}"), 100_000)).collect();
            let (round, mut had) = (RoundRobin::default(), BTreeMap::new());
            for places in &claims {
                for (source, jobs) in claim(&round, &mut waiting, *places) {
                    *had.entry(source).or_insert(0) += jobs;
                }
            }
            let each = |number| had.get(&format!("s{number}")).copied().unwrap_or(0);
            let (least, most) = ((0..sources).map(each).min().unwrap_or(0), (0..sources).map(each).max().unwrap_or(0));
            prop_assert!(most - least <= 1, "{had:?}");
        }
    }
}
