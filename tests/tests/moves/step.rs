//! What can happen to a store, at random.

use proptest::prelude::*;

/// One thing that happens.
#[derive(Debug, Clone)]
pub(super) enum Step {
    /// An event under one of a few keys arrives.
    Admit {
        key: u8,
    },
    /// Events under different keys arrive at once, and with them one that no database takes.
    AdmitTogether {
        keys: Vec<u8>,
        bad: prop::sample::Index,
    },
    /// All that runs ends at once, and one of it in words that PostgreSQL does not take.
    SettleTogether {
        ends: Vec<End>,
        bad: prop::sample::Index,
    },
    /// The worker takes what is due.
    Claim {
        places: usize,
    },
    /// The worker takes a suspect.
    ClaimSuspect,
    /// A running job ends.
    Settle {
        which: prop::sample::Index,
        end: End,
    },
    /// A job that was given up for lost ends, too late.
    SettleStale {
        which: prop::sample::Index,
        end: End,
    },
    /// The process dies, and another one starts.
    Crash,
    /// A suspect is taken, and the process dies of it.
    CrashBySuspect,
    Advance {
        seconds: u64,
    },
    Unpark,
    Replay,
    Discard,
    Prune,
    /// Old events are forgotten.
    Expire,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum End {
    Done,
    Retry { seconds: u64 },
    Discard,
    Dead,
    Park,
    Release,
}

pub(super) fn steps() -> impl Strategy<Value = Vec<Step>> {
    let which = any::<prop::sample::Index>;
    let step = prop_oneof![
        6 => (0..12_u8).prop_map(|key| Step::Admit { key }),
        2 => (prop::collection::btree_set(0..12_u8, 1..6), which())
            .prop_map(|(keys, bad)| Step::AdmitTogether { keys: keys.into_iter().collect(), bad }),
        2 => (prop::collection::vec(end(), 4), which()).prop_map(|(ends, bad)| Step::SettleTogether { ends, bad }),
        4 => (1..4_usize).prop_map(|places| Step::Claim { places }),
        3 => Just(Step::ClaimSuspect),
        8 => (which(), end()).prop_map(|(which, end)| Step::Settle { which, end }),
        2 => (which(), end()).prop_map(|(which, end)| Step::SettleStale { which, end }),
        2 => Just(Step::Crash),
        4 => Just(Step::CrashBySuspect),
        3 => (1..40_u64).prop_map(|seconds| Step::Advance { seconds }),
        1 => Just(Step::Unpark),
        1 => Just(Step::Replay),
        1 => Just(Step::Discard),
        1 => Just(Step::Prune),
        1 => Just(Step::Expire),
    ];
    prop::collection::vec(step, 1..60)
}

pub(super) fn end() -> impl Strategy<Value = End> {
    prop_oneof![
        3 => Just(End::Done),
        3 => (0..20_u64).prop_map(|seconds| End::Retry { seconds }),
        1 => Just(End::Discard),
        2 => Just(End::Dead),
        1 => Just(End::Park),
        1 => Just(End::Release),
    ]
}
