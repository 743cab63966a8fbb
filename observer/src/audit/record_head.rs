//! The first fields of a record, which every record has in the same place.

/// Class of a record of one API call (OCSF API Activity).
pub const API_ACTIVITY: u32 = 6003;
/// Class of a login (OCSF Authentication).
pub const AUTHENTICATION: u32 = 3002;
/// Class of a finding (OCSF Detection Finding).
pub const DETECTION_FINDING: u32 = 2004;
/// Class of what the agent says of itself (OCSF Application Lifecycle).
pub const APPLICATION_LIFECYCLE: u32 = 6002;

/// Time, class and status of a record: what the index of a frame is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordHead {
    /// Unix time, milliseconds.
    pub time_ms: u64,
    /// OCSF class.
    pub class: u32,
    /// Status of the response.
    pub status: Option<u16>,
}

impl RecordHead {
    /// Writes the opening of a record, up to and without the next comma.
    pub(super) fn push(&self, out: &mut String) {
        use std::fmt::Write as _;
        let Self {
            time_ms,
            class,
            status,
        } = self;
        let _ = write!(out, "{{\"time\":{time_ms},\"class_uid\":{class}");
        if let Some(status) = status {
            let _ = write!(out, ",\"status_code\":\"{status}\"");
        }
    }

    /// Reads it back; `None` if the record does not open like this.
    pub(super) fn parse(record: &[u8]) -> Option<Self> {
        let rest = record.strip_prefix(b"{\"time\":")?;
        let (time_ms, rest) = number(rest)?;
        let rest = rest.strip_prefix(b",\"class_uid\":")?;
        let (class, rest) = number(rest)?;
        let status = rest
            .strip_prefix(b",\"status_code\":\"")
            .and_then(number)
            .and_then(|(status, _)| u16::try_from(status).ok());
        Some(Self {
            time_ms,
            class: u32::try_from(class).ok()?,
            status,
        })
    }

    /// The bit of the class in the index of a frame.
    pub(super) const fn class_bit(&self) -> u32 {
        match self.class {
            API_ACTIVITY => 1,
            DETECTION_FINDING => 2,
            APPLICATION_LIFECYCLE => 4,
            AUTHENTICATION => 8,
            _ => 16,
        }
    }
}

fn number(bytes: &[u8]) -> Option<(u64, &[u8])> {
    /// Digits of the largest number.
    const MOST: usize = 20;
    let digits = bytes
        .iter()
        .take(MOST)
        .take_while(|byte| byte.is_ascii_digit())
        .count();
    let (number, rest) = bytes.split_at_checked(digits)?;
    let mut value = 0_u64;
    for digit in number {
        value = value
            .checked_mul(10)?
            .checked_add(u64::from(digit - b'0'))?;
    }
    (digits > 0).then_some((value, rest))
}
