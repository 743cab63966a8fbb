//! A call as most are, with values that differ.

use std::sync::Arc;

use observer::call::{ApiCall, Auth, AuthOutcome, AuthScheme, Protocol, Role};
use observer::stream::ConnId;

/// Call number `n`.
pub fn typical_call(n: u64, random: u64) -> ApiCall {
    ApiCall {
        time_unix_ns: 1_795_342_830_000_000_000 + n * 3000,
        conn: ConnId(8000 + random % 500),
        conn_label: None,
        role: Role::Server,
        protocol: Protocol::Http11,
        scheme: "https",
        method: "GET".to_owned(),
        host: Some("api.example.com".to_owned()),
        path: format!("/v1/orders/{}", random % 1_000_000),
        query: None,
        route: Some(Arc::from("/v1/orders/{id}")),
        service: Some(Arc::from("orders")),
        operation: None,
        operation_kind: None,
        operations: None,
        login: None,
        grpc_status: None,
        grpc_message: None,
        request_messages: None,
        response_messages: None,
        websocket: None,
        status: Some(if random.is_multiple_of(50) { 404 } else { 200 }),
        duration_ns: Some(random % 20_000_000),
        request_bytes: 0,
        response_bytes: random % 5000,
        client: Some(
            (
                [192, 0, 2, (random % 250) as u8],
                40_000 + (random % 20_000) as u16,
            )
                .into(),
        ),
        peer: None,
        server: Some(([10, 0, 0, 21], 8443).into()),
        process: None,
        auth: Auth {
            scheme: AuthScheme::Bearer,
            outcome: AuthOutcome::Success,
            challenged: false,
        },
        identity: None,
        identities: Vec::new(),
        body_error: None,
        tls: None,
        hello: None,
        signs: observer::call::Signs::NONE,
        flags: Vec::new(),
    }
}
