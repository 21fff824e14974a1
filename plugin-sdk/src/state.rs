//! Key and value that a plugin keeps between events. What a run writes commits together with its outcome.

use crate::effects::milliseconds;
use crate::{Fault, host};
use serde::{Serialize, de::DeserializeOwned};
use std::time::Duration;

/// The plugin's state; made by [`Context::state`](crate::Context::state). What a run writes is seen by its own reads at once, by others
/// once the run is done, and by nobody if it fails.
///
/// A key that was read and is then written must not have changed when the outcome commits; otherwise the host runs the event again at
/// once, which burns no attempt. [`State::increment`] needs no such luck: what commits is the addition.
///
/// Keys are 1 to 512 bytes, values at most 256 KiB; one run touches at most 1,000 keys and writes 4 MiB. Faults of the host are dead
/// letters under `?`, except `unavailable` and `quota_exceeded`, which may pass.
///
/// ```
/// use hookfast_sdk::prelude::*;
/// use hookfast_sdk::test::{Host, fixture};
///
/// #[derive(Deserialize, Serialize, Default)]
/// struct Basket { items: Vec<String> }
///
/// hookfast_sdk::plugin! { name: "baskets", on "item.added" at "/item" => added, }
///
/// fn added(event: Event<String>, cx: &mut Context) -> Outcome {
///     let mut basket: Basket = cx.state().get_json("basket")?.unwrap_or_default();
///     basket.items.push(event.data);
///     cx.state().ttl(std::time::Duration::from_secs(3600)).set_json("basket", &basket)?;
///     let events = cx.state().increment("events", 1)?;
///     done(format!("{} items, {events} events", basket.items.len()))
/// }
///
/// let mut host = Host::new(&PLUGIN).seed("events", "41");
/// assert_eq!(host.run(&fixture("item.added", r#"{"item":"apple"}"#)).text(), "1 items, 42 events");
/// assert_eq!(host.state("basket"), Some(r#"{"items":["apple"]}"#));
/// ```
#[derive(Debug, Clone)]
pub struct State {
    ttl: Option<Duration>,
}

impl State {
    pub(crate) fn new() -> Self {
        Self { ttl: None }
    }

    /// Lets what is set through this value live so long, at most a year.
    #[must_use]
    pub fn ttl(self, ttl: Duration) -> Self {
        Self { ttl: Some(ttl) }
    }

    /// What is kept under the key.
    ///
    /// # Errors
    /// The host refuses, or cannot read now.
    pub fn get(&self, key: &str) -> Result<Option<Item>, Fault> {
        let item = host::state_get(key).map_err(|fault| Fault::of_host(subject(key), &fault))?;
        Ok(item.map(|item| Item { key: key.to_owned(), value: item.value, version: item.version }))
    }

    /// The text that is kept under the key.
    ///
    /// # Errors
    /// As [`State::get`]; or it is not UTF-8 (`wrong_shape`).
    pub fn get_text(&self, key: &str) -> Result<Option<String>, Fault> {
        self.get(key)?.map(Item::into_text).transpose()
    }

    /// The value that is kept under the key as JSON; numbers of [`State::increment`] are JSON too.
    ///
    /// # Errors
    /// As [`State::get`]; or it is not a `T` (`wrong_shape`).
    pub fn get_json<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, Fault> {
        self.get(key)?.map(|item| item.json()).transpose()
    }

    /// Keeps these bytes, or this text.
    ///
    /// # Errors
    /// The host refuses, or cannot read now.
    pub fn set(&self, key: &str, value: impl Into<Vec<u8>>) -> Result<(), Fault> {
        host::state_set(key, &value.into(), self.ttl.map(milliseconds)).map_err(|fault| Fault::of_host(subject(key), &fault))
    }

    /// Keeps this value as JSON.
    ///
    /// # Errors
    /// As [`State::set`]; or it cannot be JSON (`wrong_shape`).
    pub fn set_json(&self, key: &str, value: &(impl Serialize + ?Sized)) -> Result<(), Fault> {
        let bytes = serde_json::to_vec(value).map_err(|error| Fault::new(subject(key), "wrong_shape", error.to_string()))?;
        self.set(key, bytes)
    }

    /// Keeps nothing under the key any more.
    ///
    /// # Errors
    /// The host refuses, or cannot read now.
    pub fn delete(&self, key: &str) -> Result<(), Fault> {
        host::state_delete(key).map_err(|fault| Fault::of_host(subject(key), &fault))
    }

    /// The key must have this version, or with `None` not be there, when the outcome commits; otherwise the event runs again at once.
    ///
    /// ```
    /// # use hookfast_sdk::prelude::*;
    /// fn first_only(cx: &Context, id: &str) -> Result<(), Failure> {
    ///     cx.state().expect_version(id, None)?;
    ///     cx.state().set(id, "seen")?;
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    /// The host refuses.
    pub fn expect_version(&self, key: &str, version: impl Into<Option<u64>>) -> Result<(), Fault> {
        host::state_expect_version(key, version.into()).map_err(|fault| Fault::of_host(subject(key), &fault))
    }

    /// Adds to a decimal number, 0 where there is none, and gives the sum as this run sees it. It has no time to live of its own.
    ///
    /// # Errors
    /// The host refuses (`not_a_number`, `overflow` among others), or cannot read now.
    pub fn increment(&self, key: &str, by: i64) -> Result<i64, Fault> {
        host::state_increment(key, by).map_err(|fault| Fault::of_host(subject(key), &fault))
    }
}

/// What is kept under a key; made by [`State::get`].
///
/// ```
/// use hookfast_sdk::prelude::*;
/// use hookfast_sdk::test::{Host, fixture};
///
/// hookfast_sdk::plugin! { name: "reader", otherwise => read, }
///
/// fn read(_: Event, cx: &mut Context) -> Outcome {
///     let item = cx.state().get("price")?.or_discard("no price")?;
///     let price: u64 = item.json()?;
///     done(format!("{price} in {} bytes", item.value.len()))
/// }
///
/// assert_eq!(Host::new(&PLUGIN).seed("price", "1250").run(&fixture("x", "")).text(), "1250 in 4 bytes");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Item {
    /// The bytes.
    pub value: Vec<u8>,
    /// Another one with every write, and never twice the same. After a write of this run it is still that of what the write replaces; 0:
    /// nothing.
    pub version: u64,
    key: String,
}

impl Item {
    /// The value as text.
    ///
    /// # Errors
    /// It is not UTF-8 (`wrong_shape`).
    pub fn into_text(self) -> Result<String, Fault> {
        String::from_utf8(self.value).map_err(|error| Fault::new(subject(&self.key), "wrong_shape", error.to_string()))
    }

    /// The value as JSON.
    ///
    /// # Errors
    /// It is not a `T` (`wrong_shape`).
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, Fault> {
        serde_json::from_slice(&self.value).map_err(|error| Fault::new(subject(&self.key), "wrong_shape", error.to_string()))
    }
}

fn subject(key: &str) -> String {
    format!("state `{key}`")
}
