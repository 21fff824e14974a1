//! From where a request comes: who is connected, or what the operator's own proxies say of it. What anybody else says of it counts
//! for nothing.

use std::net::{IpAddr, SocketAddr};

use http::{HeaderMap, HeaderValue, header};

use crate::config::{ForwardedHeader, Proxies};

/// The sender's address; `None` where a trusted proxy names none that can be read.
///
/// Each proxy appends the address that it was connected from, so only the end of the list is to be believed: from right to left, as long
/// as the last address was a trusted one. The first that is not is the sender; what stands left of it is what the sender has written.
pub(super) fn client_address(peer: IpAddr, headers: &HeaderMap, proxies: &Proxies) -> Option<IpAddr> {
    let mut client = peer.to_canonical();
    let (name, parse): (_, fn(&str) -> Option<IpAddr>) = match proxies.header {
        ForwardedHeader::XForwardedFor => ("x-forwarded-for", address),
        ForwardedHeader::Forwarded => (header::FORWARDED.as_str(), forwarded_for),
    };
    let lines = headers.get_all(name);
    for line in lines.iter().rev() {
        // Split without regard to quotes: proxies write no comma into an address, and a quote that a sender leaves open must not
        // swallow what comes after it.
        for element in split_from_the_right(line) {
            if !proxies.trusted.contain(client) {
                return Some(client);
            }
            client = element.and_then(parse)?.to_canonical();
        }
    }
    Some(client)
}

/// `None` for all of a line that is not text.
fn split_from_the_right(line: &HeaderValue) -> impl Iterator<Item = Option<&str>> {
    let text = line.to_str().ok();
    let elements = text.map(|text| text.rsplit(',').map(|element| Some(element.trim())));
    let unreadable = text.is_none().then_some(None);
    elements.into_iter().flatten().chain(unreadable)
}

/// `203.0.113.7`, `203.0.113.7:4711`, `2600::1`, `[2600::1]`, `[2600::1]:4711`.
fn address(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    bare.parse().ok().or_else(|| text.parse().ok().map(|address: SocketAddr| address.ip()))
}

/// The `for` of an element such as `for="[2001:db8::1]:4711";proto=https` (RFC 7239 §4).
fn forwarded_for(element: &str) -> Option<IpAddr> {
    let mut pairs = element.split(';').filter_map(|pair| pair.split_once('='));
    let (_, value) = pairs.find(|(name, _)| name.trim().eq_ignore_ascii_case("for"))?;
    address(value.trim().trim_matches('"'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Networks;

    fn client(peer: &str, header: ForwardedHeader, lines: &[&str]) -> String {
        let trusted = Networks::of(&["10.0.0.0/8", "fd00::/8"]);
        let name = if header == ForwardedHeader::Forwarded { "forwarded" } else { "x-forwarded-for" };
        let headers = lines.iter().map(|line| (name.parse().expect("a name"), line.parse().expect("a value"))).collect();
        let client = client_address(peer.parse().expect("an address"), &headers, &Proxies { trusted, header });
        client.map_or_else(|| "unknown".into(), |address| address.to_string())
    }

    fn by_x(peer: &str, lines: &[&str]) -> String {
        client(peer, ForwardedHeader::XForwardedFor, lines)
    }

    #[test]
    fn a_peer_that_is_no_trusted_proxy_is_the_sender_whatever_it_says() {
        assert_eq!(by_x("203.0.113.7", &[]), "203.0.113.7");
        assert_eq!(by_x("203.0.113.7", &["3.18.12.63"]), "203.0.113.7");
        assert_eq!(client("203.0.113.7", ForwardedHeader::Forwarded, &["for=3.18.12.63"]), "203.0.113.7");
    }

    #[test]
    fn a_trusted_proxy_is_believed_and_whoever_stands_before_it_is_not() {
        assert_eq!(by_x("10.0.0.1", &["3.18.12.63"]), "3.18.12.63");
        assert_eq!(by_x("10.0.0.1", &["3.18.12.63, 203.0.113.7"]), "203.0.113.7");
        assert_eq!(by_x("10.0.0.1", &["3.18.12.63", "203.0.113.7, 10.0.0.2"]), "203.0.113.7");
        assert_eq!(by_x("10.0.0.1", &["unknown, 203.0.113.7"]), "203.0.113.7", "what the sender wrote is not even read");
        assert_eq!(by_x("10.0.0.1", &["10.0.0.3, 10.0.0.2"]), "10.0.0.3", "a sender may be on the inner network, too");
        assert_eq!(by_x("10.0.0.1", &[]), "10.0.0.1");
    }

    #[test]
    fn what_a_trusted_proxy_says_and_nobody_can_read_is_no_address() {
        for line in ["unknown", "", "3.18.12.63,", "3.18.12.63, stripe.com", "_hidden", "300.1.1.1"] {
            assert_eq!(by_x("10.0.0.1", &[line]), "unknown", "{line}");
        }
        let mut headers = HeaderMap::new();
        headers.insert("x-forwarded-for", HeaderValue::from_bytes(b"3.18.12.63, \xff").expect("a value"));
        let proxies = Proxies { trusted: Networks::of(&["10.0.0.1"]), header: ForwardedHeader::XForwardedFor };
        assert_eq!(client_address("10.0.0.1".parse().expect("an address"), &headers, &proxies), None);
    }

    #[test]
    fn ports_brackets_and_mapped_addresses_are_read() {
        assert_eq!(by_x("::ffff:10.0.0.1", &["3.18.12.63:4711"]), "3.18.12.63");
        assert_eq!(by_x("fd00::1", &["[2600::1]:4711"]), "2600::1");
        assert_eq!(by_x("fd00::1", &["2600::1"]), "2600::1");
        assert_eq!(by_x("10.0.0.1", &["::ffff:3.18.12.63"]), "3.18.12.63");
    }

    #[test]
    fn the_standard_header_is_read_as_the_rfc_writes_it() {
        let by_forwarded = |lines: &[&str]| client("10.0.0.1", ForwardedHeader::Forwarded, lines);
        assert_eq!(by_forwarded(&["for=192.0.2.60;proto=http;by=203.0.113.43"]), "192.0.2.60");
        assert_eq!(by_forwarded(&["For=\"[2001:db8:cafe::17]:4711\""]), "2001:db8:cafe::17");
        assert_eq!(by_forwarded(&["for=192.0.2.43, for=198.51.100.17;by=10.0.0.2, for=10.0.0.2"]), "198.51.100.17");
        assert_eq!(by_forwarded(&["for=\"3.18.12.63, for=192.0.2.60"]), "192.0.2.60", "a quote that is never closed");
        assert_eq!(by_forwarded(&["for=unknown"]), "unknown");
        assert_eq!(by_forwarded(&["proto=https"]), "unknown");
    }

    #[test]
    fn the_header_that_the_proxy_does_not_write_counts_for_nothing() {
        let proxies = Proxies { trusted: Networks::of(&["10.0.0.1"]), header: ForwardedHeader::XForwardedFor };
        let mut headers = HeaderMap::new();
        headers.insert("forwarded", HeaderValue::from_static("for=3.18.12.63"));
        let peer = "10.0.0.1".parse().expect("an address");
        assert_eq!(client_address(peer, &headers, &proxies), Some(peer));
    }
}
