//! What the first bytes of a packet say about its connection.
//!
//! Only what is certain is decided here; the user half parses the rest and says its verdict
//! through `CONTROL`.

use aya_ebpf::bindings::__sk_buff;
use observer_common::conn::{
    PROTOCOL_AMQP, PROTOCOL_BITTORRENT, PROTOCOL_MONGODB, PROTOCOL_MQTT, PROTOCOL_MYSQL,
    PROTOCOL_NATS, PROTOCOL_POSTGRESQL, PROTOCOL_REDIS, PROTOCOL_SMB, PROTOCOL_SMTP_OR_FTP,
    PROTOCOL_SSH, PROTOCOL_UNKNOWN, VERDICT_HTTP, VERDICT_OPEN, VERDICT_OTHER, VERDICT_TLS,
};

use crate::packets::{Tcp, load};

/// A verdict, and the protocol's number if that is [`VERDICT_OTHER`].
pub struct Said {
    pub verdict: u8,
    pub protocol: u8,
}

/// `first` is 1 if nothing went this way before, else 0, on a connection seen from its start. In the middle of a
/// stream only HTTP and TLS are recognised: a body may hold anything.
#[inline(always)]
pub fn first_bytes(skb: *mut __sk_buff, tcp: &Tcp, first: u32) -> Said {
    let mut bytes = [0_u8; 16];
    let to = bytes.as_mut_ptr();
    // A load takes a constant here: what a shorter packet lacks stays zero.
    let loaded = if tcp.payload >= 16 {
        load(skb, tcp.payload_at, to, 16)
    } else if tcp.payload >= 8 {
        load(skb, tcp.payload_at, to, 8)
    } else {
        load(skb, tcp.payload_at, to, 4)
    };
    if loaded.is_none() {
        return Said {
            verdict: VERDICT_OPEN,
            protocol: PROTOCOL_UNKNOWN,
        };
    }
    let word =
        |at: usize| u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
    let said = first_bytes_say(word(0), word(4), word(12), first);
    Said {
        verdict: said as u8,
        protocol: (said >> 8) as u8,
    }
}

/// The first four bytes; zero if they cannot be read.
#[inline(always)]
pub fn first_word(skb: *mut __sk_buff, tcp: &Tcp) -> u32 {
    let mut bytes = [0_u8; 4];
    let _ = load(skb, tcp.payload_at, &raw mut bytes, 4);
    u32::from_be_bytes(bytes)
}

/// A message that begins with this word is a request of HTTP/1.
#[inline(always)]
pub fn is_request(word: u32) -> bool {
    word != u32::from_be_bytes(*b"HTTP")
        && first_bytes_say(word, 0, 0, 0) == u32::from(VERDICT_HTTP)
}

/// The verdict, and the protocol's number 8 bits above, of the words at 0, 4 and 12.
///
/// The name makes it a global function, which the verifier walks through by itself and once, and
/// not for each way to get here.
#[inline(never)]
#[unsafe(no_mangle)]
pub extern "C" fn first_bytes_say(word: u32, next: u32, code: u32, first: u32) -> u32 {
    // A TLS record, RFC 8446 5.1: type 20 to 23, version 3.0 to 3.4.
    if word >> 26 == 5 && (word >> 16) & 0xff == 3 && (word >> 8) & 0xff <= 4 {
        return u32::from(VERDICT_TLS);
    }
    match &word.to_be_bytes() {
        b"GET " | b"POST" | b"PUT " | b"HEAD" | b"HTTP" | b"DELE" | b"PATC" | b"OPTI" | b"PRI " => {
            return u32::from(VERDICT_HTTP);
        }
        _ => {}
    }
    if first == 0 {
        return u32::from(VERDICT_OPEN);
    }
    match named(word, next, code) {
        PROTOCOL_UNKNOWN => u32::from(VERDICT_OPEN),
        protocol => u32::from(VERDICT_OTHER) | (u32::from(protocol) << 8),
    }
}

/// Protocols that open in a way no HTTP message and no TLS record does.
#[inline(always)]
fn named(word: u32, next: u32, code: u32) -> u8 {
    match &word.to_be_bytes() {
        // RFC 4253 4.2.
        b"SSH-" => return PROTOCOL_SSH,
        // The greeting of RFC 5321 4.2 and RFC 959 5.4.
        b"220 " | b"220-" => return PROTOCOL_SMTP_OR_FTP,
        // The header of AMQP 0-9-1 and 1.0.
        b"AMQP" => return PROTOCOL_AMQP,
        b"\x13Bit" => return PROTOCOL_BITTORRENT,
        // A NATS server greets first.
        b"INFO" if next >> 16 == u32::from(u16::from_be_bytes(*b" {")) => return PROTOCOL_NATS,
        _ => {}
    }
    // A startup message: length, then version 3.0 or the code that asks for TLS or GSS
    // encryption (PostgreSQL, "Message Formats").
    if word < 10_240 && matches!(next, 0x0003_0000 | 0x04d2_162f | 0x04d2_1630) {
        return PROTOCOL_POSTGRESQL;
    }
    let (first, third, fourth) = (word >> 24, (word >> 8) & 0xff, word & 0xff);
    let (fifth, sixth) = ((next >> 24) as u8, (next >> 16) as u8);
    // A server's greeting: 3 bytes length, little endian, packet number 0, protocol version 10,
    // then its version as text (MySQL, "Protocol::HandshakeV10").
    if first > 20 && third == 0 && fourth == 0 && fifth == 10 && sixth.is_ascii_digit() {
        return PROTOCOL_MYSQL;
    }
    // An array of bulk strings: "*N\r\n$" (RESP).
    let second = (word >> 16) as u8;
    if first == u32::from(b'*')
        && second.is_ascii_digit()
        && (third, fourth) == (0x0d, 0x0a)
        && fifth == b'$'
    {
        return PROTOCOL_REDIS;
    }
    // OP_MSG or OP_QUERY, little endian, at byte 12 of a message below 16 MiB.
    if fourth == 0 && matches!(code.swap_bytes(), 2013 | 2004) {
        return PROTOCOL_MONGODB;
    }
    // CONNECT of MQTT 3.1.1 and 5 (OASIS, 3.1): type 1, a length of one byte, "\0\4MQ".
    if first == 0x10 && (third, fourth) == (0, 4) && (fifth, sixth) == (b'M', b'Q') {
        return PROTOCOL_MQTT;
    }
    // A NetBIOS length, then "\xffSMB" or "\xfeSMB" (MS-SMB2 2.1).
    if first == 0 && matches!(&next.to_be_bytes(), b"\xffSMB" | b"\xfeSMB") {
        return PROTOCOL_SMB;
    }
    PROTOCOL_UNKNOWN
}
