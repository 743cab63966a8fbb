//! One comparison of a filter.

use std::net::IpAddr;

use super::field::{Field, Kind};
use super::record::Value;

/// An address, or a network of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Network {
    address: u128,
    v4: bool,
    bits: u32,
}

impl Network {
    /// Reads `10.0.0.0/8`, `2001:db8::/32`, or one address.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits.parse::<u32>().ok()?)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().ok()?;
        let v4 = address.is_ipv4();
        let most = if v4 { 32 } else { 128 };
        let bits = bits.unwrap_or(most);
        (bits <= most).then_some(Self {
            address: number(address),
            v4,
            bits,
        })
    }

    fn holds(&self, address: IpAddr) -> bool {
        let width = if self.v4 { 32 } else { 128 };
        // A shift by all bits leaves nothing to compare.
        let shift = width - self.bits;
        let of = |number: u128| number.checked_shr(shift).unwrap_or(0);
        address.is_ipv4() == self.v4 && of(number(address)) == of(self.address)
    }
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(address.to_bits()),
        IpAddr::V6(address) => address.to_bits(),
    }
}

/// What a value is compared with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Test {
    /// One of these texts; of a list field, if any of its words is one of them.
    Is(Vec<String>),
    /// A pattern in which `*` stands for any text; case does not count.
    Like(String),
    /// In one of these ranges, both ends included.
    Within(Vec<(u64, u64)>),
    /// In one of these networks.
    In(Vec<Network>),
    /// There is a value.
    Known,
}

/// A comparison. A value that is not known fits none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Predicate {
    pub(super) field: Field,
    pub(super) test: Test,
}

impl Predicate {
    pub(super) fn fits(&self, value: Value<'_>) -> bool {
        let Self { field, test } = self;
        match (test, value) {
            (_, Value::Absent) => false,
            (Test::Known, _) => true,
            (Test::Is(texts), Value::Text(value)) if *field == Field::Flag => value
                .split(',')
                .any(|word| texts.iter().any(|text| text == word)),
            (Test::Is(texts), Value::Text(value)) => texts.iter().any(|text| text == value),
            (Test::Like(pattern), Value::Text(value)) => like(pattern, value),
            (Test::Within(ranges), Value::Number(value)) => ranges
                .iter()
                .any(|(least, most)| (*least..=*most).contains(&value)),
            (Test::In(networks), Value::Text(value)) => {
                debug_assert!(field.kind() == Kind::Address);
                value
                    .parse()
                    .is_ok_and(|address| networks.iter().any(|network| network.holds(address)))
            }
            _ => false,
        }
    }
}

/// Whether `value` is like `pattern`, in time proportional to the product of their lengths at
/// worst, without recursion.
pub(in crate::audit) fn like(pattern: &str, value: &str) -> bool {
    let pattern: Vec<u8> = pattern.bytes().map(|b| b.to_ascii_lowercase()).collect();
    let value = value.as_bytes();
    let (mut p, mut v) = (0, 0);
    // Where the last star was, and what it has swallowed so far.
    let mut star: Option<(usize, usize)> = None;
    while let Some(byte) = value.get(v) {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, v));
                p += 1;
            }
            Some(wanted) if *wanted == byte.to_ascii_lowercase() => {
                p += 1;
                v += 1;
            }
            _ => match &mut star {
                Some((at, swallowed)) => {
                    *swallowed += 1;
                    (p, v) = (*at + 1, *swallowed);
                }
                None => return false,
            },
        }
    }
    pattern.iter().skip(p).all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::{Network, like};

    #[test]
    fn patterns_and_networks() {
        for (pattern, value, fits) in [
            ("/v1/*", "/v1/orders", true),
            ("*orders*", "/V1/Orders/7", true),
            ("a*b*c", "aXbXbXc", true),
            ("a*b*c", "aXbXbX", false),
            ("", "", true),
            ("*", "", true),
            ("a", "ab", false),
        ] {
            assert_eq!(like(pattern, value), fits, "{pattern} {value}");
        }
        let holds = |network: &str, address: &str| {
            Network::parse(network)
                .unwrap()
                .holds(address.parse().unwrap())
        };
        assert!(holds("10.0.0.0/8", "10.9.8.7"));
        assert!(!holds("10.0.0.0/8", "11.0.0.1"));
        assert!(holds("0.0.0.0/0", "1.2.3.4"));
        assert!(!holds("::/0", "1.2.3.4"));
        assert!(holds("2001:db8::/32", "2001:db8:1::5"));
        assert!(holds("::1", "::1"));
        assert_eq!(Network::parse("10.0.0.0/33"), None);
        assert_eq!(Network::parse("10.0.0"), None);
    }
}
