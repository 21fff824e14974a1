//! What the test host knows of the steps of each job, over all its attempts.

use super::{Answer, fault};
use crate::bindings::hookfast::plugin::{types::Fault, upstream::Outgoing};
use std::collections::{HashMap, HashSet};

/// The journals of all jobs, by lineage and step.
#[derive(Debug, Default)]
pub(super) struct Journal {
    entries: HashMap<String, Entry>,
    /// The steps that the current run has called.
    called: HashSet<String>,
    /// The steps that the current run was the first to begin.
    begun: HashSet<String>,
}

#[derive(Debug)]
enum Entry {
    /// A call was about to be made.
    Begun,
    Recorded {
        request: Request,
        answer: Answer,
    },
}

/// What must stay the same of a step's request.
#[derive(Debug, PartialEq, Eq)]
struct Request {
    summary: String,
    body: Vec<u8>,
}

impl Request {
    fn of(outgoing: &Outgoing) -> Self {
        let Outgoing { method, upstream, path, body, .. } = outgoing;
        Self { summary: format!("{method} {upstream} {path}"), body: body.clone() }
    }
}

impl Journal {
    pub(super) fn start_run(&mut self) {
        self.called.clear();
        self.begun.clear();
    }

    pub(super) fn begin(&mut self, lineage: &str, step: &str) -> Result<String, Fault> {
        check_name(step)?;
        let key = format!("{lineage}/{step}");
        let standing = match self.entries.get(&key) {
            Some(Entry::Recorded { .. }) => "recorded",
            Some(Entry::Begun) if !self.begun.contains(step) => "uncertain",
            _ => "fresh",
        };
        if standing == "fresh" {
            self.begun.insert(step.to_owned());
            self.entries.insert(key, Entry::Begun);
        }
        Ok(standing.to_owned())
    }

    /// The recorded answer of a step that is about to be called; none: the request is to be made.
    pub(super) fn replay(&mut self, lineage: &str, step: &str, outgoing: &Outgoing) -> Result<Option<Answer>, Fault> {
        check_name(step)?;
        if !self.called.insert(step.to_owned()) {
            return Err(fault("invalid_request", format!("step `{step}` is used twice in one attempt")));
        }
        let Some(Entry::Recorded { request, answer }) = self.entries.get(&format!("{lineage}/{step}")) else { return Ok(None) };
        let asked = Request::of(outgoing);
        if *request == asked {
            return Ok(Some(answer.clone().recorded()));
        }
        let another = if request.summary == asked.summary { " with another body" } else { "" };
        let message = format!("step `{step}` is recorded for {}, and is now {}{another}", request.summary, asked.summary);
        Err(fault("step_changed", message))
    }

    /// Keeps the answer of a step, if it is final.
    pub(super) fn record(&mut self, lineage: &str, step: &str, outgoing: &Outgoing, answer: &Answer) {
        if answer.is_final() && (!crate::call::expects_json(outgoing) || answer.is_json_if_successful()) {
            let entry = Entry::Recorded { request: Request::of(outgoing), answer: answer.clone() };
            self.entries.insert(format!("{lineage}/{step}"), entry);
        }
    }
}

fn check_name(step: &str) -> Result<(), Fault> {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
    if (1..=64).contains(&step.len()) && step.bytes().all(is_allowed) {
        return Ok(());
    }
    Err(fault("invalid_request", format!("step `{step}` is not 1 to 64 of `a-z A-Z 0-9 _ . -`")))
}
