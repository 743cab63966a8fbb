//! Elastic Common Schema 9.4, one JSON object a record.

use serde_json::{Map, Value as Json, json};

use super::time;
use crate::audit::{Field, Record, Value};

/// The record as ECS.
pub fn ecs(record: &Record<'_>) -> Json {
    let json = |field| match record.value(field) {
        Value::Absent => Json::Null,
        Value::Number(number) => number.into(),
        Value::Text(text) => text.into(),
    };
    let word = |field| match record.value(field) {
        Value::Text(text) => text.to_owned(),
        _ => String::new(),
    };
    let kind = word(Field::Type);
    let (event_kind, category, event_type, action) = match kind.as_str() {
        "call" => {
            let access = match word(Field::Method).as_str() {
                "POST" => "creation",
                "PUT" | "PATCH" => "change",
                "DELETE" => "deletion",
                _ => "access",
            };
            let action = format!("{} {}", word(Field::Method), word(Field::Route));
            ("event", "api", access, action.trim().to_owned())
        }
        "login" => ("event", "authentication", "start", "login".to_owned()),
        "finding" => ("alert", "intrusion_detection", "info", word(Field::Rule)),
        _ => ("event", "process", "info", word(Field::Event)),
    };
    let failed = match record.value(Field::Status) {
        Value::Number(status) => Some(status >= 400),
        _ => None,
    };
    let failed = match record.value(Field::GrpcStatus) {
        Value::Number(1..) => Some(true),
        _ if record.value(Field::Error) != Value::Absent => Some(true),
        _ => failed,
    };
    let outcome = match failed {
        Some(true) => "failure",
        Some(false) => "success",
        None => "unknown",
    };
    let mut event = json!({
        "kind": event_kind,
        "category": [category],
        "type": [event_type],
        "action": action,
        "dataset": "observer.audit",
        "module": "observer",
        "sequence": record.index(),
        "severity": json(Field::Severity),
        "duration": json(Field::Duration),
    });
    if (kind == "call" || kind == "login")
        && let Some(event) = event.as_object_mut()
    {
        event.insert("outcome".to_owned(), outcome.into());
    }
    let mut out = json!({
        "@timestamp": time(record),
        "ecs": {"version": "9.4.0"},
        "event": event,
        "observer": {"type": "api", "product": "observer", "version": env!("CARGO_PKG_VERSION")},
        "message": record.message(),
        "http": {
            "version": match word(Field::Protocol).as_str() {
                "http/1.0" => Json::from("1.0"),
                "http/1.1" => "1.1".into(),
                "h2" | "grpc" => "2".into(),
                _ => Json::Null,
            },
            "request": {
                "method": json(Field::Method),
                "body": {"bytes": json(Field::RequestBytes)},
            },
            "response": {
                "status_code": json(Field::Status),
                "body": {"bytes": json(Field::ResponseBytes)},
            },
        },
        "url": {
            "scheme": json(Field::Scheme),
            "domain": json(Field::Host),
            "path": json(Field::Path),
            "query": json(Field::Query),
        },
        "source": {"ip": json(Field::Client)},
        "destination": {"ip": json(Field::Server)},
        "service": {"name": json(Field::Service)},
        "process": {
            "pid": json(Field::Pid),
            "name": json(Field::Process),
            "executable": json(Field::Exe),
        },
        "container": {"id": json(Field::Container)},
        "user": {"id": json(Field::Identity)},
        "rule": {"name": json(Field::Rule)},
        "error": {"code": json(Field::Error)},
        "related": {
            "ip": [json(Field::Client), json(Field::Server)],
            "user": [json(Field::Identity)],
        },
        // What ECS has no field for.
        "labels": {
            "route": json(Field::Route),
            "operation": json(Field::Operation),
            "role": json(Field::Role),
            "auth_scheme": json(Field::AuthScheme),
            "auth_outcome": json(Field::Auth),
            "identity_kind": json(Field::IdentityKind),
            "flags": json(Field::Flag),
            "grpc_status": json(Field::GrpcStatus),
        },
    });
    prune(&mut out);
    out
}

/// A field that is not known is absent.
fn prune(value: &mut Json) {
    let empty = |value: &Json| match value {
        Json::Null => true,
        Json::Object(fields) => fields.is_empty(),
        Json::Array(items) => items.is_empty(),
        _ => false,
    };
    match value {
        Json::Object(fields) => {
            let mut kept = Map::new();
            for (name, mut value) in std::mem::take(fields) {
                prune(&mut value);
                if !empty(&value) {
                    kept.insert(name, value);
                }
            }
            *fields = kept;
        }
        Json::Array(items) => items.retain(|item| !empty(item)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::ecs;
    use crate::audit::{Ocsf, Record};
    use crate::catalog::sample;

    #[test]
    fn a_failed_call_is_an_api_event_with_its_outcome() {
        let mut ocsf = Ocsf::default();
        let call = sample::call("DELETE", "/a", Some(404));
        let ecs = ecs(&Record::parse(ocsf.call(&call, 9).1.as_bytes()));
        for (pointer, value) in [
            ("/@timestamp", "2026-11-22T10:20:30.123Z"),
            ("/event/category/0", "api"),
            ("/event/type/0", "deletion"),
            ("/event/outcome", "failure"),
            ("/http/version", "1.1"),
            ("/source/ip", "192.0.2.7"),
            ("/url/path", "/a"),
            ("/process/executable", "/usr/sbin/nginx"),
        ] {
            let found = ecs.pointer(pointer).and_then(serde_json::Value::as_str);
            assert_eq!(found, Some(value), "{pointer}");
        }
        assert_eq!(ecs["http"]["response"]["status_code"], 404);
        assert_eq!(ecs["event"]["duration"], 1_500_000);
        assert!(ecs.get("user").is_none() && ecs.get("rule").is_none());
    }
}
