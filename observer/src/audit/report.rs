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

/// What a witness signed last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Witnessed {
    /// Name of the witness.
    pub name: String,
    /// Records that the log had.
    pub size: u64,
    /// When it signed, Unix time in seconds.
    pub time_s: u64,
    /// Its key was given, not taken from the log's own folder.
    pub trusted: bool,
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
    /// Records after it: what nobody elsewhere could miss.
    pub unwitnessed: u64,
    /// Time from the first of them to the last, milliseconds.
    pub unwitnessed_ms: u64,
    /// What witnesses signed last, as it lies beside the log.
    pub witnesses: Vec<Witnessed>,
    /// Those over records that are no longer there.
    pub anchors_pruned: usize,
    /// Records that the agent says it could not write.
    pub lost: u64,
    /// Calls that rules of the settings left out.
    pub left_out: u64,
    /// Data keys whose files are gone: what they sealed cannot be read any more.
    pub data_keys_gone: u64,
    /// Hash tiles that were compared.
    pub tiles: u64,
    /// Hash tiles that are not there: they are made anew when the agent starts, or were pruned.
    pub tiles_missing: u64,
    /// Commits that the agent says took longer than promised: what came in that time was safe later.
    pub late_commits: u64,
    /// The longest of them, milliseconds.
    pub late_worst_ms: u64,
    /// Runs of the agent that were not ended in order: each may lack what was not committed.
    pub cut_off: u64,
    /// Where the clock was set back, as the agent said. No fault by itself.
    pub clock_back: Vec<Fault>,
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

    pub(super) fn clock_back(&mut self, index: u64, back_ms: u64) {
        if self.clock_back.len() < MOST_FAULTS {
            let what = format!("set back by {:.1} s", back_ms as f64 / 1000.0);
            self.clock_back.push(Fault::new(Some(index), what));
        }
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
            unwitnessed,
            unwitnessed_ms,
            witnesses,
            anchors_pruned,
            lost,
            left_out,
            data_keys_gone,
            tiles,
            tiles_missing,
            late_commits,
            late_worst_ms,
            cut_off,
            clock_back,
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
        if *left_out > 0 {
            writeln!(out, "left out by rules  {left_out} calls")?;
        }
        if *data_keys_gone > 0 {
            writeln!(
                out,
                "data keys gone     {data_keys_gone}: what they sealed cannot be read any more"
            )?;
        }
        if *late_commits > 0 {
            writeln!(
                out,
                "late commits       {late_commits}, the latest after {late_worst_ms} ms"
            )?;
        }
        if *cut_off > 0 {
            writeln!(
                out,
                "runs cut off       {cut_off}: each may lack what was not committed yet"
            )?;
        }
        for Fault { index, what } in clock_back {
            let index = index.unwrap_or_default();
            writeln!(out, "clock              at record {index}: {what}")?;
        }
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
            let seconds = *unwitnessed_ms as f64 / 1000.0;
            writeln!(
                out,
                "unanchored tail    {unwitnessed} records, {seconds:.1} s"
            )?;
        } else {
            writeln!(
                out,
                "anchors            none: a log that was put back as a whole cannot be told without one (--anchor, --witness)"
            )?;
        }
        for Witnessed {
            name,
            size,
            time_s,
            trusted,
        } in witnesses
        {
            let note = if *trusted {
                ""
            } else {
                " (its key is taken from the log itself: --witness)"
            };
            writeln!(
                out,
                "witness            {name}: {size} records, at Unix time {time_s}{note}"
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
