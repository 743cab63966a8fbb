//! A call to build tests on.

use std::sync::Arc;

use crate::call::{ApiCall, Auth, AuthOutcome, AuthScheme, Protocol, Role, Signs};
use crate::discover::Process;
use crate::stream::ConnId;

/// A plaintext call to nginx on port 8080, at 2026-11-22T10:20:30.123456789Z, of 1.5 ms.
pub(crate) fn call(method: &str, path: &str, status: Option<u16>) -> ApiCall {
    ApiCall {
        time_unix_ns: 1_795_342_830_123_456_789,
        conn: ConnId(7),
        conn_label: None,
        role: Role::Server,
        protocol: Protocol::Http11,
        scheme: "http",
        method: method.to_owned(),
        host: Some("shop.example".to_owned()),
        path: path.to_owned(),
        query: None,
        route: None,
        service: None,
        operation: None,
        operation_kind: None,
        operations: None,
        login: None,
        status,
        grpc_status: None,
        grpc_message: None,
        duration_ns: status.map(|_| 1_500_000),
        request_bytes: 10,
        response_bytes: 2_048,
        request_messages: None,
        response_messages: None,
        websocket: None,
        client: Some(([192, 0, 2, 7], 40_000).into()),
        peer: None,
        server: Some(([192, 0, 2, 1], 8080).into()),
        process: Some(Arc::new(Process {
            pid: 123,
            name: "nginx".to_owned(),
            exe: Some("/usr/sbin/nginx".to_owned()),
            container: None,
            container_name: None,
            unit: Some("nginx.service".to_owned()),
        })),
        auth: Auth {
            scheme: AuthScheme::None,
            outcome: AuthOutcome::None,
            challenged: false,
        },
        identity: None,
        identities: Vec::new(),
        body_error: None,
        tls: None,
        hello: None,
        signs: Signs::NONE,
        flags: Vec::new(),
    }
}
