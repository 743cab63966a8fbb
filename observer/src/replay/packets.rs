//! Reads packets out of capture files: pcap (draft-ietf-opsawg-pcap) and pcapng
//! (draft-ietf-opsawg-pcapng).

use std::io::{self, Read};

use super::CaptureWrong;

/// Longest packet taken, bytes: what `tcpdump` captures at most.
const MAX_PACKET: u32 = 256 << 10;

/// Longest block of pcapng taken, bytes. Blocks that are passed over may be any length.
const MAX_BLOCK: u32 = MAX_PACKET + (64 << 10);

/// Interfaces of one section of pcapng.
const MAX_INTERFACES: usize = 4096;

const SECTION: u32 = 0x0a0d_0d0a;

/// A packet as it was captured.
#[derive(Clone, Copy, Debug)]
pub(super) struct Packet<'a> {
    /// Unix time, nanoseconds.
    pub time_ns: u64,
    /// Type of the link (LINKTYPE_).
    pub link: u16,
    /// What was captured of it.
    pub bytes: &'a [u8],
}

/// What the first four bytes of a file say.
pub(super) fn is_capture(magic: [u8; 4]) -> bool {
    Layout::of(magic).is_some() || magic == SECTION.to_be_bytes()
}

/// Byte order and unit of time of a pcap file.
#[derive(Clone, Copy, Debug)]
struct Layout {
    big: bool,
    nanoseconds: bool,
}

impl Layout {
    fn of(magic: [u8; 4]) -> Option<Self> {
        let (big, nanoseconds) = match magic {
            [0xa1, 0xb2, 0xc3, 0xd4] => (true, false),
            [0xd4, 0xc3, 0xb2, 0xa1] => (false, false),
            [0xa1, 0xb2, 0x3c, 0x4d] => (true, true),
            [0x4d, 0x3c, 0xb2, 0xa1] => (false, true),
            _ => return None,
        };
        Some(Self { big, nanoseconds })
    }
}

/// An interface of a pcapng section.
#[derive(Clone, Copy, Debug)]
struct Interface {
    link: u16,
    /// Units of time in a second.
    per_second: u64,
    /// Seconds to be added.
    offset_s: i64,
}

#[derive(Debug)]
enum Format {
    Pcap {
        layout: Layout,
        link: u16,
    },
    Section {
        big: bool,
        interfaces: Vec<Interface>,
    },
}

/// Packets one after the other.
#[derive(Debug)]
pub(super) struct Packets<R> {
    from: R,
    format: Format,
    buffer: Vec<u8>,
}

fn u16_at(bytes: &[u8], at: usize, big: bool) -> Option<u16> {
    let bytes = *bytes.get(at..)?.first_chunk()?;
    Some(if big {
        u16::from_be_bytes(bytes)
    } else {
        u16::from_le_bytes(bytes)
    })
}

fn u32_at(bytes: &[u8], at: usize, big: bool) -> Option<u32> {
    let bytes = *bytes.get(at..)?.first_chunk()?;
    Some(if big {
        u32::from_be_bytes(bytes)
    } else {
        u32::from_le_bytes(bytes)
    })
}

impl<R: Read> Packets<R> {
    /// Reads what stands before the first packet.
    pub(super) fn open(mut from: R) -> Result<Self, CaptureWrong> {
        let mut magic = [0; 4];
        from.read_exact(&mut magic).map_err(CaptureWrong::Read)?;
        let mut packets = Self {
            from,
            format: Format::Section {
                big: false,
                interfaces: Vec::new(),
            },
            buffer: Vec::new(),
        };
        if let Some(layout) = Layout::of(magic) {
            packets.fill(20)?;
            let link = u32_at(&packets.buffer, 16, layout.big).unwrap_or_default();
            packets.format = Format::Pcap {
                layout,
                // The upper bits tell of checksums (§4).
                link: (link & 0xffff) as u16,
            };
        } else if magic == SECTION.to_be_bytes() {
            packets.section()?;
        } else {
            return Err(CaptureWrong::Format);
        }
        Ok(packets)
    }

    /// Reads so many bytes; at the end of the file fewer is an error.
    fn fill(&mut self, len: usize) -> Result<(), CaptureWrong> {
        self.buffer.resize(len, 0);
        self.from
            .read_exact(&mut self.buffer)
            .map_err(CaptureWrong::Read)
    }

    /// The next packet; `None` at the end. A file that ends within a packet, as a capture that
    /// was killed leaves it, ends before it.
    pub(super) fn next(&mut self) -> Result<Option<Packet<'_>>, CaptureWrong> {
        let read = match &self.format {
            &Format::Pcap { layout, link } => self.record(layout, link),
            Format::Section { .. } => self.blocks(),
        };
        match read {
            Ok((time_ns, link, start, end)) => Ok(Some(Packet {
                time_ns,
                link,
                bytes: self.buffer.get(start..end).unwrap_or_default(),
            })),
            Err(CaptureWrong::Read(error)) if error.kind() == io::ErrorKind::UnexpectedEof => {
                Ok(None)
            }
            Err(wrong) => Err(wrong),
        }
    }

    fn record(
        &mut self,
        layout: Layout,
        link: u16,
    ) -> Result<(u64, u16, usize, usize), CaptureWrong> {
        self.fill(16)?;
        let number = |at| u64::from(u32_at(&self.buffer, at, layout.big).unwrap_or_default());
        let (seconds, fraction, captured) = (number(0), number(4), number(8));
        if captured > u64::from(MAX_PACKET) {
            return Err(CaptureWrong::Length);
        }
        let unit = if layout.nanoseconds { 1 } else { 1000 };
        let time_ns = seconds * 1_000_000_000 + fraction * unit;
        // Not above the bound.
        let captured = captured as usize;
        self.fill(captured)?;
        Ok((time_ns, link, 0, captured))
    }

    /// Reads the rest of a section header block, whose type has been read.
    fn section(&mut self) -> Result<(), CaptureWrong> {
        self.fill(8)?;
        let big = match self.buffer.get(4..8) {
            Some([0x1a, 0x2b, 0x3c, 0x4d]) => true,
            Some([0x4d, 0x3c, 0x2b, 0x1a]) => false,
            _ => return Err(CaptureWrong::Format),
        };
        let length = u32_at(&self.buffer, 0, big).unwrap_or_default();
        let rest = length.checked_sub(12).ok_or(CaptureWrong::Length)?;
        self.pass(u64::from(rest))?;
        self.format = Format::Section {
            big,
            interfaces: Vec::new(),
        };
        Ok(())
    }

    fn pass(&mut self, len: u64) -> Result<(), CaptureWrong> {
        let passed = io::copy(&mut (&mut self.from).take(len), &mut io::sink());
        if passed.map_err(CaptureWrong::Read)? < len {
            return Err(CaptureWrong::Read(io::ErrorKind::UnexpectedEof.into()));
        }
        Ok(())
    }

    /// Reads blocks up to one that holds a packet.
    fn blocks(&mut self) -> Result<(u64, u16, usize, usize), CaptureWrong> {
        loop {
            self.fill(4)?;
            if *self.buffer == SECTION.to_be_bytes() {
                self.section()?;
                continue;
            }
            let Format::Section { big, .. } = self.format else {
                return Err(CaptureWrong::Format);
            };
            let kind = u32_at(&self.buffer, 0, big).unwrap_or_default();
            self.fill(4)?;
            let length = u32_at(&self.buffer, 0, big).unwrap_or_default();
            let body = length
                .checked_sub(8)
                .filter(|body| *body >= 4 && body.is_multiple_of(4))
                .ok_or(CaptureWrong::Length)?;
            if !matches!(kind, 1 | 2 | 3 | 6) {
                self.pass(u64::from(body))?;
                continue;
            }
            if body > MAX_BLOCK {
                return Err(CaptureWrong::Length);
            }
            self.fill(body as usize)?;
            let (block, interfaces) = match &mut self.format {
                Format::Section { interfaces, .. } => (&self.buffer, interfaces),
                Format::Pcap { .. } => return Err(CaptureWrong::Format),
            };
            let number = |at| u32_at(block, at, big).unwrap_or_default();
            let (interface, at, captured) = match kind {
                1 => {
                    if interfaces.len() >= MAX_INTERFACES {
                        return Err(CaptureWrong::Interfaces);
                    }
                    interfaces.push(Interface::of(block, big));
                    continue;
                }
                // The obsolete packet block.
                2 => {
                    let interface = u16_at(block, 0, big).unwrap_or_default();
                    (u32::from(interface), 20, number(12))
                }
                3 => (0, 4, number(0).min(body.saturating_sub(8))),
                _ => (number(0), 20, number(12)),
            };
            let interface = usize::try_from(interface).ok();
            let interface = interface.and_then(|interface| interfaces.get(interface));
            let interface = interface.ok_or(CaptureWrong::Interface)?;
            let time_ns = match kind {
                3 => 0,
                _ => interface.time_ns(u64::from(number(4)) << 32 | u64::from(number(8))),
            };
            let end = at + captured as usize;
            if captured > MAX_PACKET || end > block.len() {
                return Err(CaptureWrong::Length);
            }
            return Ok((time_ns, interface.link, at, end));
        }
    }
}

impl Interface {
    fn of(block: &[u8], big: bool) -> Self {
        let mut interface = Self {
            link: u16_at(block, 0, big).unwrap_or_default(),
            per_second: 1_000_000,
            offset_s: 0,
        };
        let mut at = 8;
        while let (Some(code), Some(len)) = (u16_at(block, at, big), u16_at(block, at + 2, big)) {
            let value = block.get(at + 4..).unwrap_or_default();
            match (code, len) {
                (0, _) => break,
                // if_tsresol: a power of ten, or of two.
                (9, 1) => {
                    let exponent = value.first().copied().unwrap_or(6);
                    let base = if exponent & 0x80 == 0 { 10u64 } else { 2 };
                    let power = base.checked_pow(u32::from(exponent & 0x7f));
                    interface.per_second = power.unwrap_or(u64::MAX);
                }
                // if_tsoffset.
                (14, 8) => {
                    let bytes = value.first_chunk().copied().unwrap_or_default();
                    interface.offset_s = if big {
                        i64::from_be_bytes(bytes)
                    } else {
                        i64::from_le_bytes(bytes)
                    };
                }
                _ => {}
            }
            at += 4 + usize::from(len).next_multiple_of(4);
        }
        interface
    }

    fn time_ns(&self, units: u64) -> u64 {
        let per_second = u128::from(self.per_second);
        let time_ns = u128::from(units) * 1_000_000_000 / per_second;
        let offset_ns = i128::from(self.offset_s) * 1_000_000_000;
        let time_ns = i128::try_from(time_ns).unwrap_or(i128::MAX);
        u64::try_from(time_ns.saturating_add(offset_ns).max(0)).unwrap_or(u64::MAX)
    }
}
