//! An alert in the words of those who take it.

use serde_json::json;

use super::note::Alert;
use crate::export::rfc3339;

/// Body for the v2 API of Alertmanager (`POST /api/v2/alerts`). It groups and silences by label.
pub(super) fn alertmanager(alert: &Alert) -> String {
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
    json!([value]).to_string()
}

/// Body for a webhook: the alert with its times as text.
pub(super) fn webhook(alert: &Alert) -> String {
    json!({
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
    })
    .to_string()
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

/// A message of RFC 5424: facility 4 (security), a structured element with the parts.
pub(super) fn syslog(alert: &Alert, host: &str) -> String {
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
    format!(
        "<{}>1 {} {host} observer - alert [alert@32473 rule=\"{}\" status=\"{status}\" severity=\"{}\" mitre=\"{}\" service=\"{}\" subject=\"{}\" findings=\"{}\"] {}",
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
