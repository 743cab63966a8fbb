//! Feeds the lines of a transcript to a pipeline. A connection may take several of them.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use super::line::{ChunkLine, Content, Line};
use super::{Replayed, Wrong};
use crate::pipeline::{Output, Pipeline};
use crate::stream::{Bytes, ConnId, Direction, Flow, Input, Tls};

/// Connections that go on in later lines and are known at once; as many as a pipeline knows.
const MOST: usize = 65_536;

/// Connections that go on in later lines.
#[derive(Debug, Default)]
pub(super) struct OpenLines {
    open: HashMap<Arc<str>, Open>,
    order: VecDeque<(Arc<str>, ConnId)>,
}

/// How far a connection is.
#[derive(Clone, Copy, Debug)]
struct Open {
    conn: ConnId,
    time_ns: u64,
    inbound: u64,
    outbound: u64,
}

impl OpenLines {
    /// Replays one line; `conn` is what its connection is called if it is a new one.
    pub(super) fn replay(
        &mut self,
        text: &[u8],
        conn: ConnId,
        pipeline: &mut Pipeline,
        out: &mut impl FnMut(Output),
    ) -> Result<Replayed, Wrong> {
        let line = Line::parse(text.trim_ascii_end())?;
        let ends = line.ends()?;
        let mut timed = false;
        for (index, chunk) in line.chunks.iter().enumerate() {
            chunk.direction(index + 1)?;
            timed |= chunk.time_ns(index + 1)?.is_some();
        }
        let mut out = |output| match output {
            // Without times there is no duration, rather than one of zero.
            Output::Call(mut call) if !timed => {
                call.duration_ns = None;
                out(Output::Call(call));
            }
            output => out(output),
        };
        let id: Option<Arc<str>> = line.id.as_deref().map(Arc::from);
        let known = id.as_ref().and_then(|id| self.open.remove(id));
        // A place beyond the first byte says that the start was not seen.
        let start = u64::from(line.joined);
        let mut open = known.unwrap_or(Open {
            conn,
            time_ns: 0,
            inbound: start,
            outbound: start,
        });
        let conn = open.conn;
        if known.is_none() {
            if let Some(id) = &id {
                pipeline.set_label(conn, Arc::clone(id), &mut out);
            }
            if let Some(library) = &line.tls {
                let tls = Arc::new(Tls {
                    library: library.to_string(),
                    version: None,
                });
                pipeline.push(Input::Tls { conn, tls }, &mut out);
            }
            if let Some((client, server)) = ends {
                let (local, remote) = match line.at_client() {
                    true => (client, server),
                    false => (server, client),
                };
                let flow = Flow {
                    local,
                    remote,
                    link: None,
                };
                pipeline.push(Input::Peer { conn, flow }, &mut out);
            }
        }
        let mut result = Ok(());
        for (index, chunk) in line.chunks.iter().enumerate() {
            result = open.chunk(chunk, index + 1, line.at_client(), pipeline, &mut out);
            if result.is_err() {
                break;
            }
        }
        match id {
            Some(id) if line.more && result.is_ok() && self.open.len() < MOST => {
                if known.is_none() {
                    self.order.push_back((Arc::clone(&id), conn));
                }
                self.open.insert(id, open);
            }
            _ => open.close(pipeline, &mut out),
        }
        if self.order.len() > 2 * MOST {
            let open = &self.open;
            self.order
                .retain(|(id, conn)| open.get(id).is_some_and(|open| open.conn == *conn));
        }
        result.map(|()| Replayed {
            connections: u64::from(known.is_none()),
            chunks: line.chunks.len() as u64,
        })
    }

    /// Closes what is still open, oldest first.
    pub(super) fn finish(&mut self, pipeline: &mut Pipeline, out: &mut impl FnMut(Output)) {
        while let Some((id, conn)) = self.order.pop_front() {
            if self.open.get(&id).is_some_and(|open| open.conn == conn)
                && let Some(open) = self.open.remove(&id)
            {
                open.close(pipeline, out);
            }
        }
    }
}

impl Open {
    fn chunk(
        &mut self,
        chunk: &ChunkLine<'_>,
        number: usize,
        at_client: bool,
        pipeline: &mut Pipeline,
        out: &mut impl FnMut(Output),
    ) -> Result<(), Wrong> {
        let of_server = chunk.direction(number)?;
        let direction = match (of_server, at_client) {
            (direction, false) => direction,
            (Direction::Inbound, true) => Direction::Outbound,
            (Direction::Outbound, true) => Direction::Inbound,
        };
        let content = chunk.content(number)?;
        // Time never runs back within a connection.
        let time_ns = chunk
            .time_ns(number)?
            .unwrap_or(self.time_ns)
            .max(self.time_ns);
        self.time_ns = time_ns;
        let conn = self.conn;
        let at = match direction {
            Direction::Inbound => &mut self.inbound,
            Direction::Outbound => &mut self.outbound,
        };
        let offset = *at;
        let (bytes, len) = match &content {
            Content::Bytes(bytes) => (bytes.as_slice(), bytes.len() as u64),
            Content::Gap(len) => (&[][..], *len),
            Content::LeftOut(len) => {
                *at = at.saturating_add(*len);
                let left_out = Input::LeftOut {
                    conn,
                    time_ns,
                    direction,
                    offset,
                    len: *len,
                };
                pipeline.push(left_out, out);
                return Ok(());
            }
        };
        *at = at.saturating_add(len);
        let piece = Bytes {
            conn,
            time_ns,
            direction,
            offset,
            len,
            bytes,
            skips: None,
        };
        pipeline.push(Input::Bytes(piece), out);
        Ok(())
    }

    fn close(self, pipeline: &mut Pipeline, out: &mut impl FnMut(Output)) {
        let Self { conn, time_ns, .. } = self;
        pipeline.push(Input::Closed { conn, time_ns }, out);
    }
}
