//! Tells people and other systems of findings.
//!
//! In: findings. Out: alerts (one for each rule and subject, however often it is found again) to
//! Alertmanager, a webhook, a Slack-compatible webhook, syslog and by mail, and a list of those that are
//! open. Never: a finding that slows the agent down: what finds no room in the queue is counted.
//!
//! A [`Silence`] keeps alerts from being told for a time; they stay in the list.
//!
//! What waits to be delivered lies on the disk, so an outage or a restart delays it and loses
//! nothing.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::string_slice,
        clippy::unreachable
    )
)]

mod address;
mod connection;
mod deliver;
mod mail;
mod mail_address;
mod message;
mod note;
mod open_alerts;
mod secret;
mod settings;
mod silence;
mod silences;
mod sink;
mod smtp;
mod spool;
mod targets;

pub use address::{HttpAddress, SyslogAddress};
pub use mail_address::{MailServer, Security, mail_address};
pub use note::Alert;
pub use open_alerts::{OpenAlerts, read_open};
pub use settings::AlertSettings;
pub use silence::Silence;
pub use silences::Silences;
pub use sink::{AlertCounts, AlertSink, AlertThread, start};
