//! Reads what an answer says of a failure.

use httparse::Header;

use super::json::{self, Value};
use super::{Peek, xml};
use crate::call::operation::OperationKind;
use crate::call::{BodyError, ErrorSource};
use crate::protocol::ContentKind;

/// Longest code that is kept, bytes.
const MAX_CODE: usize = 64;

/// Codes of OAuth 2.0 and what is built on it: RFC 6749 §4.1.2.1, §5.2, RFC 6750 §3.1, RFC 7009
/// §2.2.1, RFC 8628 §3.5, RFC 8693 §2.2.2, RFC 9449 §5, OpenID Connect Core §3.1.2.6.
const OAUTH_CODES: [&str; 23] = [
    "invalid_request",
    "invalid_client",
    "invalid_grant",
    "unauthorized_client",
    "unsupported_grant_type",
    "invalid_scope",
    "access_denied",
    "unsupported_response_type",
    "server_error",
    "temporarily_unavailable",
    "invalid_token",
    "insufficient_scope",
    "unsupported_token_type",
    "authorization_pending",
    "slow_down",
    "expired_token",
    "invalid_target",
    "invalid_dpop_proof",
    "use_dpop_nonce",
    "login_required",
    "interaction_required",
    "consent_required",
    "account_selection_required",
];

/// The code, if it is one and no text.
fn code(text: &[u8]) -> Option<Box<str>> {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"._:#-/".contains(byte);
    if text.is_empty() || text.len() > MAX_CODE || !text.iter().all(plain) {
        return None;
    }
    std::str::from_utf8(text).ok().map(Into::into)
}

/// What the fields of an answer say: `WWW-Authenticate: Bearer error="…"` (RFC 6750 §3.1),
/// `x-amzn-errortype`.
pub(in crate::call) fn told_in_fields(fields: &[Header<'_>]) -> Option<BodyError> {
    for field in fields {
        match field.name.len() {
            16 if field.name.eq_ignore_ascii_case("www-authenticate") => {
                if let Some(code) = bearer_error(field.value) {
                    return Some(BodyError {
                        source: ErrorSource::OAuth,
                        code,
                    });
                }
            }
            16 if field.name.eq_ignore_ascii_case("x-amzn-errortype") => {
                let name = field.value.split(|byte| *byte == b':').next();
                if let Some(code) = code(name.unwrap_or_default()) {
                    return Some(BodyError {
                        source: ErrorSource::Aws,
                        code,
                    });
                }
            }
            _ => {}
        }
    }
    None
}

fn bearer_error(value: &[u8]) -> Option<Box<str>> {
    let text = std::str::from_utf8(value).ok()?;
    let scheme = text.split_ascii_whitespace().next()?;
    if !scheme.eq_ignore_ascii_case("bearer") && !scheme.eq_ignore_ascii_case("dpop") {
        return None;
    }
    let mut from = 0;
    while let Some(at) = text.get(from..)?.find("error=") {
        let start = from + at;
        let before = text.get(..start)?.chars().next_back();
        from = start + "error=".len();
        if before.is_some_and(|char| char == ' ' || char == ',') {
            let rest = text.get(from..)?;
            let value = rest.strip_prefix('"').unwrap_or(rest);
            let end = value.find(['"', ',', ' ']).unwrap_or(value.len());
            return code(value.get(..end)?.as_bytes());
        }
    }
    None
}

/// Reads the first part of an answer. `asked`: the convention of the request's operation;
/// `login`: the request was one.
pub(in crate::call) fn read_answer(
    peek: &Peek,
    asked: Option<OperationKind>,
    login: bool,
    status: Option<u16>,
    limit: usize,
) -> Option<BodyError> {
    let failed = status.is_some_and(|status| status >= 400);
    let (kind, text) = peek.text(limit)?;
    match kind {
        ContentKind::Json => {
            let mut told = Told::default();
            json::walk(&text, &mut |place, value| told.value(place, value));
            told.error(asked, login, failed)
        }
        ContentKind::Xml => in_xml(&text, failed),
        ContentKind::Multipart => {
            let end = memchr::memmem::find(&text, b"\r\n\r\n")?;
            in_xml(text.get(end + 4..)?, failed)
        }
        _ => None,
    }
}

/// Members of an answer that tell an error; each the first of its kind.
#[derive(Default)]
struct Told<'a> {
    version: bool,
    data: bool,
    /// `error` is an object.
    error_object: bool,
    /// `error` is a text.
    error: Option<&'a [u8]>,
    description: bool,
    /// `errors` has an element.
    errors: bool,
    graphql_code: Option<&'a [u8]>,
    graphql_type: Option<&'a [u8]>,
    aws: Option<&'a [u8]>,
    /// By how well each says what went wrong.
    codes: [Option<&'a [u8]>; CODES.len()],
    /// `success` or `ok` is false.
    refused: bool,
}

/// Where else codes stand, the best first; numbers come last, since they mostly repeat the status.
const CODES: [&[&str]; 10] = [
    &["error", "code"],
    &["error", "status"],
    &["error", "type"],
    &["error", "name"],
    &["errorCode"],
    &["error_code"],
    &["errcode"],
    &["code"],
    &["errors", "code"],
    &["type"],
];

impl<'a> Told<'a> {
    fn value(&mut self, place: &json::Place<'a>, value: Value<'a>) {
        let scalar = match value {
            Value::Text(text) | Value::Number(text) => Some(text),
            _ => None,
        };
        match place.only() {
            b"jsonrpc" => self.version = true,
            b"data" => self.data = true,
            b"error" => match value {
                Value::Object => self.error_object = true,
                Value::Text(text) => {
                    self.error.get_or_insert(text);
                }
                _ => {}
            },
            b"error_description" | b"error_uri" => self.description = true,
            b"errors" if value == Value::Object => self.errors = true,
            b"__type" => self.aws = self.aws.or(scalar),
            b"success" | b"ok" if value == Value::Bool(false) => self.refused = true,
            _ => {}
        }
        let Some(scalar) = scalar else { return };
        if place.is(&["errors", "extensions", "code"]) {
            self.graphql_code.get_or_insert(scalar);
        } else if place.is(&["errors", "type"]) || place.is(&["errors", "errorType"]) {
            self.graphql_type.get_or_insert(scalar);
        }
        for (keys, code) in CODES.iter().zip(&mut self.codes) {
            if code.is_none() && scalar != b"about:blank" && place.is(keys) {
                *code = Some(scalar);
            }
        }
    }

    fn error(&self, asked: Option<OperationKind>, login: bool, failed: bool) -> Option<BodyError> {
        let error = |source, text: Option<&[u8]>| {
            let code = text.and_then(code).unwrap_or_default();
            Some(BodyError { source, code })
        };
        let [rpc_code, ..] = self.codes;
        let rpc = self.version || asked == Some(OperationKind::JsonRpc);
        if rpc && self.error_object {
            return error(ErrorSource::JsonRpc, rpc_code);
        }
        let graphql = asked == Some(OperationKind::GraphQl) || self.data;
        if graphql && self.errors {
            return error(
                ErrorSource::GraphQl,
                self.graphql_code.or(self.graphql_type),
            );
        }
        if let Some(name) = self.aws {
            // A name with its namespace before a `#`, sometimes a URI after a `:`.
            let name = name.rsplit(|byte| *byte == b'#').next().unwrap_or(name);
            return error(ErrorSource::Aws, name.split(|byte| *byte == b':').next());
        }
        if !failed && !login {
            return None;
        }
        if let Some(name) = self.error
            && (self.description || OAUTH_CODES.iter().any(|own| own.as_bytes() == name))
            && code(name).is_some()
        {
            return error(ErrorSource::OAuth, Some(name));
        }
        let told = self.error.is_some() || self.error_object || self.errors || self.refused;
        if !failed && !told {
            return None;
        }
        let mut codes = self.codes.iter().flatten().copied();
        let is_number = |text: &[u8]| text.iter().all(u8::is_ascii_digit);
        let words = codes
            .clone()
            .chain(self.error)
            .find(|text| !is_number(text) && code(tail(text)).is_some());
        let best = words.or_else(|| codes.find(|text| code(text).is_some()));
        if best.is_none() && !told {
            return None;
        }
        error(ErrorSource::Json, best.map(tail))
    }
}

/// The last part of a URI that is too long for a code.
fn tail(text: &[u8]) -> &[u8] {
    if text.len() <= MAX_CODE {
        return text;
    }
    text.rsplit(|byte| *byte == b'/').next().unwrap_or(text)
}

fn in_xml(text: &[u8], failed: bool) -> Option<BodyError> {
    const MEMBER: [&str; 5] = ["methodResponse", "fault", "value", "struct", "member"];
    let text = xml::narrow(text);
    let mut found: Option<BodyError> = None;
    let mut fault_code = false;
    xml::walk(&text, &mut |path, _, text| {
        let soap = path.name(0) == b"Envelope" && path.name(1) == b"Body";
        let mut tell = |source, text: &[u8]| {
            let code = code(text).unwrap_or_default();
            found = Some(BodyError { source, code });
        };
        let Some(text) = text else {
            if soap && path.depth() == 3 {
                if path.last() == b"Fault" {
                    tell(ErrorSource::Soap, b"");
                }
                return path.last() == b"Fault";
            }
            if path.is(&["methodResponse", "fault"]) {
                tell(ErrorSource::XmlRpc, b"");
            }
            return true;
        };
        let member = (0..5).all(|at| {
            MEMBER
                .get(at)
                .is_some_and(|name| path.name(at) == name.as_bytes())
        });
        if soap && path.name(2) == b"Fault" {
            let under = path.depth() - 3;
            let is = |names: &[&str]| {
                under == names.len()
                    && names
                        .iter()
                        .enumerate()
                        .all(|(at, name)| path.name(at + 3) == name.as_bytes())
            };
            if is(&["faultcode"]) || is(&["Code", "Value"]) {
                tell(ErrorSource::Soap, text);
            } else if is(&["Code", "Subcode", "Value"]) {
                tell(ErrorSource::Soap, text);
                return false;
            }
        } else if member && path.name(5) == b"name" {
            fault_code = text == b"faultCode";
        } else if member && path.name(5) == b"value" && fault_code {
            tell(ErrorSource::XmlRpc, text);
            return false;
        } else if failed
            && (path.is(&["ErrorResponse", "Error", "Code"])
                || path.is(&["Error", "Code"])
                || path.is(&["Response", "Errors", "Error", "Code"]))
        {
            tell(ErrorSource::Aws, text);
            return false;
        }
        true
    });
    found
}
