//! The text of a mail (RFC 5322, RFC 2045).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc2822;

use super::note::Alert;
use crate::export::rfc3339;

/// Characters of a line of base64 (RFC 2045 §6.8).
const LINE: usize = 76;
/// Characters of a subject: mail readers show no more.
const SUBJECT: usize = 120;

/// One mail about one alert or several; lines end with CR LF.
pub(super) fn compose(
    alerts: &[Alert],
    (from, to): (&str, &[String]),
    host: &str,
    now_unix_ns: u64,
    checkpoint: Option<&str>,
) -> String {
    let subject = match alerts {
        [alert] => format!(
            "[observer] {} {}: {} {}",
            status(alert),
            alert.severity,
            alert.rule,
            alert.subject
        ),
        alerts => {
            let high = alerts
                .iter()
                .filter(|alert| !alert.resolved && alert.severity == "high")
                .count();
            format!(
                "[observer] {} alerts on {host}, {high} of them high",
                alerts.len()
            )
        }
    };
    let mut body = String::new();
    for alert in alerts {
        let rows = [
            ("rule", format!("{} {}", alert.rule, alert.mitre)),
            ("severity", alert.severity.clone()),
            ("about", alert.subject.clone()),
            ("service", alert.service.clone()),
            ("findings", alert.findings.to_string()),
            ("first", rfc3339(alert.first_unix_ns)),
            ("last", rfc3339(alert.last_unix_ns)),
        ];
        body += &format!("{}: {}\r\n", status(alert), line(&alert.message));
        for (name, value) in rows {
            body += &format!("  {name}: {}\r\n", line(value.trim()));
        }
        body += "\r\n";
    }
    body += &format!(
        "Seen on {host}. `observer alerts` lists what is open; `observer alerts silence` keeps it quiet.\r\n"
    );
    if let Some(checkpoint) = checkpoint {
        let lines: Vec<String> = checkpoint.lines().map(line).collect();
        body += &format!(
            "\r\nCheckpoint of the audit log:\r\n{}\r\n",
            lines.join("\r\n")
        );
    }
    let date = OffsetDateTime::from_unix_timestamp_nanos(i128::from(now_unix_ns))
        .ok()
        .and_then(|at| at.format(&Rfc2822).ok())
        .unwrap_or_default();
    let domain = from
        .split_once('@')
        .map_or("localhost", |(_, domain)| domain);
    let encoded = STANDARD.encode(body);
    let mut text = format!(
        "From: observer <{from}>\r\nTo: {}\r\nSubject: {}\r\nDate: {date}\r\nMessage-ID: <{now_unix_ns}.{}@{domain}>\r\n\
         MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\
         Auto-Submitted: auto-generated\r\n\r\n",
        to.join(",\r\n "),
        header(&subject),
        std::process::id(),
    );
    let mut rest = encoded.as_str();
    while !rest.is_empty() {
        let (first, after) = rest.split_at_checked(LINE).unwrap_or((rest, ""));
        text.push_str(first);
        text.push_str("\r\n");
        rest = after;
    }
    text
}

fn status(alert: &Alert) -> &'static str {
    if alert.resolved { "resolved" } else { "firing" }
}

/// Text of a call cannot begin another line.
fn line(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

/// A text as a header field holds it: words of base64 where it is not ASCII (RFC 2047 §2, of 75
/// characters at most).
fn header(text: &str) -> String {
    /// Bytes of text in a word.
    const WORD: usize = 42;
    let text: String = line(text).chars().take(SUBJECT).collect();
    if text.bytes().all(|b| b == b' ' || b.is_ascii_graphic()) && !text.contains("=?") {
        return text;
    }
    let (mut words, mut word) = (Vec::new(), String::new());
    for c in text.chars() {
        if word.len() + c.len_utf8() > WORD {
            words.push(std::mem::take(&mut word));
        }
        word.push(c);
    }
    words.push(word);
    let encoded: Vec<String> = words
        .iter()
        .map(|word| format!("=?UTF-8?B?{}?=", STANDARD.encode(word)))
        .collect();
    encoded.join("\r\n ")
}

#[cfg(test)]
mod tests {
    use super::compose;
    use crate::alert::Alert;

    #[test]
    fn what_attackers_send_cannot_begin_a_line_of_the_head() {
        let alert = Alert {
            rule: "brute_force".into(),
            severity: "high".into(),
            subject: "bob\r\nBcc: eve@example.org\r\n\r\n.\r\n".into(),
            message: "näïve\r\n.\r\n".into(),
            ..Alert::default()
        };
        let to = ["a@b.c".to_owned(), "d@e.f".to_owned()];
        let mail = compose(
            std::slice::from_ref(&alert),
            ("o@h", &to),
            "host",
            1_795_342_830_000_000_000,
            None,
        );
        assert!(
            !mail.contains("\nBcc") && !mail.contains("\r\n.\r\n"),
            "{mail}"
        );
        assert!(
            mail.contains("Date: Sun, 22 Nov 2026 10:20:30 +0000\r\n"),
            "{mail}"
        );
        assert!(mail.contains("To: a@b.c,\r\n d@e.f\r\n"), "{mail}");
        assert!(mail.lines().all(|line| line.len() <= 200));
        let umlaut = Alert {
            subject: "ü".repeat(100),
            ..alert.clone()
        };
        let mail = compose(&[umlaut], ("o@h", &to), "host", 0, None);
        assert!(
            mail.is_ascii() && mail.contains("Subject: =?UTF-8?B?"),
            "{mail}"
        );
        let many = compose(&[alert.clone(), alert], ("o@h", &to), "host", 0, None);
        assert!(many.contains("2 alerts on host, 2 of them high"), "{many}");
    }
}
