//! `[alerts]`: what the operator wants to be told of, how often, and where to. Told through the outbox as events of the topic `alerts`.

use std::ops::RangeInclusive;
use std::time::Duration;

use crate::document::{Field, Mistake, Section, Severity};
use crate::domain::{SourceName, UpstreamName};
use crate::upstream::check_path;

/// The topic of alerts, and the host's own route and handler in it.
pub const ALERTS: &str = "alerts";

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_mins(1);
const HOUR: Duration = Duration::from_hours(1);
const MONTH: Duration = Duration::from_hours(30 * 24);

/// When and where alerts are told.
#[derive(Debug, Clone, PartialEq)]
pub struct AlertSettings {
    /// Who gets each notice; nobody outside where it is empty.
    pub to: Vec<AlertTarget>,
    /// How often the rules are looked at; 1 s to 1 h.
    pub every: Duration,
    /// What begins or ends within this time goes into one notice; 1 s to 1 h.
    pub group: Duration,
    /// What stays is told again after this time; 1 min to 30 d.
    pub repeat: Duration,
    /// What is looked at.
    pub rules: AlertRules,
}

/// One receiver of notices.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlertTarget {
    /// The upstream's name; its credentials sign or authenticate the notice.
    pub upstream: UpstreamName,
    /// Path and query below its base URL; empty for that URL itself.
    pub path: String,
    /// In which words.
    pub format: AlertFormat,
}

/// The JSON that a receiver gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AlertFormat {
    /// Hookfast's own.
    #[default]
    Webhook,
    /// That of Slack's incoming webhooks.
    Slack,
}

impl AlertFormat {
    const WORDS: [(&'static str, Self); 2] = [("webhook", Self::Webhook), ("slack", Self::Slack)];
}

/// What is looked at; `None` for a rule that is off.
#[derive(Debug, Clone, PartialEq)]
pub struct AlertRules {
    /// So many dead letters, or more.
    pub dead_letters: Option<u64>,
    /// The oldest due job has waited so long.
    pub oldest: Option<Duration>,
    /// Failed attempts of all attempts of a plugin.
    pub errors: Option<ShareRule>,
    /// Attempts of a plugin that ended in a trap or at a limit.
    pub traps: Option<ShareRule>,
    /// A source's refused requests against its usual rate.
    pub refusals: Option<SpikeRule>,
    /// Upstreams that take no calls, or not ours.
    pub upstreams: bool,
}

/// Too large a part of enough of them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ShareRule {
    /// Over 0, up to 1.
    pub share: f64,
    /// Of fewer than this many nothing is said.
    pub minimum: u64,
    /// Among the last ones; 10 s to 1 h.
    pub window: Duration,
}

/// Many more than usual.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SpikeRule {
    /// So many times the usual number; 1 to 1000.
    pub factor: f64,
    /// Of fewer than this many nothing is said.
    pub minimum: u64,
    /// Counted over this long; 10 s to 1 h.
    pub window: Duration,
}

const WINDOW: Duration = Duration::from_mins(5);
const ERRORS: ShareRule = ShareRule { share: 0.5, minimum: 20, window: WINDOW };
const TRAPS: ShareRule = ShareRule { share: 0.1, minimum: 10, window: WINDOW };
const REFUSALS: SpikeRule = SpikeRule { factor: 5.0, minimum: 50, window: WINDOW };

impl Default for AlertRules {
    fn default() -> Self {
        Self {
            dead_letters: Some(1),
            oldest: Some(Duration::from_mins(15)),
            errors: Some(ERRORS),
            traps: Some(TRAPS),
            refusals: Some(REFUSALS),
            upstreams: true,
        }
    }
}

/// The topic's name, as a source's.
pub fn alerts_topic() -> SourceName {
    ALERTS.parse().expect("a plain word is a name")
}

/// The section as it is read.
pub(super) struct Configured {
    pub(super) settings: Option<AlertSettings>,
    /// The mistake that each upstream would be if no file configures it.
    pub(super) unless_configured: Vec<(UpstreamName, Mistake)>,
}

/// The mistake that a source of this name is beside `[alerts]`.
pub(super) fn taken_by_source(name: &Field<'_>) -> Mistake {
    let message = format!("`{ALERTS}` is the topic that [alerts] tells by; a source cannot have its name");
    name.mistake(Severity::Error, message, Some("give the source another name".into()))
}

/// The mistake that a route of this name is in the topic beside `[alerts]`.
pub(super) fn taken_by_route(topic: &Field<'_>) -> Mistake {
    let message = format!("the route `{ALERTS}` of the topic `{ALERTS}` is the host's own, which tells the receivers of [alerts]");
    topic.mistake(Severity::Error, message, Some("give the route another `name`".into()))
}

/// The warning that it is if nobody is told.
pub(super) fn told_to_nobody(section: &Field<'_>) -> Mistake {
    let message = "nobody is told of alerts: `to` is empty, and no plugin is subscribed by [topics.alerts]";
    let help = "add `to = [{ upstream = \"NAME\" }]`; what fires is shown by `hookfast alerts list`".to_owned();
    section.mistake(Severity::Warning, message, Some(help))
}

pub(super) fn read(section: &Section<'_>) -> Configured {
    let to = section.field("to").and_then(|field| field.as_list()).unwrap_or_default();
    let (to, unless_configured): (Vec<_>, Vec<_>) = to.iter().filter_map(|field| field.section(read_target)).unzip();
    Configured {
        settings: read_settings(section, to.into_iter().flatten().collect()),
        unless_configured: unless_configured.into_iter().flatten().collect(),
    }
}

fn read_settings(section: &Section<'_>, to: Vec<AlertTarget>) -> Option<AlertSettings> {
    let duration =
        |key, otherwise, range: RangeInclusive<Duration>| section.field(key).map_or(Some(otherwise), |field| field.as_duration(range));
    let every = duration("every", 15 * SECOND, SECOND..=HOUR);
    let group = duration("group", 30 * SECOND, SECOND..=HOUR);
    let repeat = duration("repeat", 4 * HOUR, MINUTE..=MONTH);
    let rules = section.section("rules", read_rules).unwrap_or_default().seen_every(every?);
    Some(AlertSettings { to, every: every?, group: group?, repeat: repeat?, rules })
}

impl AlertRules {
    /// What is looked at more rarely than its window is looked at over a longer one.
    fn seen_every(mut self, every: Duration) -> Self {
        let windows = [&mut self.errors, &mut self.traps].into_iter().flatten().map(|rule| &mut rule.window);
        windows.chain(self.refusals.as_mut().map(|rule| &mut rule.window)).for_each(|window| *window = every.max(*window));
        self
    }
}

fn read_target(section: &Section<'_>) -> (Option<AlertTarget>, Option<(UpstreamName, Mistake)>) {
    let named = section.required("upstream");
    let upstream: Option<UpstreamName> = named.as_ref().and_then(Field::parse);
    let path = section.field("path").map_or(Some(String::new()), |field| read_path(&field));
    let format = section.field("format").and_then(|field| field.one_of(&AlertFormat::WORDS)).unwrap_or_default();
    let unless_configured = named.zip(upstream.clone()).map(|(field, upstream)| {
        let message = format!("upstream `{upstream}` is not configured");
        let mistake = field.mistake(Severity::Error, message, Some(format!("add [upstreams.{upstream}]")));
        (upstream, mistake)
    });
    (upstream.zip(path).map(|(upstream, path)| AlertTarget { upstream, path, format }), unless_configured)
}

fn read_path(field: &Field<'_>) -> Option<String> {
    field.parse_with(|path| check_path(path).map(|()| path.to_owned()).map_err(str::to_owned))
}

fn read_rules(section: &Section<'_>) -> AlertRules {
    let default = AlertRules::default();
    let dead_letters = rule(section, "dead_letters", default.dead_letters, |field| {
        field.as_integer(1..=1_000_000_000).and_then(|number| u64::try_from(number).ok())
    });
    AlertRules {
        dead_letters,
        oldest: rule(section, "oldest", default.oldest, |field| field.as_duration(SECOND..=MONTH)),
        errors: rule(section, "errors", default.errors, |field| field.section(|section| read_share(section, ERRORS))),
        traps: rule(section, "traps", default.traps, |field| field.section(|section| read_share(section, TRAPS))),
        refusals: rule(section, "refusals", default.refusals, |field| field.section(read_spike)),
        upstreams: section.field("upstreams").and_then(|field| field.as_bool()).unwrap_or(true),
    }
}

/// A rule is on where nothing is said of it; `false` is off, and `true` as if nothing were said.
fn rule<T>(section: &Section<'_>, key: &'static str, default: Option<T>, read: impl FnOnce(&Field<'_>) -> Option<T>) -> Option<T> {
    match section.field(key) {
        None => default,
        Some(field) if field.is_bool() => default.filter(|_| field.as_bool() == Some(true)),
        Some(field) => read(&field),
    }
}

fn read_share(section: &Section<'_>, default: ShareRule) -> ShareRule {
    ShareRule {
        share: section.field("share").and_then(|field| field.as_number(0.001..=1.0)).unwrap_or(default.share),
        minimum: read_minimum(section).unwrap_or(default.minimum),
        window: read_window(section),
    }
}

fn read_spike(section: &Section<'_>) -> SpikeRule {
    SpikeRule {
        factor: section.field("factor").and_then(|field| field.as_number(1.0..=1000.0)).unwrap_or(REFUSALS.factor),
        minimum: read_minimum(section).unwrap_or(REFUSALS.minimum),
        window: read_window(section),
    }
}

fn read_minimum(section: &Section<'_>) -> Option<u64> {
    section.field("minimum").and_then(|field| field.as_integer(1..=1_000_000_000)).and_then(|number| u64::try_from(number).ok())
}

fn read_window(section: &Section<'_>) -> Duration {
    section.field("window").and_then(|field| field.as_duration(10 * SECOND..=HOUR)).unwrap_or(WINDOW)
}
