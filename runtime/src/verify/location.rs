//! Where in a request a value stands: `/id`, `header:x-github-event`, or alternatives, `/event/type | /type`.

use std::fmt;
use std::str::FromStr;

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
pub(super) struct Pointer(Vec<String>);

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

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header(name) => write!(f, "header:{name}"),
            Self::Json(Pointer(keys)) => keys.iter().try_for_each(|key| write!(f, "/{}", key.replace('~', "~0").replace('/', "~1"))),
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
