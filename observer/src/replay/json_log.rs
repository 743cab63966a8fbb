//! One JSON object a line, as proxies write their access logs. The same things have many names.

use serde_json::Value;

use super::access_log::address;
use super::timestamp;
use crate::call::{ApiCall, Recorded};

const CLIENT: [&str; 10] = [
    "remote_addr",
    "ClientHost",
    "client_ip",
    "clientIp",
    "remote_ip",
    "remoteAddr",
    "downstream_remote_address",
    "x_forwarded_for",
    "request.client_ip",
    "request.remote_ip",
];
const METHOD: [&str; 5] = [
    "method",
    "RequestMethod",
    "request_method",
    "verb",
    "request.method",
];
const TARGET: [&str; 8] = [
    "RequestPath",
    "request_uri",
    "uri",
    "path",
    "url",
    "x-envoy-origin-path",
    "request.uri",
    "request_path",
];
const STATUS: [&str; 6] = [
    "status",
    "DownstreamStatus",
    "response_code",
    "status_code",
    "statusCode",
    "code",
];
const AGENT: [&str; 6] = [
    "http_user_agent",
    "request_User-Agent",
    "user_agent",
    "user-agent",
    "userAgent",
    "request.headers.User-Agent",
];
const USER: [&str; 4] = ["remote_user", "ClientUsername", "username", "user_id"];
const HOST: [&str; 6] = [
    "host",
    "RequestHost",
    "http_host",
    ":authority",
    "server_name",
    "request.host",
];
const TIME: [&str; 8] = [
    "StartUTC",
    "start_time",
    "time_iso8601",
    "timestamp",
    "@timestamp",
    "time",
    "ts",
    "msec",
];

/// The call in an object; `None` if it is none of a request.
pub(super) fn call(text: &str) -> Option<ApiCall> {
    let object: Value = serde_json::from_str(text).ok()?;
    let text = |names: &[&str]| find(&object, names).and_then(text_of);
    let method = text(&METHOD)?;
    let target = text(&TARGET)?;
    let status = find(&object, &STATUS).and_then(|value| match value {
        Value::Number(number) => u16::try_from(number.as_u64()?).ok(),
        Value::String(text) => text.parse().ok(),
        _ => None,
    });
    let client = address(&text(&CLIENT)?)?;
    let time_unix_ns = TIME
        .iter()
        .find_map(|name| time(find(&object, &[*name])?))?;
    let user = text(&USER).filter(|user| !user.is_empty() && user != "-");
    let (agent, host) = (text(&AGENT), text(&HOST));
    Some(
        Recorded {
            time_unix_ns,
            client: Some(client),
            user: user.as_deref(),
            method: &method,
            target: &target,
            host: host.as_deref(),
            status: Some(status.filter(|status| *status >= 100)?),
            agent: agent.as_deref(),
            ..Recorded::default()
        }
        .into(),
    )
}

/// The first of these that the object has; a dot leads into an object.
fn find<'a>(object: &'a Value, names: &[&str]) -> Option<&'a Value> {
    names.iter().find_map(|name| {
        object.get(name).or_else(|| {
            let mut at = object;
            for part in name.split('.') {
                at = at.get(part)?;
            }
            Some(at)
        })
    })
}

fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Array(values) => values.first().and_then(text_of),
        _ => None,
    }
}

fn time(value: &Value) -> Option<u64> {
    match value {
        Value::String(text) => timestamp::rfc3339(text).or_else(|| timestamp::common(text)),
        Value::Number(number) => {
            let seconds = number.as_f64()?;
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "checked to be in range"
            )]
            (seconds > 0.0 && seconds < 1e10).then_some((seconds * 1e9) as u64)
        }
        _ => None,
    }
}
