//! Every kind of record against the pinned OCSF schema: classes, attributes, types, enumerations,
//! profiles, constraints.

use std::sync::Arc;

use serde_json::{Map, Value};

use crate::audit::Ocsf;
use crate::audit::own_event::OwnEvent;
use crate::call::{
    ApiCall, AuthOutcome, AuthScheme, BodyError, Claims, ErrorSource, Flag, Identity, IdentityKind,
    Role,
};
use crate::catalog::sample;

const SCHEMA: &str = include_str!("schema/ocsf-1.8.0.json");

/// What is wrong with a record, each as `path: what`.
pub(in crate::audit) fn faults(record: &Value) -> Vec<String> {
    let schema: Value = serde_json::from_str(SCHEMA).unwrap();
    let class = record["class_uid"].to_string();
    let mut found = Vec::new();
    let Some(class) = schema["classes"].get(&class) else {
        return vec![format!("class {class} is not in the schema")];
    };
    let number = |key: &str| record[key].as_u64().unwrap_or(0);
    if number("type_uid") != number("class_uid") * 100 + number("activity_id") {
        found.push("type_uid: is not that of class and activity".to_owned());
    }
    if record["metadata"]["version"] != schema["version"] {
        found.push("metadata.version: is not that of the schema".to_owned());
    }
    let profiles: Vec<&str> = record["metadata"]["profiles"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    object(&schema, class, record, "", &profiles, &mut found);
    found
}

fn object(
    schema: &Value,
    class: &Value,
    value: &Value,
    path: &str,
    profiles: &[&str],
    found: &mut Vec<String>,
) {
    let Some(fields) = value.as_object() else {
        found.push(format!("{path}: is no object"));
        return;
    };
    let attributes = class["attributes"].as_object().unwrap();
    for (name, value) in fields {
        let path = format!("{path}.{name}");
        let Some(attribute) = attributes.get(name) else {
            found.push(format!("{path}: is not in the schema"));
            continue;
        };
        if let Some(profile) = attribute["profile"].as_str()
            && !profiles.contains(&profile)
        {
            found.push(format!("{path}: needs the profile {profile}"));
        }
        if attribute["array"] == true {
            let Some(items) = value.as_array() else {
                found.push(format!("{path}: is no list"));
                continue;
            };
            for item in items {
                one(schema, attribute, item, &path, profiles, found);
            }
        } else {
            one(schema, attribute, value, &path, profiles, found);
        }
    }
    for (name, attribute) in attributes {
        if attribute["required"] == true && !fields.contains_key(name) {
            found.push(format!("{path}.{name}: is missing"));
        }
    }
    constraints(class["constraints"].as_object(), fields, path, found);
}

fn constraints(
    constraints: Option<&Map<String, Value>>,
    fields: &Map<String, Value>,
    path: &str,
    found: &mut Vec<String>,
) {
    for (kind, names) in constraints.into_iter().flatten() {
        let present = names
            .as_array()
            .into_iter()
            .flatten()
            .filter(|name| fields.contains_key(name.as_str().unwrap()))
            .count();
        let good = match kind.as_str() {
            "at_least_one" => present >= 1,
            "just_one" => present == 1,
            other => panic!("constraint {other}"),
        };
        if !good {
            found.push(format!("{path}: {kind} of {names}"));
        }
    }
}

fn one(
    schema: &Value,
    attribute: &Value,
    value: &Value,
    path: &str,
    profiles: &[&str],
    found: &mut Vec<String>,
) {
    let kind = attribute["type"].as_str().unwrap();
    let good = match kind {
        "object" => value.is_object(),
        "json_t" => true,
        "boolean_t" => value.is_boolean(),
        "integer_t" | "long_t" | "timestamp_t" | "port_t" => {
            let fits = kind != "port_t" || value.as_u64().is_some_and(|port| port < 65_536);
            (value.is_i64() || value.is_u64()) && fits
        }
        "ip_t" => value
            .as_str()
            .is_some_and(|text| text.parse::<std::net::IpAddr>().is_ok()),
        _ if kind.ends_with("_t") => value.is_string(),
        _ => {
            let Some(class) = schema["objects"].get(kind) else {
                found.push(format!("{path}: object {kind} is not in the pinned part"));
                return;
            };
            object(schema, class, value, path, profiles, found);
            true
        }
    };
    let listed = attribute["enum"].as_array();
    if !good {
        found.push(format!("{path}: is no {kind}"));
    } else if value.is_number() && listed.is_some_and(|listed| !listed.contains(value)) {
        found.push(format!("{path}: {value} is not in the enumeration"));
    }
}

/// A call in which everything that can be known is known.
pub(in crate::audit) fn full_call() -> ApiCall {
    let mut call = sample::call("POST", "/oauth2/token", Some(400));
    let name = |kind, id: &str| {
        Arc::new(Identity {
            kind,
            id: id.into(),
            fingerprint: Some("hmac:9a1d44c2e07b5f10".into()),
            earlier: Some("hmac:0000000000000000".into()),
            class: Some("github"),
            source: "header:authorization".into(),
            verified: false,
            claims: None,
        })
    };
    let mut token = (*name(IdentityKind::Jwt, "idp.example|alice")).clone();
    token.claims = Some(Arc::new(Claims {
        issuer: Some("https://idp.example".into()),
        subject: Some("alice".into()),
        client: Some("shop".into()),
        audience: vec!["api".into(), "b".into()],
        scopes: vec!["read".into()],
        expires_s: Some(1_795_346_430),
        issued_s: Some(1_795_342_830),
        algorithm: Some("RS256".into()),
        key_id: Some("k1".into()),
    }));
    let token = Arc::new(token);
    call.identity = Some(Arc::clone(&token));
    call.identities = vec![
        token,
        name(IdentityKind::ApiKey, "hmac:11"),
        name(IdentityKind::Session, "hmac:22"),
    ];
    call.query = Some("a=*&b=*".to_owned());
    call.route = Some("/oauth2/token".into());
    call.service = Some("idp".into());
    call.operation = Some("x.Y/Z".to_owned());
    call.grpc_status = Some(16);
    call.request_messages = Some(1);
    call.response_messages = Some(1);
    call.conn_label = Some("c1".into());
    call.auth.scheme = AuthScheme::Basic;
    call.auth.outcome = AuthOutcome::Failed;
    call.body_error = Some(Box::new(BodyError {
        source: ErrorSource::OAuth,
        code: "invalid_client".into(),
    }));
    call.flags = vec![Flag::Gap];
    call
}

fn judge(record: &str) -> Value {
    let record: Value = serde_json::from_str(record).unwrap();
    assert_eq!(faults(&record), Vec::<String>::new(), "{record:#}");
    record
}

#[test]
fn calls_and_logins_of_every_kind_of_caller_fit_the_schema() {
    let mut ocsf = Ocsf::default();
    for kind in [
        IdentityKind::Gateway,
        IdentityKind::Certificate,
        IdentityKind::Jwt,
        IdentityKind::Basic,
        IdentityKind::Digest,
        IdentityKind::Negotiate,
        IdentityKind::AccessKey,
        IdentityKind::ApiKey,
        IdentityKind::Token,
        IdentityKind::Session,
        IdentityKind::Address,
    ] {
        for role in [Role::Server, Role::Client] {
            let mut call = full_call();
            call.role = role;
            let mut identity = (**call.identity.as_ref().unwrap()).clone();
            identity.kind = kind;
            if kind != IdentityKind::Jwt {
                identity.claims = None;
            }
            call.identity = Some(Arc::new(identity));
            judge(ocsf.call(&call, 5).1);
            if let Some((_, record)) = ocsf.login(&call, 6, 5) {
                let record = judge(record);
                assert_eq!(record["unmapped"]["call_sequence"], 5);
            }
        }
    }
    let mut bare = sample::call("", "", None);
    bare.client = None;
    bare.server = None;
    bare.process = None;
    bare.host = None;
    judge(ocsf.call(&bare, 0).1);
    let mut bare = sample::call("POST", "/login", None);
    bare.client = None;
    bare.server = None;
    judge(ocsf.login(&bare, 1, 0).unwrap().1);
}

#[test]
fn the_caller_and_the_error_of_the_body_are_in_the_record() {
    let mut ocsf = Ocsf::default();
    let record = judge(ocsf.call(&full_call(), 5).1);
    for (pointer, value) in [
        ("/actor/user/uid", "idp.example|alice"),
        (
            "/actor/user/programmatic_credentials/0/uid",
            "hmac:9a1d44c2e07b5f10",
        ),
        ("/actor/session/issuer", "https://idp.example"),
        ("/api/response/error", "invalid_client"),
        ("/unmapped/identity/kind", "jwt"),
        ("/unmapped/identity/claims/iss", "https://idp.example"),
        ("/unmapped/identity/claims/aud/1", "b"),
        ("/unmapped/identities/1/kind", "session"),
        ("/unmapped/body_error/source", "oauth"),
    ] {
        assert_eq!(
            record.pointer(pointer).and_then(Value::as_str),
            Some(value),
            "{pointer}"
        );
    }
    assert_eq!(
        record["actor"]["session"]["expiration_time"],
        1_795_346_430_000_u64
    );
    assert_eq!(
        record["unmapped"]["identities"].as_array().unwrap().len(),
        2
    );
    let login = judge(ocsf.login(&full_call(), 6, 5).unwrap().1);
    assert_eq!(login["class_uid"], 3002);
    assert_eq!(login["status_id"], 2);
    assert_eq!(login["is_cleartext"], true);
}

#[test]
fn what_the_agent_says_of_itself_fits_the_schema() {
    for event in OwnEvent::samples() {
        let (_, record) = event.record(3, 1_795_342_830_123);
        judge(&record);
    }
}

#[test]
fn a_finding_fits_the_schema() {
    let mut detector = crate::detect::Detector::new(crate::detect::DetectSettings::default());
    let mut call = sample::call("GET", "/login", Some(401));
    call.auth.scheme = AuthScheme::Basic;
    call.auth.outcome = AuthOutcome::Failed;
    call.service = Some("nginx".into());
    let mut findings = Vec::new();
    for _ in 0..200 {
        call.time_unix_ns += 1_000_000;
        detector.push(&call, &mut |finding| findings.push(finding));
    }
    assert!(!findings.is_empty());
    for finding in &findings {
        judge(Ocsf::default().finding(finding, 9).1);
    }
}

#[test]
fn the_judge_finds_what_is_wrong() {
    let record = Ocsf::default().call(&full_call(), 5).1.to_owned();
    for (from, to) in [
        ("\"class_uid\":6003", "\"class_uid\":6009"),
        ("\"type_uid\":600301", "\"type_uid\":600302"),
        ("\"severity_id\":1", "\"severity_id\":17"),
        ("\"severity_id\":1", "\"severity_id\":\"1\""),
        ("\"api\":{\"operation\"", "\"api\":{\"operations\""),
        ("\"src_endpoint\"", "\"source_endpoint\""),
        ("\"ip\":\"192.0.2.7\"", "\"ip\":\"nobody\""),
        ("\"severity_id\":1", "\"severity_id\":1,\"action_id\":3"),
        ("\"version\":\"1.8.0\"", "\"version\":\"1.7.0\""),
    ] {
        let changed = record.replacen(from, to, 1);
        assert_ne!(changed, record, "{from}");
        let value = serde_json::from_str(&changed).unwrap();
        assert!(!faults(&value).is_empty(), "{to}");
    }
}
