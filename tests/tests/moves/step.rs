//! What can happen to a store, at random.

use proptest::prelude::*;
use proptest::sample::Index;

/// A multiple of three, as there are two lines and what stands in none.
const KEYS: u8 = 12;

/// One thing that happens.
#[derive(Debug, Clone)]
pub(super) enum Step {
    /// An event arrives.
    Admit(Sent),
    /// Events arrive at once, most of them with others under the same key, and with them one that no database takes.
    AdmitTogether {
        sent: Vec<Sent>,
        bad: Index,
    },
    /// All that runs ends at once, and one of it so that the database refuses it.
    SettleTogether {
        ends: Vec<End>,
        bad: Index,
        how: Bad,
    },
    /// The worker takes what is due.
    Claim {
        places: usize,
    },
    /// The worker takes a suspect.
    ClaimSuspect,
    /// A running job ends.
    Settle {
        which: Index,
        end: End,
    },
    /// A job that was given up for lost ends, too late.
    SettleStale {
        which: Index,
        end: End,
    },
    /// A run looks at the state that another may change before it ends.
    Read,
    /// A running job is about to make the call of a step, or was answered.
    Journal {
        which: Index,
        step: u8,
        noted: Noted,
    },
    /// A job that was given up for lost was answered, too late.
    JournalStale {
        which: Index,
        step: u8,
        noted: Noted,
    },
    /// The process dies, and another one starts.
    Crash,
    /// Another process takes over, and this one says too late how its jobs ended.
    Outlive {
        end: End,
        noted: Noted,
    },
    /// A suspect is taken, and the process dies of it.
    CrashBySuspect,
    Advance {
        seconds: u64,
    },
    /// The plugin is there again.
    Unpark,
    /// An upstream is there again, for so many at first.
    UnparkUpstream {
        upstream: u8,
        jobs_max: u32,
    },
    Replay,
    Discard,
    Prune,
    /// Old events are forgotten.
    Expire,
}

/// What a sender sends: under one of a few keys one of two bodies, each with an answer of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sent {
    pub(super) key: u8,
    pub(super) body: u8,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum End {
    Done(Asked),
    Retry { seconds: u64 },
    Discard,
    Dead(Asked),
    Park,
    ParkForUpstream { upstream: u8 },
    Release,
}

/// What a run asks for. A delivery asks for nothing.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Asked {
    /// One more in the counter.
    pub(super) counts: bool,
    /// Another value in place of the one that was read.
    pub(super) replaces: bool,
    /// A value that goes after so many seconds.
    pub(super) leaves_for: Option<u64>,
    /// An event of this key, its jobs due after so many seconds.
    pub(super) emits: Option<(u8, u64)>,
    /// A request, due after so many seconds.
    pub(super) delivers: Option<u64>,
}

/// What no database takes.
#[derive(Debug, Clone, Copy)]
pub(super) enum Bad {
    /// Words that PostgreSQL does not take.
    Words,
    /// An emitted event that neither takes, and with it all else that a run can ask for.
    Event,
}

/// What is written down of a step.
#[derive(Debug, Clone, Copy)]
pub(super) enum Noted {
    Begun,
    Answered { status: u16 },
}

pub(super) fn steps() -> impl Strategy<Value = Vec<Step>> {
    let which = any::<Index>;
    let how = || prop_oneof![Just(Bad::Words), Just(Bad::Event)];
    let step = prop_oneof![
        14 => (0..KEYS, body()).prop_map(|(key, body)| Step::Admit(Sent { key, body })),
        6 => (sent_together(), which()).prop_map(|(sent, bad)| Step::AdmitTogether { sent, bad }),
        4 => (prop::collection::vec(end(), 4), which(), how()).prop_map(|(ends, bad, how)| Step::SettleTogether { ends, bad, how }),
        16 => (1..4_usize).prop_map(|places| Step::Claim { places }),
        8 => Just(Step::ClaimSuspect),
        18 => (which(), end()).prop_map(|(which, end)| Step::Settle { which, end }),
        2 => (which(), end()).prop_map(|(which, end)| Step::SettleStale { which, end }),
        1 => Just(Step::Read),
        6 => (which(), 0..2_u8, noted()).prop_map(|(which, step, noted)| Step::Journal { which, step, noted }),
        1 => (which(), 0..2_u8, noted()).prop_map(|(which, step, noted)| Step::JournalStale { which, step, noted }),
        1 => Just(Step::Crash),
        2 => (end(), noted()).prop_map(|(end, noted)| Step::Outlive { end, noted }),
        3 => Just(Step::CrashBySuspect),
        5 => (1..40_u64).prop_map(|seconds| Step::Advance { seconds }),
        1 => Just(Step::Unpark),
        1 => (0..2_u8, 1..3_u32).prop_map(|(upstream, jobs_max)| Step::UnparkUpstream { upstream, jobs_max }),
        2 => Just(Step::Replay),
        1 => Just(Step::Discard),
        1 => Just(Step::Prune),
        2 => Just(Step::Expire),
    ];
    prop::collection::vec(step, 1..80)
}

fn body() -> impl Strategy<Value = u8> {
    prop_oneof![3 => Just(0_u8), 1 => Just(1)]
}

/// Under three keys in a row, so that most are sent more than once. Those are of different lines: a database that takes groups side by side
/// may take either of two first.
fn sent_together() -> impl Strategy<Value = Vec<Sent>> {
    let nth_and_body = prop::collection::vec((0..3_u8, body()), 1..7);
    (0..KEYS, nth_and_body).prop_map(|(first, sent)| sent.into_iter().map(|(nth, body)| Sent { key: (first + nth) % KEYS, body }).collect())
}

fn end() -> impl Strategy<Value = End> {
    prop_oneof![
        4 => asked().prop_map(End::Done),
        3 => (0..20_u64).prop_map(|seconds| End::Retry { seconds }),
        1 => Just(End::Discard),
        2 => asked().prop_map(End::Dead),
        1 => Just(End::Park),
        1 => (0..2_u8).prop_map(|upstream| End::ParkForUpstream { upstream }),
        1 => Just(End::Release),
    ]
}

fn asked() -> impl Strategy<Value = Asked> {
    let delay = || prop_oneof![Just(0_u64), 1..20_u64];
    let leaves_for = prop::option::weighted(0.2, 1..20_u64);
    let (emits, delivers) = (prop::option::weighted(0.3, (0..KEYS, delay())), prop::option::weighted(0.3, delay()));
    let state = (prop::bool::weighted(0.4), prop::bool::weighted(0.5), leaves_for);
    (state, emits, delivers).prop_map(|((counts, replaces, leaves_for), emits, delivers)| Asked {
        counts,
        replaces,
        leaves_for,
        emits,
        delivers,
    })
}

fn noted() -> impl Strategy<Value = Noted> {
    prop_oneof![Just(Noted::Begun), prop_oneof![Just(200_u16), Just(404), Just(422)].prop_map(|status| Noted::Answered { status })]
}
