//! Keeps the first parts of the bodies of calls under way, and reads them once they have ended.

use super::body::{Asked, Hint, Peek, read_answer, read_request, told_in_fields};
use super::grpc::connect_status;
use super::open_calls::{Bodies, OpenCall};
use super::{Calls, OPEN_LIMIT, OpenCalls, OperationKind, Protocol};
use crate::protocol::{BODY_PEEK, Content, ResponseHead};

/// Most of a compressed body that is decompressed, bytes.
const MAX_TEXT: usize = BODY_PEEK as usize;

impl Calls {
    /// The next part of a body.
    pub(super) fn content(&mut self, open: &mut OpenCalls, id: u64, request: bool, bytes: &[u8]) {
        let Some(call) = open.get(id) else { return };
        let Bodies {
            request: asks,
            asked,
            answer,
            told,
            ..
        } = &mut call.bodies;
        let (peek, content) = match (request, *answer) {
            (true, _) => (asked, *asks),
            (false, Some(content)) => (told, content),
            (false, None) => return,
        };
        let before = peek.as_ref().map_or(0, Peek::memory);
        if self.open_bytes.saturating_add(bytes.len()) > OPEN_LIMIT {
            self.counts.peeks_over_limit += 1;
            *peek = None;
        } else {
            peek.get_or_insert_with(|| Peek::new(content)).push(bytes);
        }
        let after = peek.as_ref().map_or(0, Peek::memory);
        self.open_bytes = self.open_bytes.saturating_sub(before).saturating_add(after);
    }

    /// The head of an answer came.
    pub(super) fn answered(&mut self, call: &mut OpenCall, head: &ResponseHead<'_>) {
        call.call.body_error = told_in_fields(head.fields).map(Box::new);
        let asked = call
            .call
            .operation_kind
            .is_some_and(|kind| kind != OperationKind::Grpc);
        let unread = call.bodies.asked.is_some();
        let failed = head.status.is_some_and(|status| status >= 400);
        if asked || unread || failed || call.call.login.is_some() {
            call.bodies.answer = Some(Content::of(head.fields));
        }
    }

    /// Nothing follows of the body of a request; `whole`: so many bytes, all of which were seen.
    pub(super) fn asked(&mut self, call: &mut OpenCall, whole: Option<u64>) {
        if call.bodies.hint.is_none() && call.bodies.asked.is_none() {
            return;
        }
        let before = call.cost();
        let OpenCall {
            call: told, bodies, ..
        } = call;
        let Bodies { hint, asked, .. } = bodies;
        if let Some(peek) = asked.take() {
            let hint = hint.take().map_or_else(Hint::default, |hint| *hint);
            let whole = whole == Some(peek.len());
            let Asked { operation, login } = read_request(hint, &peek, whole, MAX_TEXT);
            told.login = login;
            told.ask(operation);
        } else if let Some(hint) = hint.take() {
            told.ask(hint.without_body().operation);
        }
        self.open_bytes = self
            .open_bytes
            .saturating_sub(before)
            .saturating_add(call.cost());
    }

    /// Nothing follows of a call that was taken from those under way: reads what is left.
    pub(super) fn read(&mut self, call: &mut OpenCall) {
        let open_bytes = self.open_bytes;
        self.asked(call, None);
        self.open_bytes = open_bytes;
        let OpenCall {
            call: told, bodies, ..
        } = call;
        if let Some(peek) = bodies.told.take() {
            let login = told.login.is_some();
            let error = read_answer(&peek, told.operation_kind, login, told.status, MAX_TEXT);
            if let Some(error) = error {
                if told.protocol == Protocol::Connect && told.grpc_status.is_none() {
                    told.grpc_status = connect_status(error.code.as_bytes());
                }
                told.body_error = Some(Box::new(error));
            }
        }
    }
}
