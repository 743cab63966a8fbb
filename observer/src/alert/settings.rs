//! Where alerts go, and when.

use std::path::PathBuf;
use std::time::Duration;

use super::address::{HttpAddress, SyslogAddress};
use super::mail_address::MailServer;

/// Where alerts go, and when. Files with secrets: a full path, or the name of a systemd credential.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlertSettings {
    /// Alertmanager, v2 API.
    pub alertmanager: Option<HttpAddress>,
    /// File with the token that Alertmanager, or the proxy before it, asks for.
    pub alertmanager_token_file: Option<PathBuf>,
    /// Any program that takes JSON.
    pub webhook: Option<HttpAddress>,
    /// File with the secret that signs what the webhook gets.
    pub webhook_secret_file: Option<PathBuf>,
    /// What takes messages as Slack does.
    pub slack: Option<HttpAddress>,
    /// File with the address of that: it is a secret itself where Slack runs it.
    pub slack_file: Option<PathBuf>,
    /// Syslog server.
    pub syslog: Option<SyslogAddress>,
    /// Mail server.
    pub mail_server: Option<MailServer>,
    /// Whom mail is from.
    pub mail_from: Option<String>,
    /// Whom mail goes to.
    pub mail_to: Vec<String>,
    /// Who logs in at the mail server.
    pub mail_user: Option<String>,
    /// File with the password for that.
    pub mail_password_file: Option<PathBuf>,
    /// Certificates that are trusted instead of those of this host (PEM).
    pub ca_file: Option<PathBuf>,
    /// An alert that goes on is told again after this time.
    pub cooldown: Duration,
    /// An alert is over if nothing was found for this time.
    pub resolve_after: Duration,
}

impl Default for AlertSettings {
    fn default() -> Self {
        Self {
            alertmanager: None,
            alertmanager_token_file: None,
            webhook: None,
            webhook_secret_file: None,
            slack: None,
            slack_file: None,
            syslog: None,
            mail_server: None,
            mail_from: None,
            mail_to: Vec::new(),
            mail_user: None,
            mail_password_file: None,
            ca_file: None,
            cooldown: Duration::from_secs(3600),
            resolve_after: Duration::from_secs(1800),
        }
    }
}

impl AlertSettings {
    /// Whether those settings are there that need each other.
    ///
    /// # Errors
    /// A sentence that names what is missing.
    pub fn check(&self) -> Result<(), &'static str> {
        if self.mail_server.is_some() && self.mail_to.is_empty() {
            return Err("alert.mail_server needs alert.mail_to: who gets the mail");
        }
        if self.mail_server.is_none() && !self.mail_to.is_empty() {
            return Err("alert.mail_to needs alert.mail_server: who takes the mail");
        }
        if self.mail_user.is_some() != self.mail_password_file.is_some() {
            return Err("alert.mail_user and alert.mail_password_file go together");
        }
        if self.slack.is_some() && self.slack_file.is_some() {
            return Err("alert.slack and alert.slack_file exclude each other");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::AlertSettings;
    use crate::alert::MailServer;

    #[test]
    fn settings_that_need_each_other_are_missed() {
        let mut settings = AlertSettings {
            mail_server: Some(MailServer::parse("smtp://127.0.0.1").unwrap()),
            ..AlertSettings::default()
        };
        assert!(settings.check().unwrap_err().contains("mail_to"));
        settings.mail_to = vec!["ops@example.org".to_owned()];
        assert_eq!(settings.check(), Ok(()));
        settings.mail_user = Some("observer".to_owned());
        assert!(settings.check().unwrap_err().contains("mail_password_file"));
        settings.mail_password_file = Some("mail.password".into());
        assert_eq!(settings.check(), Ok(()));
        settings.mail_server = None;
        assert!(settings.check().unwrap_err().contains("mail_server"));
    }
}
