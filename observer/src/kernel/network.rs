//! A network: an address and how many of its bits count.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use observer_common::conn::FilterAddress;

/// An IPv4 or IPv6 network in CIDR notation (RFC 4632), such as `10.0.0.0/8`; a lone address is a
/// network of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Network {
    address: IpAddr,
    prefix: u8,
}

impl Network {
    /// The network that `address` is in, of so many bits.
    pub fn new(address: IpAddr, prefix: u8) -> Self {
        let most = if address.is_ipv4() { 32 } else { 128 };
        Self {
            address,
            prefix: prefix.min(most),
        }
    }

    /// The address is of this network, or its network has addresses of this one.
    pub fn overlaps(&self, other: &Self) -> bool {
        let bits = self.prefix.min(other.prefix);
        match (self.address, other.address) {
            (IpAddr::V4(a), IpAddr::V4(b)) => {
                let differing = a.to_bits() ^ b.to_bits();
                differing.leading_zeros() >= u32::from(bits)
            }
            (IpAddr::V6(a), IpAddr::V6(b)) => {
                let differing = a.to_bits() ^ b.to_bits();
                differing.leading_zeros() >= u32::from(bits)
            }
            _ => false,
        }
    }

    /// Its address, and how many of the bits count.
    pub const fn parts(&self) -> (IpAddr, u8) {
        (self.address, self.prefix)
    }

    /// Length of the prefix, bits, and the address as the kernel half's filter has them: the family
    /// comes first, in 32 bits.
    pub(super) fn key(&self) -> (u32, FilterAddress) {
        let mut key = FilterAddress::default();
        let [family, _, _, _, address @ ..] = &mut key;
        match self.address {
            IpAddr::V4(of) => {
                *family = 4;
                for (to, byte) in address.iter_mut().zip(of.octets()) {
                    *to = byte;
                }
            }
            IpAddr::V6(of) => {
                *family = 6;
                *address = of.octets();
            }
        }
        (32 + u32::from(self.prefix), key)
    }
}

impl FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (address, prefix) = text
            .split_once('/')
            .map_or((text, None), |(address, bits)| (address, Some(bits)));
        let address: IpAddr = address
            .parse()
            .map_err(|_| "is no address or network: write \"10.0.0.0/8\" or \"::1\"".to_owned())?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            None => most,
            Some(bits) => bits
                .parse()
                .ok()
                .filter(|bits| *bits <= most)
                .ok_or_else(|| format!("its prefix must be a number up to {most}"))?,
        };
        Ok(Self { address, prefix })
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_and_lone_addresses_are_read_and_shown() {
        for (text, shown) in [
            ("10.0.0.0/8", "10.0.0.0/8"),
            ("10.1.2.3", "10.1.2.3/32"),
            ("fd00::/8", "fd00::/8"),
            ("::1", "::1/128"),
            ("0.0.0.0/0", "0.0.0.0/0"),
        ] {
            let network: Network = text.parse().unwrap();
            assert_eq!(network.to_string(), shown);
        }
        for bad in [
            "",
            "10.0.0.0/33",
            "::/129",
            "10.0.0/8",
            "host",
            "10.0.0.0/",
            "1.2.3.4/-1",
        ] {
            assert!(bad.parse::<Network>().is_err(), "{bad}");
        }
    }

    #[test]
    fn networks_overlap_where_one_is_in_the_other() {
        let overlap = |a: &str, b: &str| {
            let (a, b): (Network, Network) = (a.parse().unwrap(), b.parse().unwrap());
            assert_eq!(a.overlaps(&b), b.overlaps(&a));
            a.overlaps(&b)
        };
        assert!(overlap("10.0.0.0/8", "10.1.2.3"));
        assert!(overlap("2001:db8::/64", "2001:db8::7"));
        assert!(overlap("0.0.0.0/0", "192.0.2.1"));
        assert!(!overlap("10.0.0.0/8", "11.0.0.1"));
        assert!(!overlap("::/0", "192.0.2.1"));
        assert!(!overlap("192.0.2.1", "192.0.2.2"));
    }

    #[test]
    fn the_family_is_part_of_the_key() {
        let key = |text: &str| text.parse::<Network>().unwrap().key();
        assert_eq!(key("10.0.0.0/8").0, 40);
        assert_eq!(key("10.0.0.0/8").1[..6], [4, 0, 0, 0, 10, 0]);
        assert_eq!(key("::1").0, 160);
        assert_eq!(key("::1").1[0], 6);
        assert_eq!(key("::1").1[19], 1);
    }
}
