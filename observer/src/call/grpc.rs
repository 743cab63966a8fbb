//! What gRPC says in paths and trailers (gRPC over HTTP/2).

use httparse::Header;

use super::{ApiCall, OperationKind, Protocol};

/// The operation of a path `/package.Service/Method`.
pub(super) fn operation(path: &str) -> Option<String> {
    let operation = path.strip_prefix('/')?;
    let (service, method) = operation.split_once('/')?;
    let whole = !service.is_empty() && !method.is_empty() && !method.contains('/');
    whole.then(|| operation.to_owned())
}

/// Fields of a response, or after it.
pub(super) fn answered(call: &mut ApiCall, fields: &[Header<'_>]) {
    if !matches!(call.protocol, Protocol::Http2 | Protocol::Grpc) {
        return;
    }
    let status = fields
        .iter()
        .find(|field| field.name == "grpc-status")
        .and_then(|field| std::str::from_utf8(field.value).ok()?.trim().parse().ok());
    let Some(status) = status else { return };
    call.grpc_status = Some(status);
    if call.protocol == Protocol::Http2 && call.request_messages.is_none() {
        // Only a gRPC server says so: the content type of the request was not seen.
        call.protocol = Protocol::Grpc;
        call.operation = operation(&call.path);
        call.operation_kind = call.operation.is_some().then_some(OperationKind::Grpc);
    }
}

#[cfg(test)]
mod tests {
    use super::operation;

    #[test]
    fn an_operation_is_service_and_method() {
        assert_eq!(operation("/a.v1.B/C").as_deref(), Some("a.v1.B/C"));
        for path in ["", "/", "/a", "/a/", "//b", "/a/b/c", "a/b"] {
            assert_eq!(operation(path), None, "{path}");
        }
    }
}
