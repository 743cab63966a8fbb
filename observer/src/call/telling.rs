//! Tells calls: completes them with what is known of their connection by then.

use std::sync::Arc;

use super::calls::Calls;
use super::client::{Origin, Resolved};
use super::open_calls::{Duplicate, OpenCall};
use super::secret;
use super::{ApiCall, Flag, Identity, IdentityKind, OpenCalls, Protocol, Role};
use crate::protocol::Marks;
use crate::stream::Conn;

/// Complete calls of one connection that wait for its addresses; those of a pipelining client.
const MOST_UNPLACED: usize = 32;
/// How long they wait: what a library with buffers of its own has written is sent in the same
/// turn of the program's event loop.
const UNPLACED_NS: u64 = 1_000_000_000;

impl Calls {
    /// More of a connection became known: its complete calls may have waited for it.
    pub fn placed(&mut self, conn: &Conn, open: &mut OpenCalls, out: &mut impl FnMut(ApiCall)) {
        if !conn.awaits() {
            self.tell_unplaced(conn, open, out);
        }
    }

    /// Tells complete calls that have waited too long.
    pub fn release_unplaced(
        &mut self,
        conn: &Conn,
        open: &mut OpenCalls,
        now_ns: u64,
        out: &mut impl FnMut(ApiCall),
    ) {
        let overdue = |call: &OpenCall| {
            let ended_ns = call
                .start_ns
                .saturating_add(call.call.duration_ns.unwrap_or(0));
            now_ns.saturating_sub(ended_ns) > UNPLACED_NS
        };
        if open.unplaced.front().is_some_and(overdue) {
            self.tell_unplaced(conn, open, out);
        }
    }

    /// Calls that wait for more of their connection, of all connections.
    pub const fn unplaced(&self) -> usize {
        self.unplaced
    }

    pub(super) fn tell_unplaced(
        &mut self,
        conn: &Conn,
        open: &mut OpenCalls,
        out: &mut impl FnMut(ApiCall),
    ) {
        while let Some(done) = open.unplaced.pop_front() {
            self.unplaced -= 1;
            self.open_bytes = self.open_bytes.saturating_sub(done.cost());
            self.tell_now(conn, open, done, out);
        }
    }

    /// Tells a call, unless it is better to wait for more of its connection.
    pub(super) fn tell(
        &mut self,
        conn: &Conn,
        open: &mut OpenCalls,
        mut done: OpenCall,
        out: &mut impl FnMut(ApiCall),
    ) {
        self.read(&mut done);
        if !conn.awaits() {
            self.tell_now(conn, open, done, out);
            return;
        }
        self.unplaced += 1;
        self.open_bytes += done.cost();
        open.unplaced.push_back(done);
        if open.unplaced.len() > MOST_UNPLACED {
            self.tell_unplaced(conn, open, out);
        }
    }

    /// Completes a call with what is known of the connection by now, and tells it.
    fn tell_now(
        &mut self,
        conn: &Conn,
        open: &mut OpenCalls,
        done: OpenCall,
        out: &mut impl FnMut(ApiCall),
    ) {
        let OpenCall {
            start_ns,
            mut call,
            request,
            response,
            origin,
            ..
        } = done;
        self.serve(conn, open, call.role);
        let Conn {
            flow,
            tls,
            hello,
            process,
            label,
            joined,
            ..
        } = conn;
        if let (Role::Client, false, Some(flow)) = (call.role, self.both_sides, flow) {
            let end_ns = start_ns.saturating_add(call.duration_ns.unwrap_or(0));
            if self.local_pairs.serves(flow, end_ns) {
                self.counts.duplicates += 1;
                if open.duplicate == Duplicate::No {
                    open.duplicate = Duplicate::Found;
                }
                return;
            }
        }
        if let Some(flow) = flow {
            (call.client, call.server) = match call.role {
                Role::Server => (Some(flow.remote), Some(flow.local)),
                Role::Client => (Some(flow.local), Some(flow.remote)),
            };
        }
        let (mut ignored, mut spoofed) = (false, false);
        if call.role == Role::Server {
            let mut proxied = open.proxied.as_deref().copied();
            if let (None, true, Some(flow)) = (proxied, tls.is_some(), flow) {
                proxied = self.proxied.get(&(flow.local, flow.remote)).copied();
            }
            if origin.is_some() || proxied.is_some() || self.trusted.any() {
                let found = Resolved::of(origin.as_deref(), call.client, proxied, &self.trusted);
                (ignored, spoofed) = (found.ignored, found.spoofed);
                // The peer counts as a proxy though it named nobody, or only a client of its own.
                if found.proxied {
                    call.peer = call.client;
                    call.client = found.client;
                }
                if let (true, Some(origin)) = (found.trusted, origin) {
                    vouch(&mut call, *origin);
                }
            }
        }
        let first_joined = *joined && !open.joined_told;
        open.joined_told = true;
        let ended = call.duration_ns.is_some();
        let both = |mark: Marks| request.has(mark) || response.has(mark);
        // In the order of the words, so that the list is sorted.
        for (flag, set) in [
            (Flag::RequestCut, request.has(Marks::CUT)),
            (
                Flag::ResponseCut,
                response.has(Marks::CUT) || !ended && call.status.is_some(),
            ),
            (
                Flag::NoResponse,
                call.status.is_none()
                    && !response.has(Marks::UNKNOWN)
                    && !(ended && call.protocol == Protocol::Http09),
            ),
            (Flag::Gap, both(Marks::GAP)),
            (Flag::Joined, first_joined),
            (Flag::Upgrade, both(Marks::UPGRADE)),
            (Flag::ConflictingLength, both(Marks::CONFLICT)),
            (Flag::LaxSyntax, both(Marks::LAX)),
            (Flag::Unbound, tls.is_some() && flow.is_none()),
            (Flag::HeaderFlood, both(Marks::FLOOD)),
            (Flag::UnknownFields, both(Marks::UNKNOWN)),
            (Flag::Reset, both(Marks::RESET)),
            (Flag::ForwardedIgnored, ignored),
            (Flag::SpoofedClient, spoofed),
        ] {
            if set {
                call.flags.push(flag);
            }
        }
        if let Some(error) = &mut call.body_error
            && let std::borrow::Cow::Owned(code) = secret::redact_text(&error.code)
        {
            error.code = code.into();
        }
        call.scheme = if tls.is_some() { "https" } else { "http" };
        call.tls.clone_from(tls);
        call.hello.clone_from(hello);
        call.process.clone_from(process);
        call.conn_label.clone_from(label);
        self.counts.calls += 1;
        self.counts.without_response += u64::from(call.status.is_none());
        out(*call);
    }
}

/// Puts the names that a trusted proxy vouches for before those that the request brought itself.
fn vouch(call: &mut ApiCall, origin: Origin) {
    let Origin {
        vouched,
        unverified,
        ..
    } = origin;
    let mut names: Vec<Arc<Identity>> = vouched;
    names.retain(|name| !(unverified && name.kind == IdentityKind::Certificate));
    if names.is_empty() {
        return;
    }
    names.append(&mut call.identities);
    call.identity = names.first().cloned();
    call.identities = names;
}
