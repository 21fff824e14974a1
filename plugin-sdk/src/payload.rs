//! From body bytes to an author's type. A payload that does not parse will not parse at the next attempt either.

use serde::de::DeserializeOwned;
use std::fmt;

/// What an [`Event`](crate::Event) can carry: any `Deserialize` type, or [`Raw`].
///
/// ```
/// use hookfast_sdk::Payload;
/// assert_eq!(u64::parse(br#"{"data":{"cents":1250}}"#, "/data/cents").unwrap(), 1250);
/// ```
pub trait Payload: Sized {
    /// Reads the payload at a JSON Pointer of the body; `""` is the whole body.
    ///
    /// # Errors
    /// The body is not JSON, nothing sits there, or it has another shape.
    fn parse(body: &[u8], pointer: &str) -> Result<Self, PayloadError>;
}

/// The payload of a plain `Event`: nothing is parsed, the body may be anything.
#[derive(Debug, Clone, Copy)]
pub struct Raw;

impl Payload for Raw {
    fn parse(_: &[u8], _: &str) -> Result<Self, PayloadError> {
        Ok(Self)
    }
}

impl<T: DeserializeOwned> Payload for T {
    fn parse(body: &[u8], pointer: &str) -> Result<Self, PayloadError> {
        parse_at(body, pointer).map_err(|problem| PayloadError { pointer: pointer.to_owned(), problem })
    }
}

fn parse_at<T: DeserializeOwned>(body: &[u8], pointer: &str) -> Result<T, Problem> {
    crate::pointer::read(body, pointer).map_err(Problem::Json)?.ok_or(Problem::Missing)
}

/// A payload that is not what the handler asked for. `?` makes it a dead letter.
///
/// ```
/// use hookfast_sdk::Payload;
/// let error = u64::parse(br#"{"data":{}}"#, "/data/cents").unwrap_err();
/// assert_eq!(error.to_string(), "payload: nothing at `/data/cents`");
/// ```
#[derive(Debug)]
pub struct PayloadError {
    pointer: String,
    problem: Problem,
}

#[derive(Debug)]
enum Problem {
    Missing,
    Json(serde_json::Error),
}

impl fmt::Display for PayloadError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.problem, self.pointer.as_str()) {
            (Problem::Missing, pointer) => write!(formatter, "payload: nothing at `{pointer}`"),
            (Problem::Json(error), "") => write!(formatter, "payload: {error}"),
            (Problem::Json(error), pointer) => write!(formatter, "payload at `{pointer}`: {error}"),
        }
    }
}

impl std::error::Error for PayloadError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(body: &str, pointer: &str, expected: Result<u64, &str>) {
        let parsed = u64::parse(body.as_bytes(), pointer).map_err(|error| error.to_string());
        assert_eq!(parsed, expected.map_err(str::to_owned), "{body} at {pointer:?}");
    }

    #[test]
    fn a_payload_is_found_by_pointer_and_a_problem_says_where() {
        check("7", "", Ok(7));
        check(r#"{"data":{"n":7}}"#, "/data/n", Ok(7));
        check(r#"{"data":[5,7]}"#, "/data/1", Ok(7));
        check(r#"{"a/b":{"~c":7}}"#, "/a~1b/~0c", Ok(7));
        check(r#"{"1":7}"#, "/1", Ok(7));
        check("[7]", "/1", Err("payload: nothing at `/1`"));
        check("[7]", "/00", Err("payload: nothing at `/00`"));
        check("[7]", "0", Err("payload: nothing at `0`"));
        check(r#"{"a":[1,{"":7}]}"#, "/a/1/", Ok(7));
        check("7", "/n", Err("payload: nothing at `/n`"));
        check(r#"{"data":{}}"#, "/data/n", Err("payload: nothing at `/data/n`"));
        check(r#"{"n":"x"}"#, "/n", Err("payload at `/n`: invalid type: string \"x\", expected u64 at line 1 column 8"));
        check(r#"{"n":7}}"#, "/n", Err("payload at `/n`: trailing characters at line 1 column 8"));
        check(r#"{"n":7,"m":}"#, "/n", Err("payload at `/n`: expected value at line 1 column 12"));
        check(r#"{"n":{"m":1},"n":7}"#, "/n", Err("payload at `/n`: invalid type: map, expected u64 at line 1 column 5"));
        check(r#"{"n":6,"n":7}"#, "/n", Ok(7));
        check("", "", Err("payload: EOF while parsing a value at line 1 column 0"));
        check("{", "/n", Err("payload at `/n`: EOF while parsing an object at line 1 column 1"));
    }

    #[test]
    fn a_raw_payload_takes_any_bytes() {
        assert!(Raw::parse(b"\xff\x00", "").is_ok());
    }
}
