//! Speaks HTTP as a language with its own HTTP library does, over `wasi:http`: makes the request that its event names, after as many
//! ordinary calls of the CRM as it asks for.

use hookfast_sdk::prelude::*;
use wasi::http::outgoing_handler::handle;
use wasi::http::types::{ErrorCode, Fields, Method, OutgoingBody, OutgoingRequest, Scheme};

hookfast_sdk::plugin! {
    name: "web",
    otherwise => fetch,
}

fn fetch(event: Event, cx: &mut Context) -> Outcome {
    for _ in 0..event.data_at("/calls_before").unwrap_or(0) {
        cx.get("crm", "/people").send()?;
    }
    let (authority, path): (String, String) = (event.data_at("/authority")?, event.data_at("/path")?);
    let step: Option<String> = event.data_at("/step").ok();
    match post(&authority, &path, step.as_deref(), b"{\"n\":1}") {
        Ok((status, body)) => done(format!("{status} {}", String::from_utf8_lossy(&body))),
        Err(code) => dead_letter(format!("{code:?}")),
    }
}

fn post(authority: &str, path: &str, step: Option<&str>, body: &[u8]) -> Result<(u16, Vec<u8>), ErrorCode> {
    let headers = Fields::new();
    headers.append("content-type", b"application/json").expect("a header");
    if let Some(step) = step {
        headers.append("hookfast-step", step.as_bytes()).expect("a header");
    }
    let request = OutgoingRequest::new(headers);
    request.set_method(&Method::Post).expect("a method");
    request.set_scheme(Some(&Scheme::Http)).expect("a scheme");
    request.set_authority(Some(authority)).expect("an authority");
    request.set_path_with_query(Some(path)).expect("a path");
    let out = request.body().expect("a body");
    let answer = handle(request, None)?;
    {
        let stream = out.write().expect("a stream");
        // Nobody reads it where the request is denied; the answer says so.
        let _ = stream.blocking_write_and_flush(body);
    }
    let _ = OutgoingBody::finish(out, None);
    answer.subscribe().block();
    let response = answer.get().expect("ready").expect("taken once")?;
    let status = response.status();
    let incoming = response.consume().expect("a body");
    let stream = incoming.stream().expect("a stream");
    let mut read = Vec::new();
    while let Ok(chunk) = stream.blocking_read(64 << 10) {
        read.extend(chunk);
    }
    Ok((status, read))
}
