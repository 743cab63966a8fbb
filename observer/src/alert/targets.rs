//! Those who take alerts, with their secrets.

use std::io;

use super::address::{HttpAddress, SyslogAddress};
use super::connection::Trust;
use super::deliver::{self, Extras};
use super::mail_address::{MailServer, Security};
use super::message;
use super::note::Alert;
use super::settings::AlertSettings;
use super::smtp::{self, Login};
use super::{mail, secret};

/// Name of the mail server among the destinations.
pub(super) const MAIL: &str = "mail";

struct Mailing {
    server: MailServer,
    from: String,
    to: Vec<String>,
    login: Option<Login>,
}

/// Sends alerts. Holds secrets, so that it shows nothing of itself.
pub(super) struct Targets {
    host: String,
    alertmanager: Option<HttpAddress>,
    alertmanager_token: Option<String>,
    webhook: Option<HttpAddress>,
    webhook_secret: Option<Vec<u8>>,
    slack: Option<HttpAddress>,
    syslog: Option<SyslogAddress>,
    mailing: Option<Mailing>,
    trust: Option<Trust>,
}

impl Targets {
    /// Reads the secrets, and whom to trust if somebody is reached with TLS.
    ///
    /// # Errors
    /// Something cannot be read, or something is missing.
    pub(super) fn new(settings: AlertSettings) -> io::Result<Self> {
        let invalid = |what: &str| io::Error::new(io::ErrorKind::InvalidInput, what.to_owned());
        settings.check().map_err(invalid)?;
        let AlertSettings {
            alertmanager,
            alertmanager_token_file,
            webhook,
            webhook_secret_file,
            slack,
            slack_file,
            syslog,
            mail_server,
            mail_from,
            mail_to,
            mail_user,
            mail_password_file,
            ca_file,
            cooldown: _,
            resolve_after: _,
        } = settings;
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let host: String = host.trim().chars().filter(char::is_ascii_graphic).collect();
        let slack =
            match slack_file.as_deref().map(secret::read_text).transpose()? {
                Some(address) => {
                    let read = HttpAddress::parse(&address);
                    Some(read.map_err(|what| {
                        invalid(&format!("the address in alert.slack_file {what}"))
                    })?)
                }
                None => slack,
            };
        let mailing = match mail_server {
            None => None,
            Some(server) => {
                let password = mail_password_file
                    .as_deref()
                    .map(secret::read_text)
                    .transpose()?;
                let login = mail_user
                    .zip(password)
                    .map(|(user, password)| Login { user, password });
                Some(Mailing {
                    server,
                    from: mail_from.unwrap_or_else(|| {
                        format!(
                            "observer@{}",
                            if host.is_empty() { "localhost" } else { &host }
                        )
                    }),
                    to: mail_to,
                    login,
                })
            }
        };
        let web = [&alertmanager, &webhook, &slack];
        let needs_tls = web.into_iter().flatten().any(|address| address.tls)
            || mailing
                .as_ref()
                .is_some_and(|mailing| mailing.server.security != Security::None);
        Ok(Self {
            host: if host.is_empty() {
                "-".to_owned()
            } else {
                host
            },
            alertmanager,
            alertmanager_token: alertmanager_token_file
                .as_deref()
                .map(secret::read_text)
                .transpose()?,
            webhook,
            webhook_secret: webhook_secret_file
                .as_deref()
                .map(secret::read)
                .transpose()?,
            slack,
            syslog,
            mailing,
            trust: needs_tls
                .then(|| Trust::load(ca_file.as_deref()))
                .transpose()?,
        })
    }

    /// The names of those that there are.
    pub(super) fn names(&self) -> impl Iterator<Item = &'static str> + use<> {
        [
            self.alertmanager.as_ref().map(|_| "alertmanager"),
            self.webhook.as_ref().map(|_| "webhook"),
            self.slack.as_ref().map(|_| "slack"),
            self.syslog.as_ref().map(|_| "syslog"),
            self.mailing.as_ref().map(|_| MAIL),
        ]
        .into_iter()
        .flatten()
    }

    /// Sends an alert to one of those that are not the mail server. `checkpoint`: of the audit log.
    pub(super) fn send(&self, to: &str, alert: &Alert, checkpoint: Option<&str>) -> io::Result<()> {
        let trust = self.trust.as_ref();
        match to {
            "alertmanager" => self.alertmanager.as_ref().map_or(Ok(()), |to| {
                let path = format!("{}/api/v2/alerts", to.path.trim_end_matches('/'));
                let extras = Extras {
                    token: self.alertmanager_token.as_deref(),
                    ..Extras::default()
                };
                deliver::post(
                    to,
                    &path,
                    &message::alertmanager(alert, checkpoint),
                    extras,
                    trust,
                )
            }),
            "webhook" => self.webhook.as_ref().map_or(Ok(()), |to| {
                let extras = Extras {
                    secret: self.webhook_secret.as_deref(),
                    ..Extras::default()
                };
                deliver::post(
                    to,
                    &to.path,
                    &message::webhook(alert, checkpoint),
                    extras,
                    trust,
                )
            }),
            "slack" => self.slack.as_ref().map_or(Ok(()), |to| {
                deliver::post(
                    to,
                    &to.path,
                    &message::slack(alert),
                    Extras::default(),
                    trust,
                )
            }),
            "syslog" => self.syslog.as_ref().map_or(Ok(()), |to| {
                deliver::syslog(to, &message::syslog(alert, &self.host, checkpoint))
            }),
            // Nobody takes it any more: the settings changed.
            _ => Ok(()),
        }
    }

    /// Sends one mail about these alerts.
    pub(super) fn mail(
        &self,
        alerts: &[Alert],
        now_unix_ns: u64,
        checkpoint: Option<&str>,
    ) -> io::Result<()> {
        let Some(Mailing {
            server,
            from,
            to,
            login,
        }) = &self.mailing
        else {
            return Ok(());
        };
        let text = mail::compose(alerts, (from, to), &self.host, now_unix_ns, checkpoint);
        smtp::send(
            server,
            self.trust.as_ref(),
            &self.host,
            login.as_ref(),
            (from, to),
            &text,
        )
    }
}
