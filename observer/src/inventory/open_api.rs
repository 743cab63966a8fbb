//! A service as an OpenAPI 3.1 document: what was called, never a value.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::documents::METHODS;
use super::endpoint::Endpoint;
use super::service::Service;

/// The document of a service.
pub fn open_api(name: &str, service: &Service) -> Value {
    let mut paths: Map<String, Value> = Map::new();
    let mut schemes: Map<String, Value> = Map::new();
    for (endpoint_name, endpoint) in &service.endpoints {
        let Some((method, route)) = endpoint_name.split_once(' ') else {
            continue;
        };
        let key = method.to_ascii_lowercase();
        // What OpenAPI has no place for: other methods, and routes that are none.
        if !METHODS.contains(&&*key) || !route.starts_with('/') {
            continue;
        }
        let (path, parameters) = path(route);
        let operation = operation(endpoint, parameters, &mut schemes);
        if let Some(item) = paths
            .entry(path)
            .or_insert_with(|| json!({}))
            .as_object_mut()
        {
            item.insert(key, operation);
        }
    }
    let mut document = json!({
        "openapi": "3.1.0",
        "info": {
            "title": name,
            "version": "observed",
            "description": "What was called on this host. Paths and types are learned from traffic.",
            "x-first-seen": super::rfc3339(service.first_seen_ms),
            "x-last-seen": super::rfc3339(service.last_seen_ms),
        },
        "paths": paths,
    });
    if !schemes.is_empty() {
        document["components"] = json!({ "securitySchemes": schemes });
    }
    document
}

/// The path with a name of its own for each parameter, and the parameters.
fn path(route: &str) -> (String, Vec<Value>) {
    let (mut path, mut parameters) = (String::new(), Vec::new());
    let mut used: BTreeSet<String> = BTreeSet::new();
    let mut rest = route;
    while let Some((before, after)) = rest.split_once('{') {
        let (kind, after) = after.split_once('}').unwrap_or((after, ""));
        let mut name = kind.to_owned();
        let mut number = 2;
        while !used.insert(name.clone()) {
            name = format!("{kind}{number}");
            number += 1;
        }
        path.push_str(before);
        path.push('{');
        path.push_str(&name);
        path.push('}');
        parameters.push(json!({
            "name": name, "in": "path", "required": true, "schema": schema(kind),
        }));
        rest = after;
    }
    path.push_str(rest);
    (path, parameters)
}

fn schema(kind: &str) -> Value {
    match kind {
        "id" => json!({ "type": "integer" }),
        "number" => json!({ "type": "number" }),
        "uuid" | "date" | "email" => json!({ "type": "string", "format": kind }),
        "hex" => json!({ "type": "string", "pattern": "^[0-9a-fA-F]+$" }),
        _ => json!({ "type": "string" }),
    }
}

fn operation(
    endpoint: &Endpoint,
    mut parameters: Vec<Value>,
    all_schemes: &mut Map<String, Value>,
) -> Value {
    let Endpoint {
        first_seen_ms,
        last_seen_ms,
        calls,
        statuses,
        schemes,
        sources,
        parameters: keys,
        ..
    } = endpoint;
    for (key, count) in keys {
        parameters.push(json!({
            "name": key, "in": "query", "required": count == calls,
            "schema": { "type": "string" }, "x-request-count": count,
        }));
    }
    let mut responses: Map<String, Value> = Map::new();
    for (status, count) in statuses {
        let described = json!({ "description": "seen", "x-request-count": count });
        // Others are no status that OpenAPI knows.
        if (100..600).contains(status) {
            responses.insert(status.to_string(), described);
        }
    }
    if responses.is_empty() {
        responses.insert("default".to_owned(), json!({ "description": "not seen" }));
    }
    let mut security = Vec::new();
    for scheme in schemes.keys() {
        if scheme == "none" {
            security.push(json!({}));
        }
        for (name, described) in security_schemes(scheme, sources.keys().map(String::as_str)) {
            let mut one = Map::new();
            one.insert(name.clone(), json!([]));
            security.push(Value::Object(one));
            all_schemes.insert(name, described);
        }
    }
    let mut operation = json!({
        "responses": responses,
        "x-request-count": calls,
        "x-first-seen": super::rfc3339(*first_seen_ms),
        "x-last-seen": super::rfc3339(*last_seen_ms),
    });
    if !parameters.is_empty() {
        operation["parameters"] = Value::Array(parameters);
    }
    if !security.is_empty() && schemes.keys().any(|scheme| scheme != "none") {
        operation["security"] = Value::Array(security);
    }
    operation
}

/// Names and descriptions of what a kind of credential is in OpenAPI.
fn security_schemes<'a>(
    scheme: &str,
    sources: impl Iterator<Item = &'a str>,
) -> Vec<(String, Value)> {
    match scheme {
        "basic" | "bearer" | "digest" | "negotiate" | "dpop" => {
            vec![(
                scheme.to_owned(),
                json!({ "type": "http", "scheme": scheme }),
            )]
        }
        "sigv4" | "signature" | "token" => vec![(
            scheme.to_owned(),
            json!({ "type": "apiKey", "in": "header", "name": "Authorization" }),
        )],
        "api_key" | "cookie" => sources
            .filter_map(|source| {
                let (place, name) = source.split_once(':')?;
                let wanted = if scheme == "cookie" {
                    place == "cookie"
                } else {
                    place != "cookie" && !name.ends_with("authorization")
                };
                wanted.then(|| {
                    let clean = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
                    let key: String = format!("{place}_{name}").chars().map(clean).collect();
                    (key, json!({ "type": "apiKey", "in": place, "name": name }))
                })
            })
            .collect(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_of_a_path_have_names_of_their_own_and_types() {
        let (path, parameters) = path("/users/{id}/orders/{id}.json/{uuid}");
        assert_eq!(path, "/users/{id}/orders/{id2}.json/{uuid}");
        let told: Vec<_> = parameters
            .iter()
            .map(|one| (one["name"].as_str(), one["schema"]["type"].as_str()))
            .collect();
        assert_eq!(
            told,
            [
                (Some("id"), Some("integer")),
                (Some("id2"), Some("integer")),
                (Some("uuid"), Some("string"))
            ]
        );
    }
}
