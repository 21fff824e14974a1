//! Where in a request a value stands: `/id`, `header:x-github-event`, or alternatives, `/event/type | /type`.

use std::fmt;
use std::str::FromStr;

use serde_json::Value;

use super::carrier;

/// How many alternatives a location may have.
const ALTERNATIVES_MAX: usize = 8;

/// Places to look, in order; the first that holds a value counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location(Vec<Place>);

/// One place of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// A header, by its lower-case name.
    Header(String),
    /// A value in the JSON body.
    Json(Pointer),
}

/// A JSON pointer (RFC 6901) to a value inside the document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pointer(Vec<String>);

/// The items of an array in the JSON body, `/value/*` or `/items/*/item`: the array, and where in each element the item is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Items {
    pub(super) array: Pointer,
    pub(super) item: Pointer,
}

impl Location {
    pub(super) fn places(&self) -> &[Place] {
        &self.0
    }
}

impl Pointer {
    /// The keys from the document's root down.
    pub(super) fn keys(&self) -> &[String] {
        &self.0
    }

    /// The same to be changed.
    pub(super) fn find_mut<'v>(&self, root: &'v mut Value) -> Option<&'v mut Value> {
        self.0.iter().try_fold(root, |node, key| match node {
            Value::Object(object) => object.get_mut(key),
            Value::Array(elements) => elements.get_mut(key.parse::<usize>().ok()?),
            _ => None,
        })
    }

    /// The value that it points to.
    pub(super) fn find<'v>(&self, root: &'v Value) -> Option<&'v Value> {
        self.0.iter().try_fold(root, |node, key| match node {
            Value::Object(object) => object.get(key),
            Value::Array(elements) => elements.get(key.parse::<usize>().ok()?),
            _ => None,
        })
    }
}

impl FromStr for Location {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let places: Vec<Place> = text.split('|').map(|place| place.trim().parse()).collect::<Result<_, _>>()?;
        if places.len() > ALTERNATIVES_MAX {
            return Err(format!("at most {ALTERNATIVES_MAX} alternatives"));
        }
        Ok(Self(places))
    }
}

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.strip_prefix("header:") {
            Some(name) => carrier::header_name(name).map(Self::Header),
            None => text.strip_prefix("json:").unwrap_or(text).parse().map(Self::Json),
        }
    }
}

impl FromStr for Pointer {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let keys = text.strip_prefix('/').ok_or("a location is a JSON pointer such as `/data/id`, or `header:NAME`")?;
        Ok(Self(keys.split('/').map(|key| key.replace("~1", "/").replace("~0", "~")).collect()))
    }
}

impl FromStr for Items {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (array, item) = text.split_once("/*").ok_or("items are named by a pointer with a `*`, such as `/value/*`")?;
        let pointer = |text: &str| if text.is_empty() { Ok(Pointer(Vec::new())) } else { text.parse() };
        Ok(Self { array: pointer(array)?, item: pointer(item)? })
    }
}

impl fmt::Display for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|key| write!(f, "/{}", key.replace('~', "~0").replace('/', "~1")))
    }
}

impl fmt::Display for Items {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/*{}", self.array, self.item)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header(name) => write!(f, "header:{name}"),
            Self::Json(pointer) => pointer.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_location_reads_back() {
        let location: Location = "/a~1b/0|header:x-id".parse().expect("a location");
        assert_eq!(location.places()[0], Place::Json(Pointer(vec!["a/b".into(), "0".into()])));
        let text: Vec<String> = location.places().iter().map(Place::to_string).collect();
        assert_eq!(text, ["/a~1b/0", "header:x-id"]);
    }

    #[test]
    fn what_is_no_place_is_refused() {
        for text in ["", "id", "header:", "header:X-Id", "/id|", "/a|/b|/c|/d|/e|/f|/g|/h|/i"] {
            assert!(text.parse::<Location>().is_err(), "{text}");
        }
    }
}
