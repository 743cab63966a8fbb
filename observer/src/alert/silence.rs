//! What somebody does not want to be told of, for a time.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::note::Alert;

/// Alerts that are not told until a time. They stay in the list of open alerts, and what was found
/// stays in the audit log. Every part that is given must fit; a star at the end fits any rest.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Silence {
    /// Number, from 1; never used again.
    pub id: u64,
    /// Name of a rule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// What the alert is about: an account, a fingerprint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<String>,
    /// Client, as an address or a network such as `10.0.0.0/8`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
    /// A service, a route, or both with a blank between them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// When it starts, Unix time in nanoseconds.
    pub from_unix_ns: u64,
    /// When it ends.
    pub until_unix_ns: u64,
    /// Who asked for it.
    pub by: String,
    /// Why.
    #[serde(default)]
    pub comment: String,
}

impl Silence {
    /// The alert is not to be told at this time.
    pub fn covers(&self, alert: &Alert, now_unix_ns: u64) -> bool {
        let Self {
            id: _,
            rule,
            identity,
            client,
            endpoint,
            from_unix_ns: _,
            until_unix_ns,
            by: _,
            comment: _,
        } = self;
        let given =
            |wanted: &Option<String>, fit: &dyn Fn(&str) -> bool| wanted.as_deref().is_none_or(fit);
        now_unix_ns < *until_unix_ns
            && given(rule, &|wanted| fits(wanted, &alert.rule))
            && given(identity, &|wanted| fits(wanted, &alert.subject))
            && given(client, &|wanted| of_network(wanted, &alert.client))
            && given(endpoint, &|wanted| {
                let of = |route: &String| {
                    fits(wanted, route) || fits(wanted, &format!("{} {route}", alert.service))
                };
                fits(wanted, &alert.service) || alert.routes.iter().any(of)
            })
    }

    /// What it covers, for people.
    pub fn what(&self) -> String {
        let parts = [
            ("rule", &self.rule),
            ("identity", &self.identity),
            ("client", &self.client),
            ("endpoint", &self.endpoint),
        ];
        let given: Vec<String> = parts
            .into_iter()
            .filter_map(|(name, value)| Some(format!("{name} {}", value.as_deref()?)))
            .collect();
        given.join(", ")
    }
}

/// `wanted` is the text, or its start if it ends with a star.
fn fits(wanted: &str, text: &str) -> bool {
    match wanted.strip_suffix('*') {
        Some(start) => text.starts_with(start),
        None => wanted == text,
    }
}

/// An address or network as text: the address, and how many of its bits count.
pub(super) fn network(text: &str) -> Option<(IpAddr, u32)> {
    let (address, bits) = match text.split_once('/') {
        Some((address, bits)) => (address, Some(bits)),
        None => (text, None),
    };
    let address: IpAddr = address.parse().ok()?;
    let most = if address.is_ipv4() { 32 } else { 128 };
    let bits = bits.map_or(Some(most), |bits| bits.parse().ok())?;
    (bits <= most).then_some((address, bits))
}

/// `client` lies within `wanted`.
fn of_network(wanted: &str, client: &str) -> bool {
    let (Some((wanted, bits)), Some((client, of_client))) = (network(wanted), network(client))
    else {
        return false;
    };
    let same = match (wanted, client) {
        (IpAddr::V4(a), IpAddr::V4(b)) => (a.to_bits() ^ b.to_bits()).leading_zeros(),
        (IpAddr::V6(a), IpAddr::V6(b)) => (a.to_bits() ^ b.to_bits()).leading_zeros(),
        _ => return false,
    };
    // An IPv6 client is known by its network only.
    same >= bits.min(of_client) && (of_client >= bits || client.is_ipv6() && of_client >= 64)
}

#[cfg(test)]
mod tests {
    use super::Silence;
    use crate::alert::Alert;

    fn alert() -> Alert {
        Alert {
            rule: "brute_force".into(),
            subject: "alice".into(),
            client: "198.51.100.7".into(),
            service: "shop".into(),
            routes: vec!["/login".into(), "/v1/token".into()],
            ..Alert::default()
        }
    }

    #[test]
    fn all_that_is_given_must_fit() {
        let silence = |rule: &str, identity: &str, client: &str, endpoint: &str| {
            let some = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
            Silence {
                rule: some(rule),
                identity: some(identity),
                client: some(client),
                endpoint: some(endpoint),
                until_unix_ns: 100,
                ..Silence::default()
            }
        };
        for (rule, identity, client, endpoint, covers) in [
            ("brute_force", "", "", "", true),
            ("brute*", "alice", "", "", true),
            ("brute_force", "bob", "", "", false),
            ("scanner", "alice", "", "", false),
            ("", "ali*", "", "shop /login", true),
            ("", "", "", "/v1/*", true),
            ("", "", "", "shop", true),
            ("", "", "", "shop /pay", false),
            ("", "", "198.51.100.7", "", true),
            ("", "", "198.51.0.0/16", "", true),
            ("", "", "198.51.100.8", "", false),
            ("", "", "10.0.0.0/8", "", false),
        ] {
            let silence = silence(rule, identity, client, endpoint);
            assert_eq!(silence.covers(&alert(), 99), covers, "{silence:?}");
            assert!(!silence.covers(&alert(), 100), "its time is over");
        }
        let v6 = Alert {
            client: "2001:db8:1:2::/64".into(),
            ..alert()
        };
        assert!(silence("", "", "2001:db8:1:2::9", "").covers(&v6, 0));
        assert!(silence("", "", "2001:db8::/32", "").covers(&v6, 0));
        assert!(!silence("", "", "2001:db8:1:3::/64", "").covers(&v6, 0));
        assert_eq!(silence("a", "", "", "b c").what(), "rule a, endpoint b c");
    }
}
