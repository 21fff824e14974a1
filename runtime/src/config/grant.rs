//! `[grants.NAME]`: what the operator allows a plugin.

use std::time::Duration;

use crate::document::{Field, Mistake, Section, Severity};
use crate::domain::{Grant, Limits, PluginName, SourceName, StateGrant, UpstreamName};

/// The state that a plugin may keep where its grant does not say how much.
const QUOTA_BYTES: usize = 1 << 20;

/// A grant as it is read, with the mistake that each of its upstreams would be if no file configures it.
pub(super) struct Granted {
    pub(super) plugin: PluginName,
    pub(super) grant: Grant,
    pub(super) unless_configured: Vec<(UpstreamName, Mistake)>,
    /// The same of the sources and topics that it may emit to.
    pub(super) unless_there: Vec<(SourceName, Mistake)>,
}

pub(super) fn read(name: &Field<'_>, section: &Section<'_>) -> Option<Granted> {
    let plugin = name.parse();
    let upstreams = section.field("upstreams").and_then(|field| field.as_list()).unwrap_or_default();
    let unless_configured: Vec<_> = upstreams.iter().filter_map(wanted).collect();
    let upstreams = unless_configured.iter().map(|(name, _)| name.clone()).collect();
    let targets = section.field("emits").and_then(|field| field.as_list()).unwrap_or_default();
    let unless_there: Vec<_> = targets.iter().filter_map(target).collect();
    let emits = unless_there.iter().map(|(name, _)| name.clone()).collect();
    let state = section.section("state", read_state);
    let text = |(key, field): (String, Field<'_>)| field.as_str().map(|value| (key, value.to_owned()));
    let config = section.section("config", |config| config.entries().into_iter().filter_map(text).collect()).unwrap_or_default();
    let limits = section.section("limits", read_limits).unwrap_or_default();
    let events = section.field("events_per_instance").and_then(|field| field.as_integer(1..=1_000_000));
    let events_per_instance = events.and_then(|events| u32::try_from(events).ok()).unwrap_or(1);
    Some(Granted {
        plugin: plugin?,
        grant: Grant { upstreams, emits, state, config, limits, events_per_instance },
        unless_configured,
        unless_there,
    })
}

fn wanted(field: &Field<'_>) -> Option<(UpstreamName, Mistake)> {
    let name: UpstreamName = field.parse()?;
    let message = format!("upstream `{name}` is not configured");
    let mistake = field.mistake(Severity::Error, message, Some(format!("add [upstreams.{name}], or grant one that is there")));
    Some((name, mistake))
}

fn target(field: &Field<'_>) -> Option<(SourceName, Mistake)> {
    let name: SourceName = field.parse()?;
    let message = format!("`{name}` is neither a source nor a topic");
    let mistake = field.mistake(Severity::Error, message, Some(format!("add [topics.{name}], or name one that is there")));
    Some((name, mistake))
}

fn read_state(section: &Section<'_>) -> StateGrant {
    let quota_bytes = section.field("quota").and_then(|field| field.as_bytes(1 << 10..=1 << 30)).unwrap_or(QUOTA_BYTES);
    let per = section.field("per").and_then(|field| field.one_of(&[("plugin", false), ("source", true)]));
    StateGrant { quota_bytes: u64::try_from(quota_bytes).unwrap_or(u64::MAX), is_per_source: per == Some(true) }
}

fn read_limits(section: &Section<'_>) -> Limits {
    let default = Limits::default();
    let tick = Duration::from_millis(10);
    let duration = |key, otherwise, most| section.field(key).and_then(|field| field.as_duration(tick..=most)).unwrap_or(otherwise);
    let bytes = |key, otherwise, range| section.field(key).and_then(|field| field.as_bytes(range)).unwrap_or(otherwise);
    let calls = section.field("calls").and_then(|field| field.as_integer(0..=10_000)).and_then(|calls| u32::try_from(calls).ok());
    Limits {
        cpu: duration("cpu", default.cpu, Duration::from_mins(1)),
        wall: duration("wall", default.wall, Duration::from_mins(15)),
        memory_bytes: bytes("memory", default.memory_bytes, 1 << 20..=128 << 20),
        log_bytes: bytes("log", default.log_bytes, 0..=1 << 20),
        calls: calls.unwrap_or(default.calls),
    }
}
