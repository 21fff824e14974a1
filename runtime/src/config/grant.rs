//! `[grants.NAME]`: what the operator allows a plugin.

use std::time::Duration;

use crate::document::{Field, Section};
use crate::domain::{Grant, Limits, PluginName};

pub(super) fn read(name: &Field<'_>, section: &Section<'_>) -> Option<(PluginName, Grant)> {
    let plugin = name.parse();
    let upstreams = section.field("upstreams").and_then(|field| field.as_list()).unwrap_or_default();
    let upstreams = upstreams.iter().filter_map(|field| field.parse()).collect();
    let text = |(key, field): (String, Field<'_>)| field.as_str().map(|value| (key, value.to_owned()));
    let config = section.section("config", |config| config.entries().into_iter().filter_map(text).collect()).unwrap_or_default();
    let limits = section.section("limits", read_limits).unwrap_or_default();
    Some((plugin?, Grant { upstreams, config, limits }))
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
