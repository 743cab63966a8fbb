//! Where mail goes.

use std::fmt;

/// How a connection to a mail server is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Security {
    /// Not at all: for a server on this host.
    None,
    /// TLS from the start (RFC 8314), usually on port 465.
    Tls,
    /// TLS after STARTTLS (RFC 3207), usually on port 587; never without.
    StartTls,
}

/// A mail server: `smtp://host:25`, `smtp+starttls://host:587` or `smtps://host:465`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MailServer {
    /// How the connection is protected.
    pub security: Security,
    /// Host and port.
    pub authority: String,
}

impl MailServer {
    /// Reads an address; the port may be left out.
    ///
    /// # Errors
    /// A sentence that says what is wrong.
    pub fn parse(text: &str) -> Result<Self, String> {
        let ways = [
            ("smtp://", Security::None, 25),
            ("smtp+starttls://", Security::StartTls, 587),
            ("smtps://", Security::Tls, 465),
        ];
        let found = ways.into_iter().find_map(|(scheme, security, port)| {
            Some((text.strip_prefix(scheme)?, security, port))
        });
        let wrong = || {
            "is no mail server of the form smtps://host:465, smtp+starttls://host:587 or smtp://host:25".to_owned()
        };
        let (rest, security, port) = found.ok_or_else(wrong)?;
        let authority = rest.trim_end_matches('/');
        let sound = !authority.is_empty()
            && !authority.starts_with(':')
            && authority.bytes().all(|b| {
                b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b':' | b'[' | b']')
            });
        if !sound {
            return Err(wrong());
        }
        let given = authority
            .rsplit_once(':')
            .filter(|(_, port)| !port.ends_with(']'));
        let authority = match given {
            Some((_, port)) if port.parse::<u16>().is_ok() => authority.to_owned(),
            Some(_) => return Err(wrong()),
            None => format!("{authority}:{port}"),
        };
        Ok(Self {
            security,
            authority,
        })
    }

    /// The host alone.
    pub(super) fn host(&self) -> &str {
        self.authority
            .rsplit_once(':')
            .map_or(self.authority.as_str(), |(host, _)| host)
    }
}

impl fmt::Display for MailServer {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.security {
            Security::None => "smtp",
            Security::Tls => "smtps",
            Security::StartTls => "smtp+starttls",
        };
        write!(out, "{scheme}://{}", self.authority)
    }
}

/// Checks the address of a person: one `@`, and nothing that could be more than an address.
///
/// # Errors
/// A sentence that says what is wrong.
pub fn mail_address(text: &str) -> Result<String, String> {
    let sound = text.len() <= 254
        && text.split_once('@').is_some_and(|(name, host)| {
            !name.is_empty() && !host.is_empty() && !host.contains('@')
        })
        && text.bytes().all(|b| {
            b.is_ascii_graphic() && !matches!(b, b'<' | b'>' | b',' | b';' | b'"' | b'\\')
        });
    if sound {
        Ok(text.to_owned())
    } else {
        Err(format!(
            "{:?} is no address such as ops@example.org",
            text.chars().take(60).collect::<String>()
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::{MailServer, mail_address};

    #[test]
    fn servers_and_people_are_read_and_shown() {
        for (text, shown, host) in [
            (
                "smtps://mail.example.org",
                "smtps://mail.example.org:465",
                "mail.example.org",
            ),
            ("smtp+starttls://m:2525/", "smtp+starttls://m:2525", "m"),
            ("smtp://127.0.0.1", "smtp://127.0.0.1:25", "127.0.0.1"),
            ("smtp://[::1]", "smtp://[::1]:25", "[::1]"),
        ] {
            let server = MailServer::parse(text).unwrap();
            assert_eq!((server.to_string().as_str(), server.host()), (shown, host));
        }
        for text in [
            "mail.example.org",
            "http://m",
            "smtp://",
            "smtp://a b",
            "smtp://a@b",
            "smtp://m:x",
            "smtp://:25",
        ] {
            assert!(MailServer::parse(text).is_err(), "{text}");
        }
        assert!(mail_address("ops@example.org").is_ok());
        for text in ["ops", "@b", "a@", "a@b@c", "a b@c", "a@b>\r\nDATA", "a,b@c"] {
            assert!(mail_address(text).is_err(), "{text}");
        }
    }
}
