//! `[faults]`: what goes wrong on purpose at the upstreams. Refused unless the operator says that it is meant.

use crate::document::{Field, Mistake, Section, Severity};
use crate::domain::UpstreamName;
use crate::upstream::{Faults, PlannedFault};

/// The faults of one upstream.
pub(super) struct Configured {
    pub(super) upstream: UpstreamName,
    pub(super) faults: Faults,
    /// What is wrong if no upstream has this name.
    pub(super) unless_there: Mistake,
}

/// Reads the table under `faults`.
pub(super) fn read(field: &Field<'_>) -> Vec<Configured> {
    let read = |section: &Section<'_>| {
        let seed = section.field("seed").and_then(|field| field.as_integer(0..=i64::MAX)).unwrap_or(0);
        let is_allowed = section.field("allow_faults").and_then(|field| field.as_bool()).unwrap_or(false);
        let configured = section.each("upstreams", |name, section| read_upstream(name, section, seed.unsigned_abs()));
        let configured: Vec<_> = configured.into_iter().flatten().filter(|configured| !configured.faults.is_empty()).collect();
        (is_allowed, configured)
    };
    let Some((is_allowed, configured)) = field.section(read) else { return Vec::new() };
    if configured.is_empty() {
        return configured;
    }
    if !is_allowed {
        field.error(
            "[faults] breaks calls on purpose, and is refused unless it says that it is meant",
            Some("set allow_faults = true, or take the section away".into()),
        );
        return configured;
    }
    let described: Vec<_> = configured.iter().map(|own| format!("{}:{}", own.upstream, own.faults)).collect();
    field.warning(format!("faults are active on purpose: {}", described.join("; ")), Some("take [faults] away where calls matter".into()));
    configured
}

fn read_upstream(name: &Field<'_>, section: &Section<'_>, seed: u64) -> Option<Configured> {
    let upstream: Option<UpstreamName> = name.parse();
    // All are read before the first that cannot be ends it.
    let planned: Vec<_> = section.entries().into_iter().map(|(kind, field)| read_fault(&kind, &field)).collect();
    let planned: Option<Vec<_>> = planned.into_iter().collect();
    let faults = Faults::new(seed, planned?).map_err(|reason| section.error(reason)).ok()?;
    let upstream = upstream?;
    let message = format!("upstream `{upstream}` is not configured, and nothing can go wrong at it");
    let unless_there = name.mistake(Severity::Error, message, Some(format!("add [upstreams.{upstream}]")));
    Some(Configured { upstream, faults, unless_there })
}

/// A share as a number, or as text what the command line takes: `"first:3"`, `"0.2@300ms"`.
fn read_fault(kind: &str, field: &Field<'_>) -> Option<PlannedFault> {
    let text = if field.is_text() { field.as_str()?.to_owned() } else { field.as_number(0.0..=1.0)?.to_string() };
    PlannedFault::parse(kind, &text).map_err(|reason| field.error(format!("`{}`: {reason}", field.path()), None)).ok()
}
