//! Unwrapping a body that was sent under a content coding: only after its proof, and never to more than it may become. The one home
//! of `flate2`.
//!
//! A signature covers the bytes as sent: unwrapping first would both judge other bytes than the sender signed and let strangers make the
//! server unpack whatever they like. What is kept is the unwrapped body, since everything that follows asks what the message says: type,
//! id and key, the plugin, whoever looks at the event; and since one message may be packed in many ways, which a resend may be.

use std::io::{self, Read};

use bytes::Bytes;
use flate2::bufread::{MultiGzDecoder, ZlibDecoder};

use crate::config::Source;
use crate::domain::{ContentEncoding, RawRequest, RefusalCause};

/// Text seldom shrinks to less than a twentieth; bombs shrink to a thousandth.
const RATIO_MAX: usize = 100;

/// The coding that a body is to be unwrapped from, by the values of its header; `None` where it came as it is.
pub(super) fn encoding<'v>(values: impl Iterator<Item = &'v [u8]>, source: &Source) -> Result<Option<ContentEncoding>, RefusalCause> {
    let mut named = values.filter(|value| !value.eq_ignore_ascii_case(b"identity"));
    let Some(first) = named.next() else { return Ok(None) };
    let encoding = std::str::from_utf8(first).ok().and_then(ContentEncoding::of_header).filter(|_| named.next().is_none());
    let allowed = encoding.filter(|encoding| source.content_encodings.contains(encoding));
    allowed.map(Some).ok_or(RefusalCause::EncodedBody)
}

/// Puts the decoded body in place of the sent one, and headers that are true of it.
pub(super) fn unwrap(request: &mut RawRequest, encoding: ContentEncoding, max_body: usize) -> Result<(), RefusalCause> {
    let limit = max_body.min(request.body.len().saturating_mul(RATIO_MAX));
    let body = decode(encoding, &request.body, limit).map_err(|_| RefusalCause::EncodingBroken)?;
    request.body = body.ok_or(RefusalCause::DecodedBodyTooLarge { limit })?;
    request.headers.replace("content-encoding", "identity");
    request.headers.replace("content-length", &request.body.len().to_string());
    Ok(())
}

/// `None` where it would be over `limit` bytes.
fn decode(encoding: ContentEncoding, sent: &[u8], limit: usize) -> io::Result<Option<Bytes>> {
    match encoding {
        ContentEncoding::Gzip => read(MultiGzDecoder::new(sent), limit),
        ContentEncoding::Deflate => {
            let mut decoder = ZlibDecoder::new(sent);
            let body = read(&mut decoder, limit)?;
            let is_whole = body.is_none() || decoder.into_inner().is_empty();
            // What stands behind the end is no part of any message, and still signed: somebody means something by it.
            if is_whole { Ok(body) } else { Err(io::ErrorKind::InvalidData.into()) }
        }
    }
}

fn read(decoder: impl Read, limit: usize) -> io::Result<Option<Bytes>> {
    let mut body = Vec::new();
    decoder.take(limit as u64 + 1).read_to_end(&mut body)?;
    Ok((body.len() <= limit).then(|| body.into()))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::{GzEncoder, ZlibEncoder};

    use super::*;

    fn gzip(body: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(body).expect("memory");
        encoder.finish().expect("memory")
    }

    fn zlib(body: &[u8]) -> Vec<u8> {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(body).expect("memory");
        encoder.finish().expect("memory")
    }

    type Pack = fn(&[u8]) -> Vec<u8>;
    const BOTH: [(ContentEncoding, Pack); 2] = [(ContentEncoding::Gzip, gzip), (ContentEncoding::Deflate, zlib)];

    #[test]
    fn the_limit_is_met_to_the_byte() {
        for (encoding, pack) in BOTH {
            let sent = pack(&[b'a'; 1000]);
            assert_eq!(decode(encoding, &sent, 1000).expect("well-formed").map(|body| body.len()), Some(1000), "{encoding:?}");
            assert_eq!(decode(encoding, &sent, 999).expect("well-formed"), None, "{encoding:?}");
        }
    }

    #[test]
    fn what_is_cut_off_altered_or_followed_by_more_is_broken() {
        for (encoding, pack) in BOTH {
            let sent = pack(b"{\"type\":\"invoice.paid\"}");
            for length in 0..sent.len() {
                // gzip of no members at all is nothing, as every tool has it.
                let is_refused = decode(encoding, &sent[..length], 1000).map_or(true, |body| body == Some(Bytes::new()));
                assert!(is_refused, "{encoding:?}: {length} of {}", sent.len());
            }
            let more = [&sent[..], b"more"].concat();
            decode(encoding, &more, 1000).expect_err("bytes behind the end");
            let mut altered = sent.clone();
            altered[15] ^= 1;
            assert!(decode(encoding, &altered, 1000).is_err(), "{encoding:?}");
        }
    }

    #[test]
    fn two_members_of_gzip_are_one_body() {
        let sent = [gzip(b"one "), gzip(b"two")].concat();
        assert_eq!(decode(ContentEncoding::Gzip, &sent, 7).expect("well-formed"), Some(Bytes::from_static(b"one two")));
    }
}
