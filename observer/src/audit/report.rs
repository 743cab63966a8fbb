//! What a verification found.

use std::fmt;

use serde::Serialize;

/// Faults listed; the first is what matters.
const MOST_FAULTS: usize = 64;

/// Something that is wrong with a log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// First record that is not shown to be good; absent where no record is concerned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub index: Option<u64>,
    /// What is wrong, for people.
    pub what: String,
}

impl Fault {
    pub(super) fn new(index: Option<u64>, what: impl Into<String>) -> Self {
        Self {
            index,
            what: what.into(),
        }
    }
}

/// What a verification found. `Display` is for people.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// First record that is kept.
    pub first: u64,
    /// Records read, those removed before `first` included.
    pub size: u64,
    /// Records under the last good checkpoint.
    pub verified: u64,
    /// Checkpoints that are good.
    pub checkpoints: u64,
    /// Records after the last checkpoint: nobody signed them yet.
    pub unanchored: u64,
    /// Time from the first of them to the last, milliseconds.
    pub unanchored_ms: u64,
    /// Bytes at the end that are no whole record, as a crash leaves them.
    pub torn_bytes: u64,
    /// Times that the key was replaced.
    pub epochs: u32,
    /// Public key of the first epoch.
    pub vkey: String,
    /// That key was given, not taken from the log's own folder.
    pub trusted: bool,
    /// Checkpoints kept elsewhere were compared.
    pub anchored: bool,
    /// Size of the last of them that fits.
    pub anchored_size: u64,
    /// Those over records that are no longer there.
    pub anchors_pruned: usize,
    /// Records that the agent says it could not write.
    pub lost: u64,
    /// Hash tiles that were compared.
    pub tiles: u64,
    /// Hash tiles that are not there: they are made anew when the agent starts, or were pruned.
    pub tiles_missing: u64,
    /// What is wrong, as it was found.
    pub faults: Vec<Fault>,
}

impl Report {
    /// The log is good as far as it goes.
    pub fn good(&self) -> bool {
        self.faults.is_empty()
    }

    /// The first record that is not shown to be good.
    pub fn first_bad(&self) -> Option<u64> {
        self.faults.iter().filter_map(|fault| fault.index).min()
    }

    pub(super) fn fault(&mut self, index: Option<u64>, what: impl Into<String>) {
        self.push(Fault::new(index, what));
    }

    pub(super) fn push(&mut self, fault: Fault) {
        if self.faults.len() < MOST_FAULTS {
            self.faults.push(fault);
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            first,
            size,
            verified,
            checkpoints,
            unanchored,
            unanchored_ms,
            torn_bytes,
            epochs,
            vkey,
            trusted,
            anchored,
            anchored_size,
            anchors_pruned,
            lost,
            tiles,
            tiles_missing,
            faults,
        } = self;
        writeln!(out, "records            {first} to before {size}")?;
        writeln!(
            out,
            "verified           to before {verified}, by {checkpoints} checkpoints"
        )?;
        let seconds = *unanchored_ms as f64 / 1000.0;
        writeln!(
            out,
            "unsigned tail      {unanchored} records, {seconds:.1} s"
        )?;
        if *torn_bytes > 0 {
            writeln!(
                out,
                "cut at the end     {torn_bytes} bytes, as a crash leaves them"
            )?;
        }
        writeln!(out, "key epochs         {epochs} after the first")?;
        writeln!(out, "declared losses    {lost} records")?;
        writeln!(
            out,
            "hash tiles         {tiles} compared, {tiles_missing} not there"
        )?;
        writeln!(out, "key                {vkey}")?;
        if !trusted {
            writeln!(
                out,
                "                   taken from the log itself: shows that it is consistent, not whose it is (--vkey)"
            )?;
        }
        if *anchored {
            write!(out, "anchors            fit up to {anchored_size}")?;
            if *anchors_pruned > 0 {
                write!(out, "; {anchors_pruned} over removed records not compared")?;
            }
            writeln!(out)?;
        } else {
            writeln!(
                out,
                "anchors            none: a log that was put back as a whole cannot be told without one (--anchor)"
            )?;
        }
        for fault in faults {
            match fault.index {
                Some(index) => writeln!(out, "FAULT at record {index}: {}", fault.what)?,
                None => writeln!(out, "FAULT: {}", fault.what)?,
            }
        }
        match self.first_bad() {
            _ if self.good() => writeln!(out, "good"),
            Some(index) => writeln!(out, "BAD: the first bad record is {index}"),
            None => writeln!(out, "BAD"),
        }
    }
}
