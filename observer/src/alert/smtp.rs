//! Hands a message to a mail server (RFC 5321), with TLS from the start (RFC 8314), after STARTTLS
//! (RFC 3207), or without.

use std::io;
use std::net::TcpStream;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::connection::{Stream, Trust, connect};
use super::mail_address::{MailServer, Security};

/// Bytes of a line of an answer (RFC 5321 §4.5.3.1.5 has 512), and lines of an answer.
const LONGEST_LINE: usize = 2_048;
const MOST_LINES: usize = 64;

/// Who logs in, and how.
#[derive(Clone)]
pub(super) struct Login {
    pub(super) user: String,
    pub(super) password: String,
}

impl std::fmt::Debug for Login {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Login")
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

/// Sends one message. `own`: name of this host. `message`: lines end with CR LF.
///
/// # Errors
/// The server cannot be reached, wants another way, or takes none of the recipients.
pub(super) fn send(
    server: &MailServer,
    trust: Option<&Trust>,
    own: &str,
    login: Option<&Login>,
    (from, to): (&str, &[String]),
    message: &str,
) -> io::Result<()> {
    let stream = connect(&server.authority)?;
    let is_local = stream.peer_addr()?.ip().is_loopback();
    let no_trust = || io::Error::other("TLS is not set up");
    let hello = format!("EHLO {own}");
    let mut session = match server.security {
        Security::Tls => {
            let mut session = Session(Box::new(
                trust.ok_or_else(no_trust)?.start(server.host(), stream)?,
            ));
            session.answer(220)?;
            session
        }
        Security::None => {
            let mut session = Session(Box::new(stream));
            session.answer(220)?;
            session
        }
        Security::StartTls => {
            let stream = start_tls(stream, &hello)?;
            Session(Box::new(
                trust.ok_or_else(no_trust)?.start(server.host(), stream)?,
            ))
        }
    };
    let offers = session.ask(&hello, 250)?;
    if let Some(login) = login {
        if server.security == Security::None && !is_local {
            return Err(io::Error::other(
                "the password is not sent without TLS: use smtps:// or smtp+starttls://",
            ));
        }
        session.log_in(login, &offers)?;
    }
    session.ask(&format!("MAIL FROM:<{from}>"), 250)?;
    let mut refused = None;
    let mut taken = 0;
    for address in to {
        match session.ask(&format!("RCPT TO:<{address}>"), 250) {
            Ok(_) => taken += 1,
            Err(error) => refused = Some(error),
        }
    }
    if let Some(error) = refused {
        if taken == 0 {
            return Err(error);
        }
        tracing::warn!(%error, "a recipient of alerts is refused by the mail server; the others have it");
    }
    session.ask("DATA", 354)?;
    let mut text = String::with_capacity(message.len() + 64);
    for line in message.split_terminator("\r\n") {
        // A line of one dot ends the message (RFC 5321 §4.5.2).
        if line.starts_with('.') {
            text.push('.');
        }
        text.push_str(line);
        text.push_str("\r\n");
    }
    text.push('.');
    session.ask(&text, 250)?;
    // It is delivered, whatever the server says now.
    drop(session.ask("QUIT", 221));
    Ok(())
}

/// Asks for TLS in plain text, and gives the connection back for it. What the server may have sent
/// after its answer stays unread, and TLS refuses it.
fn start_tls(stream: TcpStream, hello: &str) -> io::Result<TcpStream> {
    let mut plain = Session(Box::new(stream.try_clone()?));
    plain.answer(220)?;
    let offers = plain.ask(hello, 250)?;
    if !offers
        .iter()
        .any(|offer| offer.eq_ignore_ascii_case("STARTTLS"))
    {
        return Err(io::Error::other(
            "the mail server offers no STARTTLS, and nothing is sent without",
        ));
    }
    plain.ask("STARTTLS", 220)?;
    Ok(stream)
}

struct Session(Box<dyn Stream>);

impl Session {
    /// Sends a command; returns the lines of the answer, without their codes.
    fn ask(&mut self, command: &str, expected: u16) -> io::Result<Vec<String>> {
        self.0.write_all(format!("{command}\r\n").as_bytes())?;
        self.0.flush()?;
        self.answer(expected)
    }

    fn answer(&mut self, expected: u16) -> io::Result<Vec<String>> {
        let mut lines = Vec::new();
        loop {
            let line = self.line()?;
            let (code, rest) = line.split_at_checked(3).unwrap_or((&line, ""));
            lines.push(rest.get(1..).unwrap_or_default().to_owned());
            if lines.len() > MOST_LINES {
                return Err(io::Error::other("the mail server does not end its answer"));
            }
            if rest.starts_with('-') {
                continue;
            }
            // 251 and 252 are answers to RCPT that promise delivery too (RFC 5321 §4.2.3).
            let code: u16 = code.parse().unwrap_or(0);
            return if code == expected || expected == 250 && matches!(code, 251 | 252) {
                Ok(lines)
            } else {
                Err(io::Error::other(format!(
                    "the mail server answered {}",
                    line.escape_debug()
                )))
            };
        }
    }

    /// A byte at a time: nothing is read beyond the line, as TLS may start there.
    fn line(&mut self) -> io::Result<String> {
        let mut line = Vec::new();
        let mut byte = [0_u8];
        loop {
            self.0.read_exact(&mut byte)?;
            match byte {
                [b'\n'] => {
                    return Ok(String::from_utf8_lossy(&line)
                        .trim_end_matches('\r')
                        .to_owned());
                }
                [byte] if line.len() < LONGEST_LINE => line.push(byte),
                _ => return Err(io::Error::other("the mail server does not end its line")),
            }
        }
    }

    /// Logs in by PLAIN (RFC 4616), or LOGIN where there is nothing else.
    fn log_in(&mut self, login: &Login, offers: &[String]) -> io::Result<()> {
        let Login { user, password } = login;
        let offer = offers
            .iter()
            .find(|offer| {
                offer
                    .get(..5)
                    .is_some_and(|start| start.eq_ignore_ascii_case("AUTH "))
            })
            .map(|offer| offer.to_ascii_uppercase())
            .unwrap_or_default();
        let mut ways = offer.split_whitespace();
        // What a server says to this may repeat it: nothing of the answer is told.
        let refused = |_| io::Error::other("the mail server refuses user and password");
        if ways.clone().any(|way| way == "PLAIN") {
            let secret = STANDARD.encode(format!("\0{user}\0{password}"));
            self.ask(&format!("AUTH PLAIN {secret}"), 235)
                .map_err(refused)?;
        } else if ways.any(|way| way == "LOGIN") {
            self.ask("AUTH LOGIN", 334).map_err(refused)?;
            self.ask(&STANDARD.encode(user), 334).map_err(refused)?;
            self.ask(&STANDARD.encode(password), 235).map_err(refused)?;
        } else {
            return Err(io::Error::other(
                "the mail server takes neither AUTH PLAIN nor AUTH LOGIN",
            ));
        }
        Ok(())
    }
}
