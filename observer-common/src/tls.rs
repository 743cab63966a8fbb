//! What the kernel half keeps for each TLS object and each thread inside a TLS library call, and
//! the cookie that a TLS probe carries.

/// The result of the call is the number of bytes.
pub const COUNT_IN_RESULT: u64 = 0;
/// The fourth argument points to the number of bytes (`size_t`); a result above 0 is success.
pub const COUNT_IN_4TH: u64 = 1;
/// The fifth argument points to the number of bytes.
pub const COUNT_IN_5TH: u64 = 2;

/// The call moves nothing itself: the calls inside it hand over what was counted before.
pub const COUNT_NONE: u64 = 3;

/// Number of a library on kernels whose probes cannot carry one.
pub const LIBRARY_UNKNOWN: u32 = u32::MAX;

/// Number of the kernel's own TLS.
pub const LIBRARY_KERNEL: u32 = u32::MAX - 1;

/// Bit in the number of a library whose objects carry one direction each: the user half puts those
/// of a connection together.
pub const LIBRARY_ONE_WAY: u32 = 1 << 30;

/// Does this number say that its library's objects carry one direction each?
pub const fn is_one_way(library: u32) -> bool {
    library >> 30 == 1
}

/// Attach cookie of a TLS probe: library number, direction, and where the byte count is found.
///
/// Bits 0..32 library, bit 32 direction (as in [`crate::event::INBOUND`]), bits 33..35 count, bit 35
/// unless flags, bit 36 unless inside, bit 37 of records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TlsCookie(pub u64);

impl TlsCookie {
    /// Packs the parts; `count` is one of the `COUNT_` constants.
    pub const fn new(library: u32, direction: u8, count: u64) -> Self {
        Self(library as u64 | ((direction as u64 & 1) << 32) | ((count & 3) << 33))
    }

    /// The same for a function whose fourth argument is an `int` of flags, of which any makes the
    /// call one that takes nothing out of the stream (a peek): it is passed over.
    pub const fn unless_flags(self) -> Self {
        Self(self.0 | UNLESS_FLAGS)
    }

    /// The same for a function that is passed over while its thread is in a call of
    /// [`COUNT_NONE`].
    pub const fn unless_inside(self) -> Self {
        Self(self.0 | UNLESS_INSIDE)
    }

    /// The same for a function whose second argument is the type of what records hold (RFC 8446
    /// 5.1), with the buffer behind it: calls of another type than [`APPLICATION_DATA`] are passed
    /// over.
    pub const fn of_records(self) -> Self {
        Self(self.0 | OF_RECORDS)
    }

    /// Is the second argument the type of what records hold?
    pub const fn is_of_records(self) -> bool {
        self.0 & OF_RECORDS != 0
    }

    /// Is a call with flags passed over?
    pub const fn is_unless_flags(self) -> bool {
        self.0 & UNLESS_FLAGS != 0
    }

    /// Is a call inside one of [`COUNT_NONE`] passed over?
    pub const fn is_unless_inside(self) -> bool {
        self.0 & UNLESS_INSIDE != 0
    }

    /// Number of the library.
    pub const fn library(self) -> u32 {
        self.0 as u32
    }

    /// [`crate::event::INBOUND`] or [`crate::event::OUTBOUND`].
    pub const fn direction(self) -> u8 {
        ((self.0 >> 32) & 1) as u8
    }

    /// One of the `COUNT_` constants.
    pub const fn count(self) -> u64 {
        (self.0 >> 33) & 3
    }
}

const UNLESS_FLAGS: u64 = 1 << 35;
const UNLESS_INSIDE: u64 = 1 << 36;
const OF_RECORDS: u64 = 1 << 37;

/// `application_data(23)` of RFC 8446 5.1.
pub const APPLICATION_DATA: u32 = 23;

/// From where the frame of a Go function begins to the receiver: the caller's frame pointer and the
/// return address lie between (Go's `abi-internal.md`, since 1.17).
pub const GO_RECEIVER: u64 = 16;

/// A thread inside a TLS library call, by thread; a goroutine, by [`go_key`].
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TlsCall {
    /// The TLS object.
    pub key: TlsKey,
    /// The caller's buffer.
    pub buffer: u64,
    /// Where the library will put the number of bytes, 0 if the result says it; once it has
    /// returned, the number itself.
    pub count: u64,
    /// Bytes of the buffer that are handed to the user half; with [`COUNT_NONE`], calls inside this
    /// one that have not returned.
    pub captured: u64,
    /// The probe's [`TlsCookie`].
    pub cookie: u64,
}

/// A thread inside the record layer of rustls, by thread. What the probes read lies here and not on
/// their stack.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RecordCall {
    /// The object that encrypts or decrypts, and what it moves.
    pub call: TlsCall,
    /// The message that it was given: 40 bytes.
    pub message: [u64; 5],
    /// Where its result goes.
    pub result_at: u64,
    /// The result, 32 bytes; or address and length of one piece of the message, 16 bytes, and where
    /// it begins.
    pub result: [u64; 4],
    /// The probe's [`TlsCookie`], which `call` loses when it is delivered.
    pub cookie: u64,
}

/// Names a goroutine by the address of its `g` and its process. Addresses of Go's heap are below
/// 2^42 while it is smaller than 3 TiB, and process ids below 2^22.
pub const fn go_key(g: u64, tgid: u64) -> u64 {
    g ^ (tgid << 42)
}

/// Names a TLS object: an address is unique in its process only.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TlsKey {
    /// Address of the TLS object.
    pub object: u64,
    /// Process (thread group).
    pub tgid: u64,
}

/// One life of a TLS object.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TlsStream {
    /// Unique number of this life.
    pub stream: u64,
    /// Cookie of the socket it is bound to; 0 if not bound.
    pub cookie: u64,
    /// Plaintext bytes that came in.
    pub bytes_in: u64,
    /// Plaintext bytes that went out.
    pub bytes_out: u64,
    /// Not 0: a setting leaves its socket out.
    pub excluded: u64,
    /// The part of the body coming in that is left out, as [`crate::conn::span`] packs it.
    pub skip_in: u64,
    /// The same of the body going out.
    pub skip_out: u64,
    /// One of the `REQUEST_` constants.
    pub request: u8,
    /// Explicit padding, always 0.
    pub pad: [u8; 7],
}

/// What the user half tells the kernel half about one life of a TLS object, by its number.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TlsControl {
    /// Plaintext that comes in before this offset is not needed.
    pub skip_in: u64,
    /// Plaintext that goes out before this offset is not needed.
    pub skip_out: u64,
    /// Not 0: the other end of the connection is observed on this host; nothing here is needed.
    pub duplicate: u64,
    /// Not 0: the kernel half must not leave out bodies by itself.
    pub whole: u64,
}

#[cfg(feature = "user")]
mod user {
    // SAFETY: repr(C), 64-bit integers only.
    unsafe impl aya::Pod for super::TlsControl {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_gives_back_its_parts() {
        for count in [COUNT_IN_RESULT, COUNT_IN_4TH, COUNT_IN_5TH, COUNT_NONE] {
            for direction in [0, 1] {
                let plain = TlsCookie::new(u32::MAX - 1, direction, count);
                for cookie in [
                    plain,
                    plain.unless_flags(),
                    plain.unless_inside(),
                    plain.of_records(),
                ] {
                    assert_eq!(
                        (cookie.library(), cookie.direction(), cookie.count()),
                        (u32::MAX - 1, direction, count)
                    );
                }
                assert!(!plain.is_unless_flags() && !plain.is_unless_inside());
                assert!(plain.unless_flags().is_unless_flags());
                assert!(plain.unless_inside().is_unless_inside());
                assert!(plain.of_records().is_of_records() && !plain.is_of_records());
            }
        }
    }

    #[test]
    fn libraries_of_one_way_objects_are_told_by_their_number() {
        assert!(is_one_way(17 | LIBRARY_ONE_WAY));
        for library in [17, LIBRARY_UNKNOWN, LIBRARY_KERNEL] {
            assert!(!is_one_way(library));
        }
    }

    #[test]
    fn goroutines_of_the_same_address_in_two_processes_are_told_apart() {
        assert_ne!(go_key(0xc0_0000_6000, 17), go_key(0xc0_0000_6000, 18));
        assert_ne!(go_key(0xc0_0000_6000, 17), go_key(0xc0_0000_6200, 17));
    }
}
