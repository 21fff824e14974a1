//! IP networks as in `allow_from` and `trusted_proxies`. The one home of `ipnet`.

use std::net::IpAddr;
use std::str::FromStr;

use ipnet::{IpNet, Ipv4Net};

use crate::document::Field;

/// A set of addresses.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Networks(Vec<IpNet>);

impl Networks {
    /// Whether one of them holds the address. An IPv4 address is the same whether it is written as such or mapped into IPv6, as a
    /// listener on `[::]` sees it.
    pub fn contain(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }

    #[cfg(test)]
    pub(crate) fn of(networks: &[&str]) -> Self {
        Self(networks.iter().map(|text| text.parse::<Network>().expect("a network").0).collect())
    }
}

/// `["3.18.12.0/24", "2600::/32", "203.0.113.7"]`.
pub(super) fn read(field: &Field<'_>) -> Option<Networks> {
    let networks = field.as_list()?.iter().map(|field| field.parse().map(|Network(network)| network)).collect::<Option<_>>()?;
    Some(Networks(networks))
}

/// One element of the list.
struct Network(IpNet);

impl FromStr for Network {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let network = match text.parse() {
            Ok(network) => network,
            Err(_) => IpNet::from(text.parse::<IpAddr>().map_err(|_| "a network is an address or a CIDR, as in \"3.18.12.0/24\"")?),
        };
        Ok(Self(canonical(network.trunc())))
    }
}

/// A network of mapped IPv4 addresses as one of IPv4.
fn canonical(network: IpNet) -> IpNet {
    let IpNet::V6(mapped) = network else { return network };
    let prefix = mapped.prefix_len().checked_sub(96);
    let v4 = prefix.zip(mapped.network().to_ipv4_mapped()).and_then(|(prefix, address)| Ipv4Net::new(address, prefix).ok());
    v4.map_or(network, IpNet::V4)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(network: &str, address: &str) -> bool {
        Networks::of(&[network]).contain(address.parse().expect("an address"))
    }

    #[test]
    fn a_network_holds_its_first_and_its_last_address_and_no_other() {
        assert!(holds("3.18.12.0/24", "3.18.12.0") && holds("3.18.12.0/24", "3.18.12.255"));
        assert!(!holds("3.18.12.0/24", "3.18.11.255") && !holds("3.18.12.0/24", "3.18.13.0"));
        assert!(holds("2600::/32", "2600:0:ffff::1") && !holds("2600::/32", "2600:1::"));
        assert!(holds("203.0.113.7", "203.0.113.7") && !holds("203.0.113.7", "203.0.113.8"));
    }

    #[test]
    fn a_mapped_address_is_the_address_that_it_maps() {
        assert!(holds("3.18.12.0/24", "::ffff:3.18.12.7"));
        assert!(holds("::ffff:3.18.12.0/120", "3.18.12.7") && !holds("::ffff:3.18.12.0/120", "3.18.13.7"));
        assert!(!holds("::/0", "3.18.12.7"), "all of IPv6 is not all of IPv4");
    }

    #[test]
    fn what_is_no_network_is_refused() {
        for bad in ["", "3.18.12", "3.18.12.0/33", "stripe.com", "*", "2600::/129", "3.18.12.0/"] {
            assert!(bad.parse::<Network>().is_err(), "{bad}");
        }
    }
}
