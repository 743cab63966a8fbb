//! The parsers of operations, each on bodies of its kind, at once and in small pieces.

use observer::stream::Direction;

use super::whole::{Told, run};

const ANSWER: &[u8] = b"HTTP/1.1 204 No\r\n\r\n";

/// The call that a request makes; in pieces of as many bytes as `size` says it must be the same.
fn asked(size: u8, line: &str, fields: &str, body: &[u8]) -> Told {
    let head = format!(
        "{line} HTTP/1.1\r\n{fields}Content-Length: {}\r\n\r\n",
        body.len()
    );
    let request = [head.as_bytes(), body].concat();
    let parts = [
        (Direction::Inbound, &request[..]),
        (Direction::Outbound, ANSWER),
    ];
    let (mut whole, _) = run(&parts, usize::MAX);
    let (cut, _) = run(&parts, usize::from(size) + 1);
    assert_eq!(cut, whole);
    assert_eq!(whole.len(), 1);
    let told = whole.remove(0);
    assert!(
        told.operation
            .as_ref()
            .is_none_or(|name| name.len() < 8 << 10)
    );
    assert_eq!(told.operation.is_some(), told.kind.is_some());
    told
}

/// The first byte, which says in which pieces the rest comes.
fn split(data: &[u8]) -> Option<(u8, &[u8])> {
    data.split_first().map(|(size, data)| (*size, data))
}

/// Only operations of these conventions may come of it.
fn only(told: &Told, kinds: &[&str]) {
    assert!(
        told.kind.is_none_or(|kind| kinds.contains(&kind)),
        "{:?}",
        told.kind
    );
}

/// An envelope of SOAP, or what is none, with an action in the head and without.
pub fn soap(data: &[u8]) {
    let Some((size, data)) = split(data) else {
        return;
    };
    let told = asked(
        size,
        "POST /a",
        "Content-Type: application/soap+xml\r\n",
        data,
    );
    only(&told, &["soap", "xmlrpc"]);
    let fields = "Content-Type: text/xml\r\nSOAPAction: \"urn:a#b\"\r\n";
    let with_action = asked(size, "POST /a", fields, data);
    assert!(with_action.kind.is_some());
    let envelope = [
        &b"<s:Envelope xmlns:s='http://www.w3.org/2003/05/soap-envelope'>"[..],
        data,
        b"</s:Envelope>",
    ]
    .concat();
    let told = asked(size, "POST /a", "Content-Type: text/xml\r\n", &envelope);
    only(&told, &["soap"]);
}

/// A call of XML-RPC, or what is none.
pub fn xml_rpc(data: &[u8]) {
    let Some((size, data)) = split(data) else {
        return;
    };
    let fields = "Content-Type: text/xml\r\n";
    only(&asked(size, "POST /a", fields, data), &["soap", "xmlrpc"]);
    let call = [&b"<methodCall>"[..], data, b"</methodCall>"].concat();
    only(&asked(size, "POST /a", fields, &call), &["xmlrpc"]);
}

/// JSON, one call or a batch of them.
pub fn json_rpc(data: &[u8]) {
    let Some((size, data)) = split(data) else {
        return;
    };
    let fields = "Content-Type: application/json\r\n";
    only(
        &asked(size, "POST /a", fields, data),
        &["jsonrpc", "graphql"],
    );
    let call = [
        &b"{\"jsonrpc\":\"2.0\",\"method\":\"m\",\"x\":"[..],
        data,
        b"}",
    ]
    .concat();
    let told = asked(size, "POST /a", fields, &call);
    assert_eq!(told.kind, Some("jsonrpc"));
    only(
        &asked(size, "POST /a", fields, &[b"[", data, b"]"].concat()),
        &["jsonrpc", "graphql"],
    );
}

/// A document of GraphQL: as it is, in a query, and in JSON.
pub fn graphql(data: &[u8]) {
    let Some((size, data)) = split(data) else {
        return;
    };
    let plain = asked(
        size,
        "POST /g",
        "Content-Type: application/graphql\r\n",
        data,
    );
    only(&plain, &["graphql"]);
    let escaped = |prefix: &str, width: usize| {
        let escaped = data.iter().map(|byte| format!("{prefix}{byte:0width$x}"));
        escaped.collect::<String>()
    };
    let line = format!("GET /g?query={}", escaped("%", 2));
    let in_query = asked(size, &line, "", b"");
    if data.len() < 4096 {
        assert_eq!(in_query.operation, plain.operation);
    }
    let json = format!("{{\"query\":\"{}\"}}", escaped("\\u", 4));
    let fields = "Content-Type: application/json\r\n";
    let in_json = asked(size, "POST /g", fields, json.as_bytes());
    if data.is_ascii() && json.len() < 60_000 {
        assert_eq!(in_json.operation, plain.operation);
    }
}

/// A batch of OData, in parts and in JSON.
pub fn odata(data: &[u8]) {
    let Some((size, data)) = split(data) else {
        return;
    };
    let fields = "Content-Type: multipart/mixed; boundary=b\r\n";
    only(&asked(size, "POST /a/$batch", fields, data), &["odata"]);
    let json = [&b"{\"requests\":["[..], data, b"]}"].concat();
    let fields = "Content-Type: application/json\r\n";
    let told = asked(size, "POST /a/$batch", fields, &json);
    assert!(told.kind.is_some());
}

/// A request to an API of AWS: form, query and field.
pub fn aws(data: &[u8]) {
    let Some((size, data)) = split(data) else {
        return;
    };
    let fields = "Content-Type: application/x-www-form-urlencoded\r\n";
    let kinds = ["aws", "graphql"];
    only(&asked(size, "POST /", fields, data), &kinds);
    let form = [b"Version=1&Action=", data].concat();
    only(&asked(size, "POST /", fields, &form), &kinds);
    let visible = data.iter().filter(|byte| byte.is_ascii_graphic());
    let visible: String = visible.map(|byte| char::from(*byte)).take(4096).collect();
    only(&asked(size, &format!("GET /?{visible}"), "", b""), &kinds);
    let fields = format!("X-Amz-Target: {visible}\r\n");
    let told = asked(size, "POST /", &fields, b"");
    assert_eq!(told.kind, Some("aws"));
}
