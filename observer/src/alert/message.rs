//! An alert in the words of those who take it.

use serde_json::json;

use super::note::Alert;
use crate::export::rfc3339;

/// Body for the v2 API of Alertmanager (`POST /api/v2/alerts`). It groups and silences by label.
/// `checkpoint` is the last of the audit log, here and below: whoever keeps it can tell later
/// whether the log was put back.
pub(super) fn alertmanager(alert: &Alert, checkpoint: Option<&str>) -> String {
    let mut value = json!({
        "labels": {
            "alertname": alert.rule,
            "severity": alert.severity,
            "service": alert.service,
            "subject": alert.subject,
            "mitre": alert.mitre,
            "source": "observer",
        },
        "annotations": {
            "summary": alert.message,
            "findings": alert.findings.to_string(),
        },
        "startsAt": rfc3339(alert.first_unix_ns),
    });
    if alert.resolved
        && let Some(object) = value.as_object_mut()
    {
        object.insert("endsAt".to_owned(), rfc3339(alert.last_unix_ns).into());
    }
    if let (Some(checkpoint), Some(annotations)) = (
        checkpoint,
        value
            .get_mut("annotations")
            .and_then(|it| it.as_object_mut()),
    ) {
        annotations.insert("checkpoint".to_owned(), checkpoint.into());
    }
    json!([value]).to_string()
}

/// Body for a webhook: the alert with its times as text.
pub(super) fn webhook(alert: &Alert, checkpoint: Option<&str>) -> String {
    let mut value = json!({
        "type": "alert",
        "status": if alert.resolved { "resolved" } else { "firing" },
        "rule": alert.rule,
        "severity": alert.severity,
        "mitre": alert.mitre,
        "service": alert.service,
        "subject": alert.subject,
        "message": alert.message,
        "findings": alert.findings,
        "first": rfc3339(alert.first_unix_ns),
        "last": rfc3339(alert.last_unix_ns),
    });
    if let (Some(checkpoint), Some(object)) = (checkpoint, value.as_object_mut()) {
        object.insert("checkpoint".to_owned(), checkpoint.into());
    }
    value.to_string()
}

/// Body for a webhook that takes what Slack's takes. `&`, `<` and `>` are its own.
pub(super) fn slack(alert: &Alert) -> String {
    let message = alert
        .message
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;");
    let state = if alert.resolved {
        "resolved"
    } else {
        &alert.severity
    };
    json!({ "text": format!("*{}* ({state}, {}): {message}", alert.rule, alert.mitre) }).to_string()
}

/// A message of RFC 5424: facility 4 (security), a structured element with the parts. Of the
/// checkpoint, name, size and root.
pub(super) fn syslog(alert: &Alert, host: &str, checkpoint: Option<&str>) -> String {
    let severity = match (alert.resolved, alert.severity.as_str()) {
        (true, _) => 6,
        (_, "high") => 2,
        (_, "medium") => 4,
        _ => 5,
    };
    let clean = |text: &str| -> String {
        text.chars()
            .map(|c| if c.is_control() { ' ' } else { c })
            .collect()
    };
    let quote = |text: &str| -> String {
        clean(text)
            .replace('\\', "\\\\")
            .replace('"', "\\\"")
            .replace(']', "\\]")
    };
    let status = if alert.resolved { "resolved" } else { "firing" };
    let checkpoint = checkpoint.map_or(String::new(), |note| {
        let parts: Vec<&str> = note.lines().take(3).collect();
        format!(" checkpoint=\"{}\"", quote(&parts.join(" ")))
    });
    format!(
        "<{}>1 {} {host} observer - alert [alert@32473 rule=\"{}\" status=\"{status}\" severity=\"{}\" mitre=\"{}\" service=\"{}\" subject=\"{}\" findings=\"{}\"{checkpoint}] {}",
        4 * 8 + severity,
        rfc3339(alert.last_unix_ns).replace("000Z", "Z"),
        quote(&alert.rule),
        quote(&alert.severity),
        quote(&alert.mitre),
        quote(&alert.service),
        quote(&alert.subject),
        alert.findings,
        clean(&alert.message)
    )
}

#[cfg(test)]
mod tests {
    use super::{alertmanager, syslog, webhook};
    use crate::alert::note::Alert;

    #[test]
    fn an_alert_takes_the_last_checkpoint_along() {
        let alert: Alert = serde_json::from_value(serde_json::json!({
            "rule": "brute_force", "severity": "high", "mitre": "T1110.001", "service": "nginx",
            "subject": "alice", "message": "m", "findings": 1, "first_unix_ns": 1,
            "last_unix_ns": 2, "resolved": false,
        }))
        .unwrap();
        let note = "host.example/audit\n3\nPbZ2=\n\n\u{2014} host.example/audit OEB8\n";
        let value = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
        assert_eq!(value(&webhook(&alert, Some(note)))["checkpoint"], note);
        let sent = value(&alertmanager(&alert, Some(note)));
        assert_eq!(sent[0]["annotations"]["checkpoint"], note);
        assert!(
            syslog(&alert, "h", Some(note))
                .contains(" checkpoint=\"host.example/audit 3 PbZ2=\"] ")
        );
        for text in [
            webhook(&alert, None),
            alertmanager(&alert, None),
            syslog(&alert, "h", None),
        ] {
            assert!(!text.contains("checkpoint"), "{text}");
        }
    }
}
