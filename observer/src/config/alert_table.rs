//! The settings of who is told.

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use super::table::{Given, Setting, duration, list, string, toml_string};
use super::values::show_time;
use crate::alert::{HttpAddress, MailServer, SyslogAddress, mail_address};

/// Below a second everything is told at once; after a week nobody remembers.
const ALERT_TIME: RangeInclusive<Duration> =
    Duration::from_secs(1)..=Duration::from_secs(7 * 86_400);

fn path(given: Given<'_>) -> Result<PathBuf, String> {
    let text = string(given)?;
    if text.is_empty() {
        return Err("is empty: use the path of a file".to_owned());
    }
    Ok(PathBuf::from(text))
}

#[expect(
    clippy::ptr_arg,
    reason = "it is given to a map over a reference to one"
)]
fn shown_path(path: &PathBuf) -> String {
    toml_string(&path.to_string_lossy())
}

/// Those of alerts.
pub(super) const ALERTS: &[Setting] = &[
    Setting {
        key: "alert.alertmanager",
        doc: &["Alertmanager that gets the alerts (v2 API), such as http://127.0.0.1:9093."],
        set: |settings, given| {
            settings.alert.alertmanager = Some(HttpAddress::parse(string(given)?)?);
            Ok(())
        },
        show: |settings| {
            settings
                .alert
                .alertmanager
                .as_ref()
                .map(|at| toml_string(&at.to_string()))
        },
        example: "\"http://127.0.0.1:9093/\"",
    },
    Setting {
        key: "alert.alertmanager_token_file",
        doc: &[
            "File with the token it asks for (Authorization: Bearer). Of this and of other files with secrets:",
            "a full path, or the name of a credential of the systemd unit (LoadCredential=).",
        ],
        set: |settings, given| {
            settings.alert.alertmanager_token_file = Some(path(given)?);
            Ok(())
        },
        show: |settings| {
            settings
                .alert
                .alertmanager_token_file
                .as_ref()
                .map(shown_path)
        },
        example: "\"/etc/observer/alertmanager.token\"",
    },
    Setting {
        key: "alert.webhook",
        doc: &["Where each alert is posted as JSON."],
        set: |settings, given| {
            settings.alert.webhook = Some(HttpAddress::parse(string(given)?)?);
            Ok(())
        },
        show: |settings| {
            settings
                .alert
                .webhook
                .as_ref()
                .map(|at| toml_string(&at.to_string()))
        },
        example: "\"http://127.0.0.1:8000/alerts\"",
    },
    Setting {
        key: "alert.webhook_secret_file",
        doc: &[
            "File with the secret that signs what the webhook gets: X-Observer-Signature, HMAC-SHA-256.",
        ],
        set: |settings, given| {
            settings.alert.webhook_secret_file = Some(PathBuf::from(string(given)?));
            Ok(())
        },
        show: |settings| {
            settings
                .alert
                .webhook_secret_file
                .as_ref()
                .map(|at| toml_string(&at.to_string_lossy()))
        },
        example: "\"/etc/observer/webhook.secret\"",
    },
    Setting {
        key: "alert.slack",
        doc: &["Where each alert is posted as Slack takes it."],
        set: |settings, given| {
            settings.alert.slack = Some(HttpAddress::parse(string(given)?)?);
            Ok(())
        },
        show: |settings| {
            settings
                .alert
                .slack
                .as_ref()
                .map(|at| toml_string(&at.to_string()))
        },
        example: "\"http://127.0.0.1:8065/hooks/x\"",
    },
    Setting {
        key: "alert.slack_file",
        doc: &["File with that address instead: where Slack runs it, the address is a secret."],
        set: |settings, given| {
            settings.alert.slack_file = Some(path(given)?);
            Ok(())
        },
        show: |settings| settings.alert.slack_file.as_ref().map(shown_path),
        example: "\"/etc/observer/slack.address\"",
    },
    Setting {
        key: "alert.syslog",
        doc: &["Syslog server (RFC 5424), such as udp://127.0.0.1:514 or tcp://127.0.0.1:601."],
        set: |settings, given| {
            settings.alert.syslog = Some(SyslogAddress::parse(string(given)?)?);
            Ok(())
        },
        show: |settings| {
            settings
                .alert
                .syslog
                .as_ref()
                .map(|at| toml_string(&at.to_string()))
        },
        example: "\"udp://127.0.0.1:514\"",
    },
    Setting {
        key: "alert.mail_server",
        doc: &[
            "Mail server: smtps://host:465, smtp+starttls://host:587, or smtp://host:25 without TLS.",
            "What is found within half a minute after a mail goes together in the next.",
        ],
        set: |settings, given| {
            settings.alert.mail_server = Some(MailServer::parse(string(given)?)?);
            Ok(())
        },
        show: |settings| {
            settings
                .alert
                .mail_server
                .as_ref()
                .map(|at| toml_string(&at.to_string()))
        },
        example: "\"smtp+starttls://mail.example.org:587\"",
    },
    Setting {
        key: "alert.mail_from",
        doc: &["Whom mail is from; observer@ this host if not set."],
        set: |settings, given| {
            settings.alert.mail_from = Some(mail_address(string(given)?)?);
            Ok(())
        },
        show: |settings| settings.alert.mail_from.as_deref().map(toml_string),
        example: "\"observer@example.org\"",
    },
    Setting {
        key: "alert.mail_to",
        doc: &["Whom mail goes to."],
        set: |settings, given| {
            settings.alert.mail_to = list(given, |one| mail_address(string(one)?))?;
            Ok(())
        },
        show: |settings| {
            let to: Vec<String> = settings
                .alert
                .mail_to
                .iter()
                .map(|to| toml_string(to))
                .collect();
            (!to.is_empty()).then(|| format!("[{}]", to.join(", ")))
        },
        example: "[\"ops@example.org\"]",
    },
    Setting {
        key: "alert.mail_user",
        doc: &["Who logs in at the mail server, if it asks for that."],
        set: |settings, given| {
            settings.alert.mail_user = Some(string(given)?.to_owned());
            Ok(())
        },
        show: |settings| settings.alert.mail_user.as_deref().map(toml_string),
        example: "\"observer\"",
    },
    Setting {
        key: "alert.mail_password_file",
        doc: &["File with the password for that."],
        set: |settings, given| {
            settings.alert.mail_password_file = Some(path(given)?);
            Ok(())
        },
        show: |settings| settings.alert.mail_password_file.as_ref().map(shown_path),
        example: "\"/etc/observer/mail.password\"",
    },
    Setting {
        key: "alert.ca_file",
        doc: &[
            "Certificates (PEM) that are trusted for TLS to all of these, instead of those that this host trusts.",
        ],
        set: |settings, given| {
            settings.alert.ca_file = Some(path(given)?);
            Ok(())
        },
        show: |settings| settings.alert.ca_file.as_ref().map(shown_path),
        example: "\"/etc/observer/ca.pem\"",
    },
    Setting {
        key: "alert.cooldown",
        doc: &["An alert that goes on is told again after this time: 1s to 7d."],
        set: |settings, given| {
            settings.alert.cooldown = duration(given, &ALERT_TIME)?;
            Ok(())
        },
        show: |settings| Some(toml_string(&show_time(settings.alert.cooldown))),
        example: "",
    },
    Setting {
        key: "alert.resolve_after",
        doc: &["An alert is over if nothing was found for this time: 1s to 7d."],
        set: |settings, given| {
            settings.alert.resolve_after = duration(given, &ALERT_TIME)?;
            Ok(())
        },
        show: |settings| Some(toml_string(&show_time(settings.alert.resolve_after))),
        example: "",
    },
];
