//! The form of a sealed record.
//!
//! `{"time":…,"class_uid":…,"status_code":"…","sealed":{"key":"…","nonce":…,"data":"…"},"metadata":{…}}`:
//! what comes before `sealed` is that of the record inside, and is bound to it.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use chacha20poly1305::aead::{Aead as _, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use serde::Deserialize;

use crate::audit::log::MAX_RECORD;
use crate::audit::ocsf::{LOG_NAME, SCHEMA_VERSION};
use crate::audit::record_head::RecordHead;

/// Starts the sealed part.
const MARK: &[u8] = b",\"sealed\":{\"key\":\"";
/// Where it starts at the latest: after time, class and status.
const MOST_HEAD: usize = 120;
/// Bytes before what is compressed: its length.
const LENGTH: usize = 4;
/// What records have in common, for the compression: each is sealed by itself. Part of the form.
const COMMON: &[u8] = concat!(
    r#","category_uid":2,"finding_info":{"uid":"","title":"","analytic":{"type_id":1,"name":"#,
    r#""attacks":[{"technique":{"uid":"T1110"}}],"evidences":[{"src_endpoint":{"ip":"192.168."}}]"#,
    r#","identity":{"kind":"jwt","id":"","fingerprint":"","source":"header:authorization","#,
    r#""verified":true,"claims":{"iss":"https://","sub":"","aud":[""],"scope":[""],"exp":17"#,
    r#","user":{"uid":"","programmatic_credentials":[{"uid":"","type":"bearer"}]},"session":{"uid":"#,
    r#","category_uid":6,"activity_id":2,"type_uid":600302,"severity_id":1,"status_id":1,"#,
    r#""status_detail":"auth success","actor":{"session":{"uid":"conn-"}},"api":{"operation":"#,
    r#""GET /","service":{"name":""},"response":{"code":200}},"src_endpoint":{"ip":"10.0.0.1","#,
    r#""port":40000},"dst_endpoint":{"ip":"10.0.0.1","port":443,"svc_name":""},"http_request":"#,
    r#"{"version":"1.1","http_method":"GET","url":{"scheme":"https","hostname":"","path":"/"},"#,
    r#""body_length":0},"http_response":{"code":200,"latency":1,"body_length":100},"unmapped":"#,
    r#"{"role":"server","protocol":"http/1.1","route":"/","auth":{"scheme":"none","outcome":"none"},"#,
    r#""duration_ns":1000000,"process":{"pid":1000,"name":"","exe":"/usr/bin/","unit":".service"},"#,
    r#""tls":{"library":"openssl 3.0","version":"TLSv1.3"},"flags":["joined"]},"metadata":"#,
    r#"{"version":"1.8.0","product":{"name":"observer","version":"0.1.0"},"log_name":"api-audit","#,
    r#""sequence":1"#
)
.as_bytes();

#[derive(Deserialize)]
struct Outer<'a> {
    #[serde(borrow)]
    sealed: Sealed<'a>,
}

#[derive(Deserialize)]
struct Sealed<'a> {
    key: &'a str,
    nonce: u64,
    data: &'a str,
}

/// Whether the record is sealed.
pub(in crate::audit) fn is_sealed(record: &[u8]) -> bool {
    mark(record).is_some()
}

fn mark(record: &[u8]) -> Option<usize> {
    let start = record.get(..record.len().min(MOST_HEAD))?;
    memchr::memmem::find(start, MARK)
}

fn nonce(number: u64) -> XNonce {
    let mut nonce = [0; 24];
    for (place, byte) in nonce.iter_mut().zip(number.to_le_bytes()) {
        *place = byte;
    }
    nonce.into()
}

/// Seals a record, which opens with `head`, under the key `id`. `number` must never come again
/// with that key. `None` if it cannot be sealed.
pub(super) fn seal(
    cipher: &XChaCha20Poly1305,
    (id, number): (&str, u64),
    head: &RecordHead,
    index: u64,
    record: &[u8],
) -> Option<String> {
    let mut out = String::new();
    head.push(&mut out);
    let mut inside = vec![0; LENGTH + lz4_flex::block::get_maximum_output_size(record.len())];
    let (length, space) = inside.split_first_chunk_mut::<LENGTH>()?;
    *length = u32::try_from(record.len()).ok()?.to_le_bytes();
    let stored = lz4_flex::block::compress_into_with_dict(record, space, COMMON).ok()?;
    inside.truncate(LENGTH + stored);
    let payload = Payload {
        msg: &inside,
        aad: out.as_bytes(),
    };
    let data = cipher.encrypt(&nonce(number), payload).ok()?;
    let _ = write!(
        out,
        ",\"sealed\":{{\"key\":\"{id}\",\"nonce\":{number},\"data\":\"{}\"}},\"metadata\":{{\"version\":\"{SCHEMA_VERSION}\",\"log_name\":\"{LOG_NAME}\",\"sequence\":{index}}}}}",
        BASE64.encode(data)
    );
    Some(out)
}

/// The record inside, with the key that `find` gives by its name.
pub(super) fn open<'k>(
    record: &[u8],
    find: impl FnOnce(&str) -> Option<&'k XChaCha20Poly1305>,
) -> Option<Vec<u8>> {
    let head = record.get(..mark(record)?)?;
    let Outer {
        sealed: Sealed {
            key,
            nonce: number,
            data,
        },
    } = serde_json::from_slice(record).ok()?;
    let data = BASE64.decode(data).ok()?;
    let payload = Payload {
        msg: &data,
        aad: head,
    };
    let inside = find(key)?.decrypt(&nonce(number), payload).ok()?;
    let (length, stored) = inside.split_first_chunk::<LENGTH>()?;
    let length = u32::from_le_bytes(*length) as usize;
    if length > MAX_RECORD {
        return None;
    }
    let mut plain = vec![0; length];
    let written = lz4_flex::block::decompress_into_with_dict(stored, &mut plain, COMMON).ok()?;
    (written == length).then_some(plain)
}
