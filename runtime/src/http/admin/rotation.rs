//! What an operator who changes a source's secret wants to know: which one the provider signs with, and what is to be done before a request
//! is refused for it. Judges what this node has seen since its start, and says no more than that.

use std::time::Duration;

use serde::Serialize;

use crate::config::SourceSecret;
use crate::domain::{SecretUsage, Timestamp};

/// A secret that was silent for so long is no longer used, and one that ends within it ends soon: longer than most providers go on sending
/// again what they have signed before.
const PATIENCE: Duration = Duration::from_hours(7 * 24);

/// A source's secret without what it is.
#[derive(Debug, Clone, Serialize)]
pub(super) struct SecretView {
    /// Its place in the list, from 1.
    position: usize,
    /// What a plugin that proves requests asks for it by.
    name: Option<String>,
    /// How the operator refers to it.
    reference: String,
    not_before: Option<Timestamp>,
    not_after: Option<Timestamp>,
    state: State,
    /// How many requests it has proved.
    uses: u64,
    last_used_at: Option<Timestamp>,
    /// Since when it is counted: this node's start, or the reload that brought it.
    counted_since: Timestamp,
}

/// Where a secret stands by its own limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum State {
    Live,
    NotYet,
    Over,
}

/// Something to do about a secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Warning {
    /// `secret_over`, `secret_ends_soon`, `secret_unused` or `secret_unseen`.
    code: &'static str,
    /// The secret's place in the list, from 1.
    secret: usize,
    message: String,
}

impl SecretView {
    /// `position` counts from 0.
    pub(super) fn new(position: usize, secret: &SourceSecret, usage: &SecretUsage, now: Timestamp) -> Self {
        let (not_before, not_after) = (secret.spec.not_before, secret.spec.not_after);
        let state = match () {
            () if not_after.is_some_and(|end| end <= now) => State::Over,
            () if not_before.is_some_and(|from| now < from) => State::NotYet,
            () => State::Live,
        };
        Self {
            position: position + 1,
            name: secret.name.clone(),
            reference: secret.reference.clone(),
            not_before,
            not_after,
            state,
            uses: usage.count(),
            last_used_at: usage.last(),
            counted_since: usage.since(),
        }
    }

    fn warning(&self, in_use: Option<&Self>, now: Timestamp) -> Option<Warning> {
        let is_in_use = in_use.is_some_and(|other| other.position == self.position);
        let (code, message) = match (self.state, self.not_after, in_use) {
            (State::Over, Some(end), _) => ("secret_over", format!("is over since {end}: take it out of the list")),
            (State::Live, Some(end), Some(_)) if is_in_use && end.since(now) <= PATIENCE => {
                ("secret_ends_soon", format!("is the one in use and ends at {end}: the provider must sign with another one before"))
            }
            (State::Live, _, Some(other)) if !is_in_use => self.idleness(other, now)?,
            _ => return None,
        };
        let message = format!("secret {} ({}) {message}", self.position, self.reference);
        Some(Warning { code, secret: self.position, message })
    }

    /// What it means that this one is silent while another is used.
    fn idleness(&self, other: &Self, now: Timestamp) -> Option<(&'static str, String)> {
        let since = self.last_used_at.unwrap_or(self.counted_since);
        let days = now.since(since).as_secs() / (24 * 60 * 60);
        let position = other.position;
        if now.since(since) >= PATIENCE {
            return Some(("secret_unused", format!("has proved nothing for {days} days, and secret {position} has: it can be taken out")));
        }
        let unseen =
            || format!("has proved nothing since {since}, and secret {position} has: the provider does not use it yet, or no longer");
        self.last_used_at.is_none().then(|| ("secret_unseen", unseen()))
    }
}

/// What is to be done about a source's secrets, in their order.
pub(super) fn warnings(secrets: &[SecretView], now: Timestamp) -> Vec<Warning> {
    let used = || secrets.iter().filter(|secret| secret.state == State::Live && secret.uses > 0);
    // Those of another name are for something else.
    let in_use = |name: &Option<String>| used().filter(|secret| secret.name == *name).max_by_key(|secret| secret.last_used_at);
    secrets.iter().filter_map(|secret| secret.warning(in_use(&secret.name), now)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Secret, SourceUsage};
    use crate::verify::SecretSpec;

    const START: Timestamp = Timestamp::from_millis(0);
    const DAY: Duration = Duration::from_hours(24);

    fn secret(name: Option<&str>, end: Option<Timestamp>) -> SourceSecret {
        let spec = SecretSpec { secret: Secret::new(&b"s"[..]), not_before: None, not_after: end };
        SourceSecret { name: name.map(Into::into), reference: "env:S".into(), spec }
    }

    /// The warnings' codes at `now`, of secrets of which those at `used` were used on these days.
    fn codes_of(secrets: &[SourceSecret], used: &[(usize, u32)], now: Timestamp) -> Vec<String> {
        let usage = SourceUsage::continuing(None, secrets.iter().map(|secret| secret.spec.secret.clone()), START);
        used.iter().for_each(|(position, days)| usage.prove(*position, START + DAY * *days));
        let views = secrets.iter().zip(usage.secrets()).enumerate();
        let views: Vec<_> = views.map(|(at, (secret, usage))| SecretView::new(at, secret, usage, now)).collect();
        warnings(&views, now).into_iter().map(|warning| format!("{} {}", warning.secret, warning.code)).collect()
    }

    /// The same, of secrets that end after these days.
    fn codes(ends: &[Option<u32>], used: &[(usize, u32)], now: Timestamp) -> Vec<String> {
        let secrets: Vec<_> = ends.iter().map(|end| secret(None, end.map(|days| START + DAY * days))).collect();
        codes_of(&secrets, used, now)
    }

    #[test]
    fn a_secret_that_was_silent_for_a_week_while_another_was_used_can_go() {
        let week = START + PATIENCE;
        assert_eq!(codes(&[None, None], &[(1, 0), (0, 6)], week), ["2 secret_unused"]);
        assert_eq!(codes(&[None, None], &[(1, 0), (0, 6)], week - Duration::from_millis(1)), [""; 0]);
        assert_eq!(codes(&[None, None], &[(0, 6)], week), ["2 secret_unused"], "never used");
        assert_eq!(codes(&[None, None], &[(0, 6)], week - Duration::from_millis(1)), ["2 secret_unseen"]);
        assert_eq!(codes(&[None, None], &[], week), [""; 0], "nothing is known");
        assert_eq!(codes(&[None], &[(0, 0)], week + DAY), [""; 0], "there is no other one");
    }

    #[test]
    fn a_secret_of_another_name_is_for_something_else() {
        let secrets = [secret(Some("challenge"), None), secret(None, None), secret(None, None)];
        assert_eq!(codes_of(&secrets, &[(1, 6)], START + PATIENCE), ["3 secret_unused"]);
    }

    #[test]
    fn the_secret_in_use_is_told_a_week_before_its_end() {
        assert_eq!(codes(&[Some(10)], &[(0, 1)], START + DAY * 3), ["1 secret_ends_soon"]);
        assert_eq!(codes(&[Some(10)], &[(0, 1)], START + DAY * 3 - Duration::from_millis(1)), [""; 0]);
        assert_eq!(codes(&[None, Some(10)], &[(1, 1), (0, 2)], START + DAY * 9), ["2 secret_unused"], "another one is in use");
        assert_eq!(codes(&[None, Some(10)], &[(1, 9)], START + DAY * 10), ["2 secret_over"]);
    }

    #[test]
    fn a_warning_names_the_secret_as_the_operator_does() {
        let secret = SourceSecret { reference: "env:OLD".into(), ..secret(None, Some(START)) };
        let usage = SourceUsage::continuing(None, [secret.spec.secret.clone()], START);
        let view = SecretView::new(0, &secret, usage.secrets().next().expect("one"), START);
        let told = &warnings(&[view], START)[0].message;
        assert_eq!(told, "secret 1 (env:OLD) is over since 1970-01-01T00:00:00.000Z: take it out of the list");
    }
}
