//! The settings: a TOML file, flags over it.
//!
//! In: the text of a file. Out: valid [`Settings`], or one error that names the file, the line and
//! the key. Never: a setting that is ignored, guessed or silently clamped. Every setting is
//! declared once, in `table`; the sample file and `check-config` come from there.

mod alert_table;
mod audit_table;
mod callers_table;
mod calls_place;
mod capture_table;
mod error;
mod file;
mod findings_table;
mod limits_table;
mod settings;
mod table;
mod values;

pub use calls_place::CallsPlace;
pub use error::ConfigError;
pub use file::{load, parse};
pub use settings::{
    BlockSettings, Capture, Format, IdentitySettings, RecordSettings, Settings, UnsafeCapture,
};
pub use table::{effective, sample};
pub use values::{MetricsAddress, parse_duration, parse_metrics, parse_size};
