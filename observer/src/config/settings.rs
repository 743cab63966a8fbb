//! Valid settings.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::CallsPlace;
use crate::alert::AlertSettings;
use crate::audit::AuditSettings;
use crate::call::TrustedProxies;
use crate::catalog::{CatalogLimits, RouteRule};
use crate::detect::DetectSettings;
use crate::kernel::{CaptureFilters, Network, SocketCapture};
use crate::protocol::BODY_PEEK;
use crate::record::Secrets;
use crate::usage::Limit;

/// How calls are shown on the standard output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// An aligned table for people.
    Table,
    /// JSON, one object a line.
    Jsonl,
    /// Nothing: metrics only.
    None,
}

impl Format {
    /// The word used in settings and flags.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Table => "table",
            Self::Jsonl => "jsonl",
            Self::None => "none",
        }
    }
}

/// What is captured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capture {
    /// Bytes of all rings between the kernel half and the user half; a power of two.
    pub ring_bytes: u32,
    /// How many rings they make, a power of two; `None`: as many as suit the processors.
    pub rings: Option<u32>,
    /// Connections with both ends on this host are captured at both, not only at the server's.
    pub both_sides: bool,
    /// Where the bytes of sockets are taken.
    pub sockets: SocketCapture,
    /// Plaintext is taken from TLS libraries.
    pub tls: bool,
    /// What is left out.
    pub filters: CaptureFilters,
    /// First bytes of a body that are read for an operation or an error; 0: none.
    pub body_peek: u32,
    /// Thousandths of a processor that a probe may use.
    pub cpu_budget: u32,
    /// Percent of what the probes of a source see that they may fail to read.
    pub error_budget: u32,
    /// Which thread names, judges and counts calls.
    pub calls: CallsPlace,
}

impl Default for Capture {
    fn default() -> Self {
        Self {
            ring_bytes: 16 << 20,
            rings: None,
            both_sides: false,
            sockets: SocketCapture::Auto,
            tls: true,
            filters: CaptureFilters::default(),
            body_peek: BODY_PEEK,
            cpu_budget: 1000,
            error_budget: 50,
            calls: CallsPlace::Auto,
        }
    }
}

/// How callers are named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdentitySettings {
    /// The key of fingerprints is replaced after this time.
    pub key_rotation: Duration,
}

impl Default for IdentitySettings {
    fn default() -> Self {
        Self {
            key_rotation: Duration::from_secs(90 * 86_400),
        }
    }
}

/// What is told beyond what is safe.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UnsafeCapture {
    /// Keys of queries whose values are told.
    pub query_values: Arc<[Box<str>]>,
}

/// Whether and how clients are turned away that exceed a limit whose action is to block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockSettings {
    /// They may be.
    pub enabled: bool,
    /// It is only told who would be.
    pub dry_run: bool,
    /// How long, each time.
    pub time: Duration,
    /// Clients that are turned away at a time, at most.
    pub max_entries: u32,
    /// Who never is, besides this host itself.
    pub allow: Vec<Network>,
}

impl Default for BlockSettings {
    fn default() -> Self {
        Self {
            enabled: false,
            dry_run: true,
            time: Duration::from_secs(600),
            max_entries: 1024,
            allow: Vec::new(),
        }
    }
}

/// All settings, valid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How calls are shown.
    pub format: Format,
    /// Where metrics are served; `None`: nowhere.
    pub metrics: Option<SocketAddr>,
    /// Folder for what must outlive a run.
    pub state_dir: PathBuf,
    /// Stop after this time; `None`: run until told to stop.
    pub duration: Option<Duration>,
    /// What is captured.
    pub capture: Capture,
    /// How callers are named.
    pub identity: IdentitySettings,
    /// The proxies in front that are believed.
    pub proxies: TrustedProxies,
    /// When authentication failures are a burst.
    pub detect: DetectSettings,
    /// What callers may use.
    pub limits: Vec<Limit>,
    /// Who is turned away.
    pub block: BlockSettings,
    /// Folder of rules that people wrote.
    pub rules: Option<PathBuf>,
    /// Who is told of findings.
    pub alert: AlertSettings,
    /// Bounds of the names of services and routes.
    pub catalog: CatalogLimits,
    /// Routes that are declared by hand.
    pub route_rules: Vec<RouteRule>,
    /// Folder of OpenAPI documents, one `SERVICE.json` each.
    pub openapi_documents: Option<PathBuf>,
    /// What is told beyond what is safe.
    pub unsafe_capture: UnsafeCapture,
    /// Whether and how the audit log is written.
    pub audit: AuditSettings,
    /// Where a recording of this run is written, if anywhere. By flag alone: a recording is for
    /// a while.
    pub record: Option<RecordSettings>,
}

/// A recording of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordSettings {
    /// The transcript; there must be no such file yet.
    pub file: PathBuf,
    /// What becomes of secrets.
    pub secrets: Secrets,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            format: Format::Table,
            metrics: Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 9464))),
            state_dir: PathBuf::from("/var/lib/observer"),
            duration: None,
            capture: Capture::default(),
            identity: IdentitySettings::default(),
            proxies: TrustedProxies::default(),
            detect: DetectSettings::default(),
            limits: Vec::new(),
            block: BlockSettings::default(),
            rules: None,
            alert: AlertSettings::default(),
            catalog: CatalogLimits::default(),
            route_rules: Vec::new(),
            openapi_documents: None,
            unsafe_capture: UnsafeCapture::default(),
            audit: AuditSettings::default(),
            record: None,
        }
    }
}
