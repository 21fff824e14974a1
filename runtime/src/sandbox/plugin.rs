//! A plugin that has passed every check and can run.

use serde::{Deserialize, Serialize};

use wasmtime::component::{Component, InstancePre};

use super::bindings::compensating::CompensatingPre;
use super::bindings::handling::HandlingPre;
use super::bindings::receiving::ReceivingPre;
use super::guest::Guest;
use super::instance::Waiting;
use crate::domain::{Digest, Grant, PluginName};
use crate::memory;

/// A loaded plugin. Running attempts hold it, so that an old version lives until its last attempt has ended.
pub struct Plugin {
    /// Its name, from the file's name.
    pub name: PluginName,
    /// The SHA-256 of its `.wasm`.
    pub digest: Digest,
    /// The length of its `.wasm`.
    pub wasm_bytes: usize,
    /// What it says of itself.
    pub description: Description,
    /// Whether its code stands in a file that is mapped.
    pub(super) is_in_file: bool,
    pub(super) exports: Exports<Guest>,
    pub(super) waiting: Waiting,
}

/// What a plugin can do, ready to be instantiated; it handles events or proves requests, or both.
pub(super) struct Exports<T: 'static> {
    /// It handles events.
    pub(super) handling: Option<HandlingPre<T>>,
    /// It takes back what was done for an event that cannot be handled.
    pub(super) compensating: Option<CompensatingPre<T>>,
    /// It proves requests.
    pub(super) receiving: Option<ReceivingPre<T>>,
}

impl<T: 'static> Exports<T> {
    /// Those of a component; the error is about the one that every plugin had from the first.
    pub(super) fn of(pre: &InstancePre<T>) -> wasmtime::Result<Self> {
        let receiving = ReceivingPre::new(pre.clone()).ok();
        let compensating = CompensatingPre::new(pre.clone()).ok();
        match HandlingPre::new(pre.clone()) {
            Ok(handling) => Ok(Self { handling: Some(handling), compensating, receiving }),
            Err(_) if receiving.is_some() => Ok(Self { handling: None, compensating, receiving }),
            Err(error) => Err(error),
        }
    }

    fn pre(&self) -> Option<&InstancePre<T>> {
        self.handling.as_ref().map(HandlingPre::instance_pre).or_else(|| self.receiving.as_ref().map(ReceivingPre::instance_pre))
    }
}

impl Plugin {
    /// Whether it is granted everything that it wants.
    pub fn is_within(&self, grant: &Grant) -> bool {
        self.missing_upstreams(grant).next().is_none()
    }

    /// The upstreams that it wants and is not granted.
    pub(super) fn missing_upstreams<'p>(&'p self, grant: &'p Grant) -> impl Iterator<Item = &'p str> {
        self.description.upstreams.iter().map(String::as_str).filter(|wanted| !grant.upstreams.contains(*wanted))
    }

    /// It may be long until it has an event, and describing itself and its fixtures have read its code in: takes that out of memory until it
    /// runs. Not where it proves requests, whose senders would wait for the disk, nor where its code stands in no file.
    pub(super) fn rest(&self) {
        let component = self.component().filter(|_| self.is_in_file && !self.can_admit());
        component.into_iter().for_each(|component| memory::page_out(&component.image_range()));
    }

    fn component(&self) -> Option<&Component> {
        self.exports.pre().map(InstancePre::component)
    }

    /// The names of the interfaces it imports.
    pub fn imports(&self) -> Vec<String> {
        let Some(component) = self.component() else { return Vec::new() };
        component.component_type().imports(component.engine()).map(|(name, _)| name.to_owned()).collect()
    }
}

/// What `metadata.describe` says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Description {
    /// The author's name for it.
    pub name: String,
    /// The author's version of it.
    #[serde(default)]
    pub version: String,
    /// One sentence.
    #[serde(default)]
    pub description: String,
    /// Upstreams it wants to call.
    #[serde(default)]
    pub upstreams: Vec<String>,
    /// Event types it handles.
    #[serde(default)]
    pub events: Vec<String>,
    /// Whether it proves requests: a source may name it as its provider.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub admits: bool,
    /// Whether it takes back what was done for an event that becomes a dead letter.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub compensates: bool,
    /// Events it must handle before it may serve; not shown.
    #[serde(default, skip_serializing)]
    pub fixtures: Vec<Fixture>,
}

/// One event of a plugin's own.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Fixture {
    /// Its type.
    #[serde(rename = "type")]
    pub event_type: String,
    /// Its body.
    pub body: String,
}
