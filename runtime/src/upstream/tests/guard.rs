//! Addresses inside the own network are reached only where the operator allows it.

use super::*;

fn guarded(base: &str) -> UpstreamSettings {
    UpstreamSettings { allow_private: false, ..settings(base) }
}

#[tokio::test]
async fn literal_addresses_of_the_own_network_are_refused() {
    let server = Server::start([]).await;
    let port = server.port();
    for host in ["127.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "10.0.0.1", "169.254.169.254", "0.0.0.0", "[64:ff9b::7f00:1]"] {
        for scheme in ["http", "https"] {
            let fault = fault(guarded(&format!("{scheme}://{host}:{port}")), get("/")).await;
            assert_eq!(fault.kind, CallFaultKind::PrivateAddress, "{scheme} {host}: {}", fault.message);
        }
    }
    assert!(server.seen().is_empty());
}

#[tokio::test]
async fn names_are_judged_by_what_they_resolve_to() {
    let server = Server::start([]).await;
    // The system's resolver also reads old spellings of 127.0.0.1 that are no literal address.
    for host in ["localhost", "127.1", "2130706433", "0x7f000001"] {
        let fault = fault(guarded(&format!("http://{host}:{}", server.port())), get("/")).await;
        assert_eq!(fault.kind, CallFaultKind::PrivateAddress, "{host}: {}", fault.message);
    }
    assert!(server.seen().is_empty());
}

#[tokio::test]
async fn the_fault_says_which_setting_allows_it_and_shows_no_address() {
    let fault = fault(guarded("http://10.1.2.3"), get("/")).await;
    assert!(fault.message.contains("`allow_private = true` under [upstreams.crm]"), "{}", fault.message);
    assert!(!fault.message.contains("10.1.2.3"), "{}", fault.message);
}

#[tokio::test]
async fn with_the_operators_leave_they_are_reached_by_address_and_by_name() {
    let server = Server::start([]).await;
    for host in ["127.0.0.1", "localhost"] {
        let (result, _) = call(settings(&format!("http://{host}:{}", server.port())), get("/")).await;
        assert_eq!(result.expect("an answer").status, 200);
    }
}
