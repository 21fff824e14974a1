//! How a body may be wrapped on the wire.

/// A content coding (RFC 9110 §8.4.1) that a source may allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ContentEncoding {
    /// `gzip`, also called `x-gzip`.
    Gzip,
    /// `deflate`: the zlib format, as the RFC wants it.
    Deflate,
}

impl ContentEncoding {
    /// The words of the configuration.
    pub const WORDS: [(&'static str, Self); 2] = [("gzip", Self::Gzip), ("deflate", Self::Deflate)];

    /// The coding that a header's value names; `None` also for several of them.
    pub fn of_header(value: &str) -> Option<Self> {
        match value.to_ascii_lowercase().as_str() {
            "gzip" | "x-gzip" => Some(Self::Gzip),
            "deflate" => Some(Self::Deflate),
            _ => None,
        }
    }
}
