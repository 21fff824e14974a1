//! Headers and body of whatever goes out.

use crate::bindings::hookfast::plugin::types;
use crate::{Fault, Header};
use serde::Serialize;

/// What is being put together; a value that cannot be JSON is told once it is to go out, so that builders chain.
#[derive(Debug, Default)]
pub(crate) struct Content {
    headers: Vec<types::Header>,
    body: Vec<u8>,
    unserializable: Option<serde_json::Error>,
}

impl Content {
    pub(crate) fn header(&mut self, name: &str, value: impl Into<Vec<u8>>) {
        self.headers.push(Header::new(name, value).into());
    }

    pub(crate) fn body(&mut self, bytes: impl Into<Vec<u8>>) {
        self.body = bytes.into();
    }

    pub(crate) fn json(&mut self, value: &(impl Serialize + ?Sized)) {
        match serde_json::to_vec(value) {
            Ok(bytes) => {
                self.header("content-type", "application/json");
                self.body(bytes);
            }
            Err(error) => self.unserializable = Some(error),
        }
    }

    pub(crate) fn finish(self, subject: &str) -> Result<(Vec<types::Header>, Vec<u8>), Fault> {
        match self.unserializable {
            Some(error) => Err(Fault::new(subject, "invalid_request", error.to_string())),
            None => Ok((self.headers, self.body)),
        }
    }
}
