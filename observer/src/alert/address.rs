//! Where alerts go.

use std::fmt;

/// A web address: `https://host:port/path` or `http://host:port/path`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpAddress {
    /// With TLS.
    pub tls: bool,
    /// Host and port, as they stand in `Host`.
    pub authority: String,
    /// Path and query.
    pub path: String,
}

impl HttpAddress {
    /// Reads an address.
    ///
    /// # Errors
    /// A sentence that says what is wrong.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = || {
            "is not an address of the form https://host:port/path or http://host:port/path"
                .to_owned()
        };
        let (tls, rest) = match (text.strip_prefix("https://"), text.strip_prefix("http://")) {
            (Some(rest), _) => (true, rest),
            (_, Some(rest)) => (false, rest),
            _ => return Err(wrong()),
        };
        let (authority, path) = match rest.find('/') {
            Some(at) => rest.split_at_checked(at).unwrap_or((rest, "/")),
            None => (rest, "/"),
        };
        if authority.contains('@') {
            return Err("holds a user or password: put a token into a file of its own".to_owned());
        }
        if authority.is_empty() || !text.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(wrong());
        }
        Ok(Self {
            tls,
            authority: authority.to_owned(),
            path: path.to_owned(),
        })
    }

    /// What to connect to.
    pub(super) fn target(&self) -> String {
        match self.port() {
            Some(_) => self.authority.clone(),
            None => format!("{}:{}", self.authority, if self.tls { 443 } else { 80 }),
        }
    }

    /// The host alone.
    pub(super) fn host(&self) -> &str {
        self.port().map_or(&self.authority, |(host, _)| host)
    }

    fn port(&self) -> Option<(&str, &str)> {
        self.authority
            .rsplit_once(':')
            .filter(|(_, port)| port.bytes().all(|b| b.is_ascii_digit()))
    }
}

impl fmt::Display for HttpAddress {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "https" } else { "http" };
        write!(out, "{scheme}://{}{}", self.authority, self.path)
    }
}

/// A syslog server: `udp://host:514` (RFC 5426) or `tcp://host:601` (RFC 6587, octet counting).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyslogAddress {
    /// Over TCP, else over UDP.
    pub tcp: bool,
    /// Host and port.
    pub authority: String,
}

impl SyslogAddress {
    /// Reads an address.
    ///
    /// # Errors
    /// A sentence that says what is wrong.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = || "is not an address of the form udp://host:514 or tcp://host:601".to_owned();
        let (tcp, authority) = match (text.strip_prefix("tcp://"), text.strip_prefix("udp://")) {
            (Some(rest), _) => (true, rest),
            (_, Some(rest)) => (false, rest),
            _ => return Err(wrong()),
        };
        let port = authority
            .rsplit_once(':')
            .and_then(|(_, port)| port.parse::<u16>().ok());
        if port.is_none() || !text.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(wrong());
        }
        Ok(Self {
            tcp,
            authority: authority.to_owned(),
        })
    }
}

impl fmt::Display for SyslogAddress {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tcp { "tcp" } else { "udp" };
        write!(out, "{scheme}://{}", self.authority)
    }
}

#[cfg(test)]
mod tests {
    use super::{HttpAddress, SyslogAddress};

    #[test]
    fn addresses_are_read_and_shown() {
        let address = HttpAddress::parse("http://127.0.0.1:9093/am").unwrap();
        assert_eq!(
            (address.target().as_str(), address.path.as_str()),
            ("127.0.0.1:9093", "/am")
        );
        assert_eq!(HttpAddress::parse("http://h").unwrap().target(), "h:80");
        let tls = HttpAddress::parse("https://hooks.example.org/x").unwrap();
        assert_eq!(
            (tls.target().as_str(), tls.host()),
            ("hooks.example.org:443", "hooks.example.org")
        );
        assert_eq!(tls.to_string(), "https://hooks.example.org/x");
        assert_eq!(
            SyslogAddress::parse("tcp://h:601").unwrap().to_string(),
            "tcp://h:601"
        );
        for text in [
            "ftp://h/",
            "https://",
            "http://a@h/",
            "http://h/a b",
            "h:514",
            "udp://h",
        ] {
            assert!(
                HttpAddress::parse(text).is_err() && SyslogAddress::parse(text).is_err(),
                "{text}"
            );
        }
    }
}
