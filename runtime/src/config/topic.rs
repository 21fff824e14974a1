//! `[topics.NAME]`: where plugins emit events to and nobody sends from outside. Topics and sources share their names.

use std::time::Duration;

use super::source::{Ordering, read_ordering, read_retry, read_routes};
use super::{Live, Source};
use crate::document::{Field, Mistake, Section};
use crate::domain::{DedupePolicy, Headers, OrderingKey, PluginName, RetryPolicy, Route, SourceName};
use crate::verify::{Options, Verifier};

/// How long the key of an emitted event is remembered, where its target does not say.
const WINDOW: Duration = Duration::from_hours(72);
/// What an event from outside is verified as being.
const PROVIDER: &str = "topic";

/// An internal source.
#[derive(Debug)]
pub struct Topic {
    /// Its name, in the same namespace as the sources'.
    pub name: SourceName,
    /// Where its events go.
    pub routes: Vec<Route>,
    /// What happens to failures that may pass.
    pub retry: RetryPolicy,
    /// Proves nothing; finds the ordering key.
    verifier: Verifier,
    skip_after: Option<u32>,
}

/// Where an emitted event goes.
pub struct Target<'l> {
    name: &'l SourceName,
    /// Where its events go from there.
    pub routes: &'l [Route],
    /// How long their dedupe keys are remembered.
    pub window: Duration,
    verifier: &'l Verifier,
    skip_after: Option<u32>,
}

impl Target<'_> {
    /// The line that an event's jobs join.
    pub fn ordering(&self, headers: &Headers, body: &[u8]) -> Option<OrderingKey> {
        self.verifier.ordering_of(self.name, headers, body, self.skip_after)
    }
}

impl<'l> From<&'l Source> for Target<'l> {
    fn from(source: &'l Source) -> Self {
        let window = if let DedupePolicy::Window(window) = source.dedupe { window } else { WINDOW };
        Self { name: &source.name, routes: &source.routes, window, verifier: &source.verifier, skip_after: source.skip_after }
    }
}

impl<'l> From<&'l Topic> for Target<'l> {
    fn from(topic: &'l Topic) -> Self {
        Self { name: &topic.name, routes: &topic.routes, window: WINDOW, verifier: &topic.verifier, skip_after: topic.skip_after }
    }
}

impl Live {
    /// The source or topic of a name, as a place to emit to.
    pub fn target(&self, name: &SourceName) -> Option<Target<'_>> {
        let topic = || self.topics.get(name).map(|topic| Target::from(&**topic));
        self.sources.get(name).map(|source| Target::from(&**source)).or_else(topic)
    }

    /// The retry policy of a source or topic; `None` where it was taken out of the configuration.
    pub fn retry(&self, name: &SourceName) -> Option<&RetryPolicy> {
        self.sources.get(name).map(|source| &source.retry).or_else(|| self.topics.get(name).map(|topic| &topic.retry))
    }
}

/// A topic as it is read, with the warning that each of its routes would be if its plugin is not there.
pub(super) struct Configured {
    pub(super) topic: Topic,
    pub(super) unless_there: Vec<(PluginName, Mistake)>,
}

pub(super) fn read(name: &Field<'_>, section: &Section<'_>) -> Option<Configured> {
    let topic_name: Option<SourceName> = name.parse();
    let ordering = section.field("ordering").and_then(|field| read_ordering(&field));
    let (ordering, skip_after) = ordering.map(|Ordering { key, skip_after }| (key, skip_after)).unzip();
    let (routes, unless_there) = read_routes(section);
    let retry = section.section("retry", read_retry).flatten().unwrap_or_default();
    let verifier = Verifier::of_plugin(PROVIDER, &Options { ordering, ..Options::default() });
    let topic = Topic { name: topic_name?, routes, retry, verifier, skip_after: skip_after.flatten() };
    Some(Configured { topic, unless_there })
}
