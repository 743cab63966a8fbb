//! Small words to write traffic with.

use std::net::SocketAddr;

use crate::call::ApiCall;
use crate::pipeline::{Output, Pipeline, PipelineSettings};
use crate::protocol::Verdict;
use crate::stream::{Bytes, ConnId, Direction, Flow, Input, Position, Segment};

pub use Direction::{Inbound, Outbound};

pub const MS: u64 = 1_000_000;
pub const CONN: ConnId = ConnId(7);

pub fn flow() -> Flow {
    Flow {
        local: SocketAddr::from(([10, 0, 0, 1], 80)),
        remote: SocketAddr::from(([10, 0, 0, 2], 5000)),
        link: None,
    }
}

/// A pipeline and all that came out of it.
pub struct Run {
    pub pipeline: Pipeline,
    pub outputs: Vec<Output>,
    pub now_ns: u64,
    offsets: [u64; 2],
    pub seqs: [u32; 2],
}

impl Default for Run {
    fn default() -> Self {
        Self::with_settings(PipelineSettings::default())
    }
}

impl Run {
    pub fn with_settings(settings: PipelineSettings) -> Self {
        Self {
            pipeline: Pipeline::new(settings),
            outputs: Vec::new(),
            now_ns: 0,
            offsets: [0; 2],
            seqs: [1000, 9000],
        }
    }

    pub fn input(&mut self, input: Input<'_>) {
        let outputs = &mut self.outputs;
        self.pipeline
            .push(input, &mut |output| outputs.push(output));
    }

    pub fn tick(&mut self, now_ns: u64) {
        let outputs = &mut self.outputs;
        self.now_ns = now_ns;
        self.pipeline
            .tick(now_ns, &mut |output| outputs.push(output));
    }

    /// Bytes of an offset stream, one millisecond after the last.
    pub fn bytes(&mut self, direction: Direction, bytes: &[u8]) -> &mut Self {
        self.piece(direction, bytes, bytes.len() as u64)
    }

    pub fn gap(&mut self, direction: Direction, len: u64) -> &mut Self {
        self.offsets[direction as usize] += len;
        self
    }

    pub fn piece(&mut self, direction: Direction, bytes: &[u8], len: u64) -> &mut Self {
        self.now_ns += MS;
        let offset = self.offsets[direction as usize];
        self.offsets[direction as usize] += len;
        let time_ns = self.now_ns;
        self.input(Input::Bytes(Bytes {
            conn: CONN,
            time_ns,
            direction,
            offset,
            len,
            bytes,
            skips: None,
        }));
        self
    }

    /// Opens a TCP connection.
    pub fn open(&mut self) -> &mut Self {
        for direction in [Inbound, Outbound] {
            let seq = self.seqs[direction as usize] - 1;
            self.segment(Segment {
                syn: true,
                ..segment(direction, self.now_ns, seq, 0)
            });
        }
        self
    }

    /// The next bytes of a TCP stream.
    pub fn tcp(&mut self, direction: Direction, bytes: &[u8]) -> &mut Self {
        let seq = self.seqs[direction as usize];
        self.seqs[direction as usize] = seq.wrapping_add(bytes.len() as u32);
        self.now_ns += MS;
        self.segment(Segment {
            bytes,
            ..segment(direction, self.now_ns, seq, bytes.len() as u32)
        })
    }

    /// The next bytes of a TCP stream, which the observer never sees.
    pub fn lost(&mut self, direction: Direction, len: usize) -> &mut Self {
        self.now_ns += MS;
        self.seqs[direction as usize] = self.seqs[direction as usize].wrapping_add(len as u32);
        self
    }

    pub fn segment(&mut self, segment: Segment<'_>) -> &mut Self {
        self.input(Input::Segment(segment));
        self
    }

    pub fn close(&mut self) -> &mut Self {
        self.now_ns += MS;
        self.input(Input::Closed {
            conn: CONN,
            time_ns: self.now_ns,
        });
        self
    }

    pub fn calls(&self) -> Vec<&ApiCall> {
        self.outputs
            .iter()
            .filter_map(|output| match output {
                Output::Call(call) => Some(call),
                _ => None,
            })
            .collect()
    }

    pub fn verdicts(&self) -> Vec<Verdict> {
        self.outputs
            .iter()
            .filter_map(|output| match output {
                Output::Verdict { verdict, .. } => Some(*verdict),
                _ => None,
            })
            .collect()
    }

    pub fn skips(&self) -> Vec<(Direction, Position)> {
        self.outputs
            .iter()
            .filter_map(|output| match output {
                Output::Skip {
                    direction, until, ..
                } => Some((*direction, *until)),
                _ => None,
            })
            .collect()
    }

    /// How often the capture was told to leave out nothing by itself.
    pub fn disputes(&self) -> usize {
        let disputed = |output: &&Output| matches!(output, Output::Disputed { .. });
        self.outputs.iter().filter(disputed).count()
    }

    /// Every call in one line: method, path, status, body sizes, flags.
    pub fn lines(&self) -> Vec<String> {
        self.calls().into_iter().map(line).collect()
    }

    /// Nothing is kept once everything is closed.
    pub fn assert_empty(&mut self) {
        let outputs = &mut self.outputs;
        self.pipeline
            .finish(self.now_ns, &mut |output| outputs.push(output));
        assert_eq!(self.pipeline.buffered_bytes(), 0);
        assert_eq!(self.pipeline.connections(), 0);
    }
}

pub fn segment(direction: Direction, time_ns: u64, seq: u32, len: u32) -> Segment<'static> {
    Segment {
        conn: CONN,
        time_ns,
        direction,
        seq,
        syn: false,
        fin: false,
        rst: false,
        len,
        bytes: &[],
        flow: flow(),
        from_start: true,
        skips: None,
    }
}

pub fn line(call: &ApiCall) -> String {
    let ApiCall {
        method,
        path,
        status,
        request_bytes,
        response_bytes,
        flags,
        ..
    } = call;
    let status = status.map_or("-".to_owned(), |status| status.to_string());
    let flags: Vec<_> = flags.iter().map(|flag| flag.as_str()).collect();
    format!(
        "{method} {path} {status} {request_bytes} {response_bytes} {}",
        flags.join(",")
    )
    .trim_end()
    .to_owned()
}

/// A response with a body of so many bytes.
pub fn ok(len: usize) -> Vec<u8> {
    let mut response = format!("HTTP/1.1 200 OK\r\nContent-Length: {len}\r\n\r\n").into_bytes();
    response.resize(response.len() + len, b'x');
    response
}

pub fn get(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: api.example\r\n\r\n").into_bytes()
}
