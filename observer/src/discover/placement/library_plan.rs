//! Where the probes of one library go.

use std::fmt;

use super::ProbePoint;

/// How the functions of a library were found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FoundBy {
    /// Its dynamic symbols or its full symbol table.
    Symbols,
    /// The names that stripping left packed in the file (`.gnu_debugdata`).
    DebugData,
    /// A separate file of debug information, of the same build.
    DebugFile,
    /// The table of methods that it registers.
    MethodTable,
    /// Go's own table of functions, which is there in stripped programs too.
    GoFunctionTable,
    /// What its code refers to and calls, where exactly one function fits.
    Signature,
}

impl fmt::Display for FoundBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Symbols => "symbols",
            Self::DebugData => "packed debug data",
            Self::DebugFile => "debug file",
            Self::MethodTable => "method table",
            Self::GoFunctionTable => "Go function table",
            Self::Signature => "signature",
        })
    }
}

/// Probe points of one library file, ready to attach.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LibraryPlan {
    /// Library and its version as far as known, such as `openssl 3.0.19`.
    pub library: String,
    /// How its functions were found.
    pub found_by: FoundBy,
    /// Where the probes go. A [`super::Site::Entry`] is always followed by the `Return` or
    /// `CallReturn` of the same function.
    pub points: Vec<ProbePoint>,
    /// What a reader of the report should know: functions left out, slow places, and why.
    pub notes: Vec<String>,
}
