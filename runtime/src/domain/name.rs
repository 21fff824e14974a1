//! Names that operators choose. Bounded and plain, since they end up in URLs, metrics labels and keys.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Serialize, Serializer};

/// The text is no name: 1 to 64 of `a-z`, `0-9`, `_`, `-`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a name is 1 to 64 of the characters a-z, 0-9, `_` and `-`")]
pub struct InvalidName;

fn is_name(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-'))
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = InvalidName;

            fn from_str(text: &str) -> Result<Self, InvalidName> {
                if is_name(text) { Ok(Self(text.into())) } else { Err(InvalidName) }
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }
    };
}

name! {
    /// A configured inbound URL, `POST /in/{source}`.
    SourceName
}
name! {
    /// A WASM component that handles events: `NAME.wasm` in the plugin directory.
    PluginName
}
name! {
    /// A route of a source; the plugin's name unless the configuration names it.
    RouteName
}
name! {
    /// A named outbound HTTP target.
    UpstreamName
}

impl RouteName {
    /// The route of a delivery, under which its job is known: that of the job that asked for it, and a number from 1.
    pub fn of_delivery(&self, number: usize) -> Self {
        Self(format!("{self}:{number}").into())
    }

    /// Whether it is the route of a delivery.
    pub fn is_delivery(&self) -> bool {
        self.0.contains(':')
    }

    /// The name that is stored or shown: an operator's, or that of a delivery.
    pub fn of_job(text: &str) -> Result<Self, InvalidName> {
        let (name, number) = text.split_once(':').map_or((text, None), |(name, number)| (name, Some(number)));
        let is_number = |number: &str| (1..=12).contains(&number.len()) && number.bytes().all(|b| b.is_ascii_digit());
        if is_name(name) && number.is_none_or(is_number) { Ok(Self(text.into())) } else { Err(InvalidName) }
    }
}

impl From<PluginName> for RouteName {
    fn from(plugin: PluginName) -> Self {
        Self(plugin.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_plain_and_bounded() {
        assert!("stripe-crm_2".parse::<SourceName>().is_ok());
        assert!("a".repeat(64).parse::<SourceName>().is_ok());
        for bad in ["", "Stripe", "a.b", "a/b", "ä", &"a".repeat(65)] {
            assert_eq!(bad.parse::<SourceName>(), Err(InvalidName), "{bad}");
        }
    }
}
