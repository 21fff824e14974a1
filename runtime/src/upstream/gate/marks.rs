//! The mark of an upstream whose operator has something to mend: credentials that it refuses, or a TLS handshake that fails. Both only
//! count in a row: one refusal between successes is a matter of one resource, one failed handshake an accident. Asks no clock.

use std::time::{Duration, Instant};

/// So many in a row make a mark.
const IN_A_ROW: u32 = 3;

/// A marked upstream is tried this often, and then ever more rarely.
const PROBE_FIRST: Duration = Duration::from_secs(30);
const PROBE_MAX: Duration = Duration::from_mins(5);

/// What is to be mended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mark {
    /// The upstream refuses its credentials.
    Auth,
    /// TLS with it fails.
    Tls,
}

/// What a call says of credentials and TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sign {
    /// An answer that only whoever is let in gets.
    LetIn,
    /// An answer that says nothing of credentials, such as a 503.
    Answered,
    /// 401 or 403, or no token to be had.
    Refused,
    /// TLS failed.
    NoTls,
    /// It says nothing.
    Nothing,
}

/// The signs in a row, and the mark that they made.
#[derive(Debug, Default)]
pub(super) struct Marks {
    refused: u32,
    no_tls: u32,
    marked: Option<Marked>,
}

#[derive(Debug)]
struct Marked {
    mark: Mark,
    probe_at: Instant,
    probe_every: Duration,
    is_probing: bool,
}

impl Marked {
    fn new(mark: Mark, now: Instant) -> Self {
        Self { mark, probe_at: now + PROBE_FIRST, probe_every: PROBE_FIRST, is_probing: false }
    }
}

impl Marks {
    /// The mark, and how long until the next probe.
    pub(super) fn mark(&self, now: Instant) -> Option<(Mark, Duration)> {
        self.marked.as_ref().map(|marked| (marked.mark, marked.probe_at.saturating_duration_since(now)))
    }

    /// Whether a call may pass: always where there is no mark, else one at a time as a probe. `None` where it may not.
    pub(super) fn look(&self, now: Instant) -> Option<bool> {
        match &self.marked {
            None => Some(false),
            Some(marked) if now >= marked.probe_at && !marked.is_probing => Some(true),
            Some(_) => None,
        }
    }

    /// A probe sets out.
    pub(super) fn probe(&mut self, now: Instant) {
        if let Some(marked) = &mut self.marked {
            marked.probe_every = (marked.probe_every * 2).min(PROBE_MAX);
            marked.probe_at = now + marked.probe_every;
            marked.is_probing = true;
        }
    }

    /// Takes in what a call says.
    pub(super) fn note(&mut self, sign: Sign, was_probe: bool, now: Instant) {
        if let Some(marked) = self.marked.as_mut().filter(|_| was_probe) {
            marked.is_probing = false;
        }
        let marked = self.marked.as_ref().map(|marked| marked.mark);
        match sign {
            Sign::LetIn => *self = Self::default(),
            Sign::Answered | Sign::Refused => {
                self.no_tls = 0;
                if marked == Some(Mark::Tls) {
                    self.marked = None;
                }
            }
            Sign::NoTls => self.no_tls += 1,
            Sign::Nothing => {}
        }
        if sign == Sign::Refused {
            self.refused += 1;
        }
        let due = [(Mark::Auth, self.refused), (Mark::Tls, self.no_tls)].into_iter().find(|(_, in_a_row)| *in_a_row >= IN_A_ROW);
        if let Some((mark, _)) = due.filter(|_| self.marked.is_none()) {
            self.marked = Some(Marked::new(mark, now));
        }
    }
}

impl Mark {
    /// What has happened, for people.
    pub(super) fn why(self) -> &'static str {
        match self {
            Self::Auth => "it refused its credentials 3 times in a row",
            Self::Tls => "TLS with it failed 3 times in a row",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn marked(signs: &[Sign]) -> Option<Mark> {
        let (mut marks, now) = (Marks::default(), Instant::now());
        signs.iter().for_each(|sign| marks.note(*sign, false, now));
        marks.mark(now).map(|(mark, _)| mark)
    }

    #[test]
    fn three_in_a_row_make_a_mark_and_a_success_between_them_does_not() {
        use Sign::*;
        for (signs, mark) in [
            (&[Refused, Refused, Refused][..], Some(Mark::Auth)),
            (&[Refused, Refused, LetIn, Refused, Refused], None),
            (&[Refused, Refused, Answered, Nothing, Refused], Some(Mark::Auth)),
            (&[NoTls, NoTls, NoTls], Some(Mark::Tls)),
            (&[NoTls, NoTls, Answered, NoTls], None),
            (&[NoTls, NoTls, Refused, NoTls], None),
            (&[NoTls, NoTls, NoTls, Answered], None),
            (&[Refused, Refused, Refused, Answered], Some(Mark::Auth)),
            (&[Refused, Refused, Refused, LetIn], None),
        ] {
            assert_eq!(marked(signs), mark, "{signs:?}");
        }
    }

    #[test]
    fn a_marked_upstream_is_probed_ever_more_rarely_one_call_at_a_time() {
        let (mut marks, mut now) = (Marks::default(), Instant::now());
        (0..3).for_each(|_| marks.note(Sign::Refused, false, now));
        for wait in [30, 60, 120, 240, 300, 300] {
            assert_eq!((marks.mark(now), marks.look(now)), (Some((Mark::Auth, seconds(wait))), None));
            now += seconds(wait);
            assert_eq!(marks.look(now), Some(true));
            marks.probe(now);
            assert_eq!(marks.look(now + seconds(1000)), None, "one probe at a time");
            marks.note(Sign::Refused, true, now);
        }
        marks.note(Sign::LetIn, true, now);
        assert_eq!((marks.mark(now), marks.look(now)), (None, Some(false)));
    }
}
