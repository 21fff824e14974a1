//! Which IP addresses are on the public internet. Decides only; resolving and dialling is the connector's.
//! Must never answer "public" when in doubt: an upstream inside the own network is allowed by name, with `allow_private`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Whether an address is globally reachable unicast, by the IANA special-purpose address registries (RFC 6890 and its updates).
/// Loopback, private, link-local, cloud metadata, multicast, documentation, benchmarking and reserved ranges are not, and
/// neither is an IPv6 address that carries an IPv4 one (mapped, NAT64, 6to4, Teredo), since its meaning is up to the network.
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => !V4_SPECIAL.iter().any(|(network, prefix)| v4_within(address, *network, *prefix)),
        IpAddr::V6(address) => v6_within(address, V6_UNICAST) && !V6_SPECIAL.iter().any(|network| v6_within(address, *network)),
    }
}

/// <https://www.iana.org/assignments/iana-ipv4-special-registry>
const V4_SPECIAL: [(Ipv4Addr, u32); 17] = [
    (Ipv4Addr::new(0, 0, 0, 0), 8),          // "this network", unspecified
    (Ipv4Addr::new(10, 0, 0, 0), 8),         // private (RFC 1918)
    (Ipv4Addr::new(100, 64, 0, 0), 10),      // carrier-grade NAT (RFC 6598)
    (Ipv4Addr::new(127, 0, 0, 0), 8),        // loopback
    (Ipv4Addr::new(168, 63, 129, 16), 32),   // Azure's platform address, inside public space
    (Ipv4Addr::new(169, 254, 0, 0), 16),     // link-local, with the metadata services at 169.254.169.254
    (Ipv4Addr::new(172, 16, 0, 0), 12),      // private (RFC 1918)
    (Ipv4Addr::new(192, 0, 0, 0), 24),       // IETF protocol assignments
    (Ipv4Addr::new(192, 0, 2, 0), 24),       // documentation
    (Ipv4Addr::new(192, 88, 99, 0), 24),     // 6to4 relays (RFC 7526)
    (Ipv4Addr::new(192, 168, 0, 0), 16),     // private (RFC 1918)
    (Ipv4Addr::new(198, 18, 0, 0), 15),      // benchmarking
    (Ipv4Addr::new(198, 51, 100, 0), 24),    // documentation
    (Ipv4Addr::new(203, 0, 113, 0), 24),     // documentation
    (Ipv4Addr::new(224, 0, 0, 0), 4),        // multicast
    (Ipv4Addr::new(240, 0, 0, 0), 4),        // reserved
    (Ipv4Addr::new(255, 255, 255, 255), 32), // broadcast
];

/// All global unicast space that is assigned so far; ULA, link-local, multicast, mapped and NAT64 addresses lie outside.
const V6_UNICAST: (Ipv6Addr, u32) = (Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0), 3);

/// <https://www.iana.org/assignments/iana-ipv6-special-registry>, as far as it lies inside [`V6_UNICAST`].
const V6_SPECIAL: [(Ipv6Addr, u32); 4] = [
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23), // IETF protocol assignments, with Teredo 2001::/32
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32), // documentation
    (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16), // 6to4
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20), // documentation
];

fn v4_within(address: Ipv4Addr, network: Ipv4Addr, prefix: u32) -> bool {
    (address.to_bits() ^ network.to_bits()) >> (32 - prefix) == 0
}

fn v6_within(address: Ipv6Addr, (network, prefix): (Ipv6Addr, u32)) -> bool {
    (address.to_bits() ^ network.to_bits()) >> (128 - prefix) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(addresses: &[&str], expected: bool) {
        for text in addresses {
            let address = text.parse().expect("an address");
            assert_eq!(is_public(address), expected, "{text}");
        }
    }

    #[test]
    fn addresses_on_the_internet_are_public() {
        check(&["1.1.1.1", "8.8.8.8", "93.184.216.34", "168.63.129.15", "223.255.255.255"], true);
        check(&["2606:4700::1111", "2001:4860:4860::8888", "2a00:1450::1", "2001:200::1", "3ffe::1"], true);
    }

    #[test]
    fn every_special_v4_range_is_refused_from_its_first_to_its_last_address() {
        check(&["0.0.0.0", "0.255.255.255", "10.0.0.0", "10.255.255.255", "127.0.0.1", "127.255.255.255"], false);
        check(&["100.64.0.0", "100.100.100.200", "100.127.255.255", "169.254.0.0", "169.254.169.254", "169.254.255.255"], false);
        check(&["172.16.0.0", "172.31.255.255", "192.168.0.0", "192.168.255.255", "168.63.129.16"], false);
        check(&["192.0.0.0", "192.0.0.192", "192.0.2.1", "192.88.99.1", "198.18.0.0", "198.19.255.255"], false);
        check(&["198.51.100.7", "203.0.113.255", "224.0.0.1", "239.255.255.255", "240.0.0.0", "255.255.255.255"], false);
    }

    #[test]
    fn the_neighbours_of_special_v4_ranges_are_public() {
        check(&["1.0.0.0", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "126.255.255.255", "128.0.0.0"], true);
        check(&["169.253.255.255", "169.255.0.0", "172.15.255.255", "172.32.0.0", "192.167.255.255", "192.169.0.0"], true);
        check(&["192.0.1.0", "192.0.3.0", "198.17.255.255", "198.20.0.0", "203.0.112.255", "203.0.114.0"], true);
    }

    #[test]
    fn special_v6_ranges_are_refused() {
        check(&["::", "::1", "fe80::1", "febf::1", "fec0::1", "fc00::", "fd00:ec2::254", "fdff::1", "ff02::1", "100::1"], false);
        check(&["2001:db8::1", "3fff::1", "3fff:fff::1", "2001::1", "2001:1ff::1", "5f00::1", "1fff::1", "4000::1"], false);
    }

    #[test]
    fn v6_addresses_that_carry_a_v4_address_are_refused_even_where_that_is_public() {
        check(&["::ffff:127.0.0.1", "::ffff:8.8.8.8", "::127.0.0.1", "64:ff9b::8.8.8.8", "64:ff9b::7f00:1", "64:ff9b:1::1"], false);
        check(&["64:ff9b::a9fe:a9fe", "64:ff9b:1:7f00:0:100::", "::ffff:169.254.169.254", "::ffff:100.64.0.1", "::10.0.0.1"], false);
        check(&["2002:7f00:1::", "2002:808:808::1", "2001:0:7f00:1::1", "2002:a9fe:a9fe::1", "2001:0:808:808::1"], false);
    }
}
