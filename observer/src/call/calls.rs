//! Builds calls from messages.

use std::net::SocketAddr;
use std::sync::Arc;

use super::body::Hint;
use super::caller::{Caller, Callers, Fingerprints};
use super::challenge::challenges;
use super::grpc;
use super::known_signs::KnownSigns;
use super::local_pairs::LocalPairs;
use super::open_calls::{Bodies, OpenCall};
use super::target::{self, Target};
use super::{
    ApiCall, Auth, AuthOutcome, CallCounts, OpenCalls, OperationKind, Protocol, Role,
    TrustedProxies, WebSocketCall, answer,
};
use crate::protocol::{Content, Marks, Message, RequestHead, ResponseHead, Rpc};
use crate::recent::Recent;
use crate::stream::{Conn, Direction};

/// Memory for calls under way on all connections together, bytes: 50,000 of usual size.
pub const OPEN_LIMIT: usize = 32 << 20;

/// Connections whose opening named a client, of which the ones used last are remembered.
const PROXIED: usize = 8192;

/// What the calls of all connections share.
#[derive(Debug)]
pub struct Calls {
    /// Counters.
    pub counts: CallCounts,
    /// Unix time minus monotonic time, nanoseconds.
    pub clock_offset_ns: i64,
    /// Tell calls of both sides where both ends of a connection are on this host.
    pub both_sides: bool,
    /// Memory of calls under way, bytes.
    pub(super) open_bytes: usize,
    /// Calls that wait for more of their connection.
    pub(super) unplaced: usize,
    pub(super) local_pairs: LocalPairs,
    callers: Callers,
    signs: KnownSigns,
    /// Keys of queries whose values are told.
    shown_query_values: Arc<[Box<str>]>,
    pub(super) trusted: Arc<TrustedProxies>,
    /// Clients that the openings of TLS connections name, by the ends of the connection: the
    /// plaintext comes from the library, which is not shown the opening.
    pub(super) proxied: Recent<(SocketAddr, SocketAddr), SocketAddr>,
}

impl Calls {
    /// No calls yet.
    pub fn new(clock_offset_ns: i64, both_sides: bool) -> Self {
        Self {
            counts: CallCounts::default(),
            clock_offset_ns,
            both_sides,
            open_bytes: 0,
            unplaced: 0,
            local_pairs: LocalPairs::default(),
            callers: Callers::new(Fingerprints::of_this_run()),
            signs: KnownSigns::new(),
            shown_query_values: Arc::default(),
            trusted: Arc::default(),
            proxied: Recent::new(PROXIED),
        }
    }

    /// Makes the fingerprints of credentials with these keys from now on.
    pub fn set_fingerprints(&mut self, fingerprints: Fingerprints) {
        self.callers = Callers::new(fingerprints);
        self.callers.set_trusted(Arc::clone(&self.trusted));
    }

    /// Believes these proxies when they name clients and users.
    pub fn trust(&mut self, trusted: Arc<TrustedProxies>) {
        self.callers.set_trusted(Arc::clone(&trusted));
        self.trusted = trusted;
    }

    /// Tells the values of these keys of queries, unless they look like secrets.
    pub fn show_query_values(&mut self, keys: Arc<[Box<str>]>) {
        self.shown_query_values = keys;
    }

    /// Memory of calls under way, bytes.
    pub fn open_bytes(&self) -> usize {
        self.open_bytes
    }

    /// Takes the next message of a connection.
    pub fn push(
        &mut self,
        conn: &Conn,
        open: &mut OpenCalls,
        message: &Message<'_>,
        out: &mut impl FnMut(ApiCall),
    ) {
        match *message {
            Message::Request(head) => self.request(conn, open, &head, out),
            Message::RequestEnd {
                id,
                body_bytes,
                marks,
            } => {
                if let Some(open) = open.get(id) {
                    open.call.request_bytes = body_bytes;
                    open.request.add(marks);
                    self.asked(open, Some(body_bytes));
                }
            }
            Message::Content { id, request, bytes } => self.content(open, id, request, bytes),
            Message::Response(head) => {
                let ResponseHead {
                    id,
                    status,
                    fields,
                    marks,
                } = head;
                if let Some(open) = open.get(id) {
                    self.answered(open, &head);
                    open.call.status = status;
                    open.call.auth.challenged = challenges(fields);
                    open.call.signs |= answer::signs(fields);
                    grpc::answered(&mut open.call, fields);
                    open.response.add(marks);
                }
            }
            Message::Trailers { id, fields } => {
                if let Some(open) = open.get(id) {
                    grpc::answered(&mut open.call, fields);
                }
            }
            Message::Messages {
                id,
                requests,
                responses,
            } => {
                if let Some(open) = open.get(id) {
                    let call = &mut open.call;
                    call.request_messages = requests.or(call.request_messages);
                    call.response_messages = responses.or(call.response_messages);
                }
            }
            Message::WebSocket { id, client, server } => {
                if let Some(open) = open.get(id) {
                    open.call.request_messages = (!client.lost).then_some(client.messages);
                    open.call.response_messages = (!server.lost).then_some(server.messages);
                    open.call.websocket = Some(Box::new(WebSocketCall {
                        client_frames: client.frames,
                        server_frames: server.frames,
                        close_code: client.close_code.or(server.close_code),
                    }));
                }
            }
            Message::ResponseEnd {
                id,
                time_ns,
                body_bytes,
                marks,
                request_body_so_far,
            } => {
                let Some(mut done) = self.take(open, id) else {
                    return;
                };
                done.call.response_bytes = body_bytes;
                done.call.duration_ns = Some(time_ns.saturating_sub(done.start_ns));
                if let Some(body) = request_body_so_far {
                    done.call.request_bytes = body;
                }
                done.response.add(marks);
                self.tell(conn, open, done, out);
            }
            Message::Unanswered {
                id,
                lost,
                request_body_so_far,
            } => {
                let Some(mut done) = self.take(open, id) else {
                    return;
                };
                if let Some(body) = request_body_so_far {
                    done.call.request_bytes = body;
                }
                if lost {
                    done.response.add(Marks::GAP);
                }
                self.tell(conn, open, done, out);
            }
            Message::Proxied { client } => {
                if let Some(flow) = &conn.flow {
                    self.proxied.insert((flow.local, flow.remote), client);
                }
                open.proxied = Some(Box::new(client));
            }
            Message::Skip { .. } | Message::Disputed | Message::Passed(_) | Message::Verdict(_) => {
            }
        }
    }

    /// The connection is gone, and so is whatever is still open on it.
    pub fn close(
        &mut self,
        conn: &Conn,
        open: &mut OpenCalls,
        now_ns: u64,
        out: &mut impl FnMut(ApiCall),
    ) {
        while let Some(left) = open.queue.pop_front() {
            self.open_bytes = self.open_bytes.saturating_sub(left.cost());
            self.tell(conn, open, left, out);
        }
        self.tell_unplaced(conn, open, out);
        if let (true, Some(flow)) = (open.served, &conn.flow) {
            self.local_pairs.closed(flow, now_ns);
        }
    }

    fn take(&mut self, open: &mut OpenCalls, id: u64) -> Option<OpenCall> {
        let done = open.take(id)?;
        self.open_bytes = self.open_bytes.saturating_sub(done.cost());
        Some(done)
    }

    fn request(
        &mut self,
        conn: &Conn,
        open: &mut OpenCalls,
        head: &RequestHead<'_>,
        out: &mut impl FnMut(ApiCall),
    ) {
        let RequestHead {
            id,
            time_ns,
            direction,
            version,
            rpc,
            method,
            target,
            authority,
            fields,
            marks,
        } = *head;
        let field = |name: &str| {
            let found = fields
                .iter()
                .find(|field| field.name.eq_ignore_ascii_case(name));
            found.map(|field| field.value)
        };
        let (of_target, path, cut) = self.signs.of_target(method, target);
        let of_fields = self.signs.of_fields(field("user-agent"), field("referer"));
        let signs = of_target | of_fields;
        let target = Target::of(method, target);
        let Caller {
            host,
            scheme,
            identities,
            origin,
        } = self.callers.read(fields, target.query);
        let role = match direction {
            Direction::Inbound => Role::Server,
            Direction::Outbound => Role::Client,
        };
        let mut truncated = 0;
        let mut keep = |(text, cut): (&str, bool)| {
            truncated += u64::from(cut);
            text.to_owned()
        };
        let method = keep(target::bounded(method, target::MAX_METHOD));
        let host = target
            .authority
            .or_else(|| authority.or(host).and_then(target::host));
        let host = host.map(|host| keep(target::bounded(host, target::MAX_HOST)));
        truncated += u64::from(cut);
        let asked_in = target.query;
        let query = target.query.map(|query| {
            let (query, cut) = target::query(query, &self.shown_query_values);
            truncated += u64::from(cut);
            query
        });
        self.counts.truncated += truncated;
        let protocol = match version {
            0 => Protocol::Http10,
            9 => Protocol::Http09,
            1 => Protocol::Http11,
            _ if rpc == Some(Rpc::Grpc) => Protocol::Grpc,
            _ => Protocol::Http2,
        };
        let protocol = match rpc {
            Some(Rpc::Web | Rpc::WebText) => Protocol::GrpcWeb,
            Some(Rpc::ConnectStream | Rpc::ConnectUnary) => Protocol::Connect,
            _ => protocol,
        };
        let operation = match protocol {
            Protocol::Grpc | Protocol::GrpcWeb | Protocol::Connect => grpc::operation(&path),
            _ => None,
        };
        let operation_kind = operation.is_some().then_some(OperationKind::Grpc);
        let hint = Hint::of(&method, &path, asked_in, fields);
        let call = ApiCall {
            time_unix_ns: time_ns.saturating_add_signed(self.clock_offset_ns),
            conn: conn.id,
            conn_label: None,
            role,
            protocol,
            scheme: "http",
            method,
            host,
            path,
            query,
            route: None,
            service: None,
            operation,
            operation_kind,
            operations: None,
            login: None,
            status: None,
            grpc_status: None,
            grpc_message: None,
            duration_ns: None,
            request_bytes: 0,
            response_bytes: 0,
            request_messages: None,
            response_messages: None,
            client: None,
            peer: None,
            server: None,
            websocket: None,
            process: None,
            auth: Auth {
                scheme,
                outcome: AuthOutcome::Unknown,
                challenged: false,
            },
            identity: identities.first().cloned(),
            identities,
            body_error: None,
            tls: None,
            hello: None,
            signs,
            flags: Vec::new(),
        };
        let new = OpenCall {
            id,
            start_ns: time_ns,
            call: Box::new(call),
            request: marks,
            response: Marks::NONE,
            bodies: Bodies {
                hint,
                request: Content::of(fields),
                ..Bodies::default()
            },
            origin,
        };
        self.serve(conn, open, role);
        let cost = new.cost();
        if self.open_bytes.saturating_add(cost) > OPEN_LIMIT {
            self.counts.open_over_limit += 1;
            self.tell(conn, open, new, out);
            return;
        }
        self.open_bytes += cost;
        open.push(new);
    }

    /// Remembers a connection whose server side is seen, once its addresses are known.
    pub(super) fn serve(&mut self, conn: &Conn, open: &mut OpenCalls, role: Role) {
        if role == Role::Server
            && !open.served
            && let Some(flow) = &conn.flow
        {
            open.served = true;
            self.local_pairs.served(flow);
        }
    }
}
