//! One comparison of a filter.

use std::net::IpAddr;

use super::field::{Field, Kind};
use super::pattern::Pattern;
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
    Like(Pattern),
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
            (Test::Is(texts), Value::Text(value)) if field.is_list() => value
                .split(',')
                .any(|word| texts.iter().any(|text| text == word)),
            (Test::Is(texts), Value::Text(value)) => texts.iter().any(|text| text == value),
            (Test::Like(pattern), Value::Text(value)) => pattern.fits(value),
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

    /// No value among these, one after the other in `texts`, can fit: a look that costs far less
    /// than to compare each. `false` says nothing.
    pub(super) fn is_not_in(&self, texts: &str) -> bool {
        let has = |word: &String| memchr::memmem::find(texts.as_bytes(), word.as_bytes()).is_some();
        match &self.test {
            Test::Is(words) => !words.iter().any(has),
            Test::Like(pattern) => pattern.is_not_in(texts),
            Test::Within(_) | Test::In(_) | Test::Known => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Network;

    #[test]
    fn networks() {
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
