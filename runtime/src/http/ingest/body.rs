//! Reading a body within its bound: the declared length is believed only so far.

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, header};
use http_body_util::BodyExt;

use crate::domain::RefusalCause;
use crate::http::listen::Incoming;

/// The most that is reserved before bytes have arrived.
const RESERVE_MAX: usize = 64 << 10;

/// The length that the head declares.
pub(super) fn declared_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Reads all of `body`, refusing it as soon as it is over `limit` bytes.
pub(super) async fn read(mut body: Incoming, declared: u64, limit: usize) -> Result<Bytes, RefusalCause> {
    let mut whole = Bytes::new();
    let mut rest = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| RefusalCause::BodyBroken)?.into_data() else { continue };
        if whole.len() + rest.len() + data.len() > limit {
            return Err(RefusalCause::BodyTooLarge { limit });
        }
        if whole.is_empty() && rest.is_empty() {
            // Most bodies arrive in one piece, which is then kept without a copy.
            whole = data;
            continue;
        }
        if rest.is_empty() {
            rest.reserve(usize::try_from(declared).unwrap_or(0).min(RESERVE_MAX));
            rest.extend_from_slice(&std::mem::take(&mut whole));
        }
        rest.extend_from_slice(&data);
    }
    Ok(if rest.is_empty() { whole } else { rest.freeze() })
}
