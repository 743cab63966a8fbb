//! Names the operations that a request asks for.

use std::borrow::Cow;

use httparse::Header;
use memchr::memmem;

use super::json::{self, Value, unescape};
use super::{Peek, graphql, xml};
use crate::call::operation::{Names, Operation, OperationKind};
use crate::protocol::ContentKind;

/// Characters of a hash that tell one persisted query from another.
const HASH_SHOWN: usize = 12;

/// Longest user name of a login that is kept, characters.
const MAX_LOGIN: usize = 128;

/// Longest value of a query or form that is read for an operation, bytes.
const MAX_VALUE: usize = 64 << 10;

/// Members and fields that hold the name of who logs in, the surest first.
const USER_KEYS: [&str; 10] = [
    "username",
    "user_name",
    "j_username",
    "userName",
    "email",
    "login",
    "user",
    "identifier",
    "account",
    "client_id",
];

/// Members and fields that make a body one of a login. Their values are never looked at.
const SECRET_KEYS: [&str; 9] = [
    "password",
    "passwd",
    "pass",
    "pwd",
    "j_password",
    "passcode",
    "passphrase",
    "client_secret",
    "client_assertion",
];

/// What the head of a request says of its operation.
#[derive(Debug, Default)]
pub(in crate::call) struct Hint {
    /// Known from the head alone.
    pub operation: Option<Operation>,
    /// Action of SOAP.
    action: Option<Box<str>>,
    /// It is a batch of OData.
    batch: bool,
}

/// What a request asks for.
#[derive(Debug, Default)]
pub(in crate::call) struct Asked {
    pub operation: Option<Operation>,
    /// Who logs in, if this is a login.
    pub login: Option<Box<str>>,
}

impl Hint {
    /// Reads fields and the target, values of its query included; nothing of them is kept but
    /// names. `None` if they say nothing.
    pub(in crate::call) fn of(
        method: &str,
        path: &str,
        query: Option<&str>,
        fields: &[Header<'_>],
    ) -> Option<Box<Self>> {
        let mut hint = Self::default();
        for field in fields {
            let value = || std::str::from_utf8(field.value).ok();
            match field.name.len() {
                10 if field.name.eq_ignore_ascii_case("soapaction") => {
                    hint.action = value().and_then(action);
                }
                12 if field.name.eq_ignore_ascii_case("x-amz-target") => {
                    let mut names = Names::default();
                    names.add(OperationKind::Aws, &[value().unwrap_or_default().trim()]);
                    hint.operation = names.take(true);
                }
                12 if field.name.eq_ignore_ascii_case("content-type") => {
                    let parameter = value().and_then(|value| value.split_once("action="));
                    if let Some((_, quoted)) = parameter {
                        let text = quoted.strip_prefix('"').unwrap_or(quoted);
                        let end = text.find(['"', ';']).unwrap_or(text.len());
                        hint.action = hint.action.or_else(|| action(text.get(..end)?));
                    }
                }
                _ => {}
            }
        }
        hint.batch = method == "POST" && path.ends_with("/$batch");
        if let (Some(query), None) = (query, &hint.operation) {
            hint.operation = in_query(query);
        }
        let says = hint.operation.is_some() || hint.action.is_some() || hint.batch;
        says.then(|| Box::new(hint))
    }

    /// The operation, if nothing of the body is seen.
    pub(in crate::call) fn without_body(self) -> Asked {
        let Self {
            operation,
            action,
            batch,
        } = self;
        let mut names = Names::default();
        if batch {
            names.add(OperationKind::OData, &["$batch"]);
        } else if let Some(action) = &action {
            names.add(OperationKind::Soap, &[action]);
        }
        Asked {
            operation: operation.or_else(|| names.take(!batch)),
            login: None,
        }
    }

    /// Memory it takes besides itself, bytes.
    pub(in crate::call) fn memory(&self) -> usize {
        self.action.as_ref().map_or(0, |action| action.len())
            + self
                .operation
                .as_ref()
                .map_or(0, |operation| operation.name.capacity())
    }
}

/// The last part of an action, which is mostly a URI.
fn action(value: &str) -> Option<Box<str>> {
    let value = value.trim().trim_matches('"');
    let name = value
        .rsplit(['/', '#', ':'])
        .find(|part| !part.is_empty())?;
    (name.len() <= 256).then(|| name.into())
}

/// An operation in the query of a target, or in a form.
fn in_query(query: &str) -> Option<Operation> {
    // Most have none of these.
    let graphql = query.contains("query=") || query.contains("extensions=");
    if !graphql && !query.contains("Action=") {
        return None;
    }
    let mut document = Document::default();
    let (mut aws, mut version) = (None, false);
    for (key, value) in pairs(query) {
        match key {
            "query" => document.query = Some(decode(value)),
            "operationName" => document.name = Some(decode(value)),
            "extensions" => {
                let value = decode(value);
                json::walk(value.as_bytes(), &mut |place, value| {
                    if let (true, Value::Text(hash)) =
                        (place.is(&["persistedQuery", "sha256Hash"]), value)
                    {
                        document.hash = Some(Cow::Owned(unescape(hash).into_owned()));
                    }
                });
            }
            "Action" => aws = Some(decode(value)),
            "Version" => version = true,
            _ => {}
        }
    }
    let mut names = Names::default();
    document.tell(&mut names);
    if let (None, Some(aws), true) = (names.kind, aws, version)
        && aws.bytes().all(|byte| byte.is_ascii_alphanumeric())
    {
        names.add(OperationKind::Aws, &[&aws]);
    }
    names.take(true)
}

fn pairs(query: &str) -> impl Iterator<Item = (&str, &str)> {
    query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .filter(|(_, value)| value.len() <= MAX_VALUE)
}

/// Replaces `%` escapes and `+` (WHATWG URL, `application/x-www-form-urlencoded`).
fn decode(value: &str) -> Cow<'_, str> {
    if !value.contains(['%', '+']) {
        return Cow::Borrowed(value);
    }
    let digit = |byte: Option<&u8>| char::from(*byte?).to_digit(16);
    let bytes = value.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        at += 1;
        match byte {
            b'+' => out.push(b' '),
            b'%' => match (digit(bytes.get(at)), digit(bytes.get(at + 1))) {
                (Some(high), Some(low)) => {
                    // Two digits fit a byte.
                    out.push((high << 4 | low) as u8);
                    at += 2;
                }
                _ => out.push(b'%'),
            },
            byte => out.push(byte),
        }
    }
    Cow::Owned(String::from_utf8_lossy(&out).into_owned())
}

/// A GraphQL request (GraphQL over HTTP §5).
#[derive(Default)]
struct Document<'a> {
    query: Option<Cow<'a, str>>,
    /// `operationName`.
    name: Option<Cow<'a, str>>,
    /// Hash of a persisted query.
    hash: Option<Cow<'a, str>>,
}

impl Document<'_> {
    fn tell(&self, names: &mut Names) {
        let Self { query, name, hash } = self;
        let name = name.as_deref().filter(|name| is_name(name));
        let definitions = query
            .as_deref()
            .filter(|query| !query.is_empty())
            .map(graphql::definitions);
        match definitions {
            Some(Some(definitions)) => {
                let asked = definitions
                    .iter()
                    .find(|definition| name.is_some() && definition.name == name)
                    .or(definitions.first());
                if let Some(asked) = asked {
                    let name = asked.name.unwrap_or_default();
                    names.add(OperationKind::GraphQl, &[asked.kind, name]);
                }
            }
            // Another query language.
            Some(None) => {}
            None => {
                let hash = hash.as_deref().filter(|hash| {
                    hash.len() >= HASH_SHOWN && hash.bytes().all(|byte| byte.is_ascii_hexdigit())
                });
                if let Some(hash) = hash {
                    let hash = hash.get(..HASH_SHOWN).unwrap_or_default();
                    let name = name.unwrap_or_default();
                    names.add(OperationKind::GraphQl, &["persisted", hash, name]);
                }
            }
        }
    }
}

/// A name of GraphQL (§2.1.9).
fn is_name(name: &str) -> bool {
    !name.is_empty()
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// Reads the first part of a request; `whole`: it is all of it. At most `limit` bytes are
/// decompressed.
pub(in crate::call) fn read_request(hint: Hint, peek: &Peek, whole: bool, limit: usize) -> Asked {
    let Some((kind, text)) = peek.text(limit) else {
        return hint.without_body();
    };
    let whole = whole && text.len() < limit;
    let mut names = Names::default();
    let mut login = Login::default();
    match kind {
        ContentKind::Json => in_json(&text, hint.batch, &mut names, &mut login),
        ContentKind::Xml => in_xml(&text, &hint, &mut names, &mut login),
        ContentKind::Form => {
            let text = String::from_utf8_lossy(&text);
            for (key, value) in pairs(&text) {
                login.field(key, || decode(value));
            }
            if let Some(operation) = in_query(&text) {
                return Asked {
                    operation: hint.operation.or(Some(operation)),
                    login: login.take(),
                };
            }
        }
        ContentKind::GraphQl => {
            let document = Document {
                query: Some(String::from_utf8_lossy(&text)),
                ..Document::default()
            };
            document.tell(&mut names);
        }
        ContentKind::Multipart => in_parts(&text, &hint, &mut names, &mut login),
        ContentKind::Unlabelled | ContentKind::Other => {}
    }
    let login = login.take();
    if hint.operation.is_some() || names.kind.is_none() {
        let Asked { operation, .. } = hint.without_body();
        return Asked { operation, login };
    }
    Asked {
        operation: names.take(whole),
        login,
    }
}

/// One element of a batch, or all there is.
#[derive(Default)]
struct Element<'a> {
    version: bool,
    method: Option<Cow<'a, str>>,
    params: bool,
    id: bool,
    document: Document<'a>,
}

impl Element<'_> {
    fn tell(self, names: &mut Names) {
        let Self {
            version,
            method,
            params,
            id,
            document,
        } = self;
        match method {
            // Version 1 does not say that it is one.
            Some(method) if version || params && id => {
                names.add(OperationKind::JsonRpc, &[&method]);
            }
            _ => document.tell(names),
        }
    }
}

fn in_json(text: &[u8], batch: bool, names: &mut Names, login: &mut Login) {
    let mut element = Element::default();
    let mut item = 0;
    json::walk(text, &mut |place, value| {
        if place.item != item {
            item = place.item;
            std::mem::take(&mut element).tell(names);
        }
        if batch && place.is(&["requests"]) && value == Value::Object {
            names.add(OperationKind::OData, &[]);
        }
        let text = match value {
            Value::Text(text) => Some(text),
            _ => None,
        };
        match (place.only(), text) {
            (b"", _) if place.depth() != 1 => {}
            (b"jsonrpc", Some(_)) => element.version = true,
            (b"method", Some(text)) => element.method = Some(unescape(text)),
            (b"params", _) => element.params = true,
            (b"id", _) => element.id = true,
            (b"query", Some(text)) => element.document.query = Some(unescape(text)),
            (b"operationName", Some(text)) => element.document.name = Some(unescape(text)),
            _ => {}
        }
        if let Some(text) = text {
            if place.is(&["extensions", "persistedQuery", "sha256Hash"]) {
                element.document.hash = Some(unescape(text));
            }
            // At the top, or in what wraps it (`{"user":{"email":…,"password":…}}`).
            if matches!(place.depth(), 1..=3) && item == 0 {
                let key = std::str::from_utf8(place.last()).unwrap_or_default();
                login.field(key, || unescape(text));
            }
        }
    });
    element.tell(names);
    if names.kind == Some(OperationKind::OData) {
        names.call_all("$batch");
    }
}

fn in_xml(text: &[u8], hint: &Hint, names: &mut Names, login: &mut Login) {
    let text = xml::narrow(text);
    let mut addressed = None;
    let mut soap = false;
    xml::walk(&text, &mut |path, attributes, text| {
        let root = path.name(0);
        if path.depth() == 1 && text.is_none() {
            soap = root == b"Envelope"
                && (memmem::find(attributes, b"soap/envelope").is_some()
                    || memmem::find(attributes, b"soap-envelope").is_some());
            return soap || root == b"methodCall";
        }
        match text {
            None if soap && path.depth() == 3 && path.name(1) == b"Body" => {
                let first = path.name(2);
                let name = String::from_utf8_lossy(first);
                let action = addressed.as_deref().or(hint.action.as_deref());
                match action {
                    Some(action) if first == b"EncryptedData" => {
                        names.add(OperationKind::Soap, &[action]);
                    }
                    _ => names.add(OperationKind::Soap, &[&name]),
                }
                return false;
            }
            Some(text) if path.is(&["Envelope", "Header", "Action"]) => {
                addressed = std::str::from_utf8(text).ok().and_then(action);
            }
            Some(text)
                if path.is(&[
                    "Envelope",
                    "Header",
                    "Security",
                    "UsernameToken",
                    "Username",
                ]) =>
            {
                login.secret = true;
                login.field("username", || String::from_utf8_lossy(text));
            }
            Some(text) if path.is(&["methodCall", "methodName"]) => {
                names.add(OperationKind::XmlRpc, &[&String::from_utf8_lossy(text)]);
                return false;
            }
            _ => {}
        }
        true
    });
    if soap
        && names.kind.is_none()
        && let Some(action) = addressed.as_deref().or(hint.action.as_deref())
    {
        names.add(OperationKind::Soap, &[action]);
    }
}

/// Parts with heads of their own (RFC 2046 §5.1): the one that names an operation is the first.
fn in_parts(text: &[u8], hint: &Hint, names: &mut Names, login: &mut Login) {
    if hint.batch {
        // Each request is a part with the start line of HTTP/1.
        for _ in memmem::find_iter(text, b" HTTP/1.1\r\n") {
            names.add(OperationKind::OData, &[]);
        }
        names.call_all("$batch");
        return;
    }
    let Some(end) = memmem::find(text, b"\r\n\r\n") else {
        return;
    };
    let (head, body) = text.split_at(end + 4);
    if memmem::find(head, b"name=\"operations\"").is_some() {
        let end = memmem::find(body, b"\r\n--").unwrap_or(body.len());
        in_json(body.get(..end).unwrap_or_default(), false, names, login);
    } else if body.trim_ascii_start().starts_with(b"<") {
        in_xml(body, hint, names, login);
    }
}

/// Finds the user name of a login: a body is one only if it has a secret too.
#[derive(Default)]
struct Login {
    secret: bool,
    /// Place in [`USER_KEYS`], and the value.
    user: Option<(usize, Box<str>)>,
}

impl Login {
    fn field<'v>(&mut self, key: &str, value: impl FnOnce() -> Cow<'v, str>) {
        if SECRET_KEYS.contains(&key) {
            self.secret = true;
            return;
        }
        let Some(rank) = USER_KEYS.iter().position(|user| *user == key) else {
            return;
        };
        if self.user.as_ref().is_some_and(|(best, _)| *best <= rank) {
            return;
        }
        let value = value();
        let fits = !value.is_empty()
            && value.chars().count() <= MAX_LOGIN
            && !value.chars().any(char::is_control);
        if fits {
            self.user = Some((rank, value.as_ref().into()));
        }
    }

    fn take(self) -> Option<Box<str>> {
        self.user.filter(|_| self.secret).map(|(_, user)| user)
    }
}
