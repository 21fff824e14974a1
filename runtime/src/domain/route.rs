//! From a source to a plugin: each route that an event matches is a job of its own.

use std::str::FromStr;

use super::{PluginName, RouteName};

/// One route of a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// Its name, unique within the source; part of the lineage.
    pub name: RouteName,
    /// The plugin that handles its events.
    pub plugin: PluginName,
    /// Which event types it takes; empty for all.
    pub types: Vec<TypeFilter>,
}

impl Route {
    /// Whether an event of this type goes this way.
    pub fn takes(&self, event_type: Option<&str>) -> bool {
        self.types.is_empty() || event_type.is_some_and(|event_type| self.types.iter().any(|filter| filter.matches(event_type)))
    }
}

/// An event type, or with a trailing `*` all types that begin so: `invoice.paid`, `invoice.*`, `*`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TypeFilter {
    /// This type.
    Exactly(String),
    /// Types that begin like this.
    Prefix(String),
}

impl TypeFilter {
    fn matches(&self, event_type: &str) -> bool {
        match self {
            Self::Exactly(own) => own == event_type,
            Self::Prefix(prefix) => event_type.starts_with(prefix),
        }
    }
}

impl FromStr for TypeFilter {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        match text.strip_suffix('*') {
            _ if text.is_empty() => Err("an event type is not empty"),
            Some(prefix) if !prefix.contains('*') => Ok(Self::Prefix(prefix.into())),
            None if !text.contains('*') => Ok(Self::Exactly(text.into())),
            _ => Err("`*` may only stand at the end"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_takes_its_types_only() {
        let filter: TypeFilter = "invoice.*".parse().expect("a filter");
        assert!(filter.matches("invoice.paid") && !filter.matches("invoice") && !filter.matches("customer.created"));
        assert!("*.paid".parse::<TypeFilter>().is_err());
    }
}
