//! Takes the secrets out of a verified request before it is stored or shown. The body is otherwise kept byte for byte.

use std::ops::Range;

use bytes::Bytes;
use percent_encoding::percent_decode;

use crate::domain::{RawRequest, Verified};

use super::raw_json;
use super::scheme::{Carrier, Scheme};
use super::verifier::Verifier;

/// What a secret that was the proof is stored and shown as.
const VERIFIED: &str = "[verified]";
/// What a secret that stands beside the proof is stored and shown as.
const REDACTED: &str = "[redacted]";

impl Verifier {
    /// Writes over what would let its reader send requests of the provider: tokens, wherever they stand.
    pub fn redact(&self, request: &mut RawRequest, verified: &Verified) {
        for (at, scheme) in self.provider.schemes.iter().enumerate().filter(|(_, scheme)| scheme.is_bearer()) {
            // GitLab may send its token beside the signature that was the proof; it is a secret all the same.
            let mark = if verified.held.is_some_and(|held| held.scheme == at) { VERIFIED } else { REDACTED };
            match &scheme.carrier {
                carrier @ (Carrier::Headers(_) | Carrier::Numbered { .. }) => {
                    let names: Vec<String> =
                        request.headers.iter().map(|(name, _)| name).filter(|name| carrier.is_header(name)).map(Into::into).collect();
                    names.iter().for_each(|name| request.headers.replace(name, mark));
                }
                Carrier::Json(_) => overwrite(request, json_spans(scheme, &request.body), &format!("\"{mark}\"")),
                Carrier::Form(name) => overwrite(request, form_spans(name, &request.body), mark),
                // The query is not kept, and a token that is the body is what the provider has to say.
                Carrier::Query(_) | Carrier::Body => {}
            }
        }
    }
}

fn overwrite(request: &mut RawRequest, spans: Vec<Range<usize>>, mark: &str) {
    if spans.is_empty() {
        return;
    }
    let mut body = request.body.to_vec();
    for span in spans.into_iter().rev() {
        body.splice(span, mark.bytes());
    }
    request.body = Bytes::from(body);
}

/// Where the scheme's proofs stand in a JSON body, in order.
fn json_spans(scheme: &Scheme, body: &[u8]) -> Vec<Range<usize>> {
    let Carrier::Json(pointer) = &scheme.carrier else { return Vec::new() };
    let roots = match &scheme.each {
        None => raw_json::document(body).map(|root| vec![root]),
        Some(items) => raw_json::items(body, items),
    };
    let proofs = roots.into_iter().flatten().filter_map(|root| raw_json::descend(root, pointer.keys()));
    proofs.map(|proof| raw_json::span(body, proof)).collect()
}

/// Where the values of a form's field stand.
fn form_spans(name: &str, body: &[u8]) -> Vec<Range<usize>> {
    let mut start = 0;
    let mut spans = Vec::new();
    for field in body.split(|byte| *byte == b'&') {
        let at = field.iter().position(|byte| *byte == b'=').unwrap_or(field.len());
        if at < field.len() && percent_decode(&field[..at]).eq(name.bytes()) {
            spans.push(start + at + 1..start + field.len());
        }
        start += field.len() + 1;
    }
    spans
}

#[cfg(test)]
mod tests {
    use super::super::sender::{NOW, Sender};
    use super::*;

    fn redacted(provider: &str, body: &str) -> String {
        let sender = Sender::of(provider, "");
        let mut request = sender.with(body, &[]);
        request.body = Bytes::copy_from_slice(body.as_bytes());
        let verified = sender.verifier.verify(&request, NOW).expect("a proof");
        sender.verifier.redact(&mut request, &verified);
        String::from_utf8(request.body.to_vec()).expect("text")
    }

    #[test]
    fn a_token_in_the_body_is_written_over_and_all_else_kept() {
        let body = r#"{ "passcode" : "a \u0073ecret ", "n": 1.0 ,"x":{"passcode":"b"}}"#;
        assert_eq!(redacted("figma", body), r#"{ "passcode" : "[verified]", "n": 1.0 ,"x":{"passcode":"b"}}"#);
    }

    #[test]
    fn the_token_of_each_item_of_a_batch_is_written_over() {
        let body = r#"{"value":[{"clientState":"a secret ","id":1},{"id":2,"clientState":"a secret "}]}"#;
        assert_eq!(
            redacted("microsoft-graph", body),
            r#"{"value":[{"clientState":"[verified]","id":1},{"id":2,"clientState":"[verified]"}]}"#
        );
    }
}
