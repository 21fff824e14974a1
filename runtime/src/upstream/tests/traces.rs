//! Each call carries its place in the trace of its event.

use super::*;

#[tokio::test]
async fn the_trace_is_the_events_and_each_call_is_a_span_of_its_own() {
    let (first, second) = (sent(Auth::None, get("/")).await, sent(Auth::None, get("/")).await);
    let parts = |seen: &Seen| seen.header("traceparent").expect("a trace").split('-').map(str::to_owned).collect::<Vec<_>>();
    let (first, second) = (parts(&first), parts(&second));
    for parts in [&first, &second] {
        assert_eq!((parts.len(), &*parts[0], &*parts[1], &*parts[3]), (4, "00", EVENT.trim_start_matches("evt_"), "01"));
        assert!(parts[2].len() == 16 && parts[2].bytes().all(|byte| byte.is_ascii_hexdigit()), "{}", parts[2]);
    }
    assert_ne!(first[2], second[2]);
}

#[tokio::test]
async fn a_plugins_own_trace_is_replaced() {
    let mut request = with_header("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
    request.headers.push("tracestate", "mine=1");
    let seen = sent(Auth::None, request).await;
    assert!(seen.header("traceparent").is_some_and(|trace| trace.contains(EVENT.trim_start_matches("evt_"))));
    assert_eq!(seen.header("tracestate"), None);
}
