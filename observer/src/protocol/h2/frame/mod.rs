//! Frames (RFC 9113 §4, §6): bytes in, frames by reference out.
//!
//! Enters: a frame head and its whole payload. Leaves: a [`Frame`]. Never: a copy, a state.

mod continuation;
mod data;
mod error;
mod goaway;
mod head;
mod headers;
mod padding;
mod ping;
mod priority;
mod push_promise;
mod rst_stream;
mod settings;
mod window_update;

pub use continuation::Continuation;
pub use data::Data;
pub use error::FrameError;
pub use goaway::GoAway;
pub use head::{FrameHead, FrameKind, HEAD_LEN};
pub use headers::Headers;
pub use ping::Ping;
pub use priority::{Dependency, Priority};
pub use push_promise::PushPromise;
pub use rst_stream::RstStream;
pub use settings::Settings;
pub use window_update::WindowUpdate;

/// One frame.
#[derive(Clone, Copy, Debug)]
pub enum Frame<'a> {
    /// §6.1.
    Data(Data<'a>),
    /// §6.2.
    Headers(Headers<'a>),
    /// §6.3.
    Priority(Priority),
    /// §6.4.
    RstStream(RstStream),
    /// §6.5.
    Settings(Settings<'a>),
    /// §6.6.
    PushPromise(PushPromise<'a>),
    /// §6.7.
    Ping(Ping),
    /// §6.8.
    GoAway(GoAway<'a>),
    /// §6.9.
    WindowUpdate(WindowUpdate),
    /// §6.10.
    Continuation(Continuation<'a>),
    /// A type that is passed over (§5.5).
    Unknown,
}

impl<'a> Frame<'a> {
    /// Reads a frame whose payload is complete.
    ///
    /// # Errors
    /// [`FrameError`], where the frame breaks the rules of its type.
    pub fn parse(head: &FrameHead, payload: &'a [u8]) -> Result<Self, FrameError> {
        Ok(match head.kind {
            FrameKind::Data => Self::Data(Data::parse(head, payload)?),
            FrameKind::Headers => Self::Headers(Headers::parse(head, payload)?),
            FrameKind::Priority => Self::Priority(Priority::parse(head, payload)?),
            FrameKind::RstStream => Self::RstStream(RstStream::parse(head, payload)?),
            FrameKind::Settings => Self::Settings(Settings::parse(head, payload)?),
            FrameKind::PushPromise => Self::PushPromise(PushPromise::parse(head, payload)?),
            FrameKind::Ping => Self::Ping(Ping::parse(head, payload)?),
            FrameKind::GoAway => Self::GoAway(GoAway::parse(head, payload)?),
            FrameKind::WindowUpdate => Self::WindowUpdate(WindowUpdate::parse(head, payload)?),
            FrameKind::Continuation => Self::Continuation(Continuation::parse(head, payload)?),
            FrameKind::Unknown(_) => Self::Unknown,
        })
    }
}

/// Takes a 32-bit number from the front.
fn word(bytes: &mut &[u8]) -> Result<u32, FrameError> {
    let (word, rest) = bytes.split_first_chunk::<4>().ok_or(FrameError::Size)?;
    *bytes = rest;
    Ok(u32::from_be_bytes(*word))
}

/// The frame is of a stream.
fn on_stream(head: &FrameHead) -> Result<u32, FrameError> {
    if head.stream == 0 {
        return Err(FrameError::Protocol);
    }
    Ok(head.stream)
}

/// The frame is of the connection.
fn on_connection(head: &FrameHead) -> Result<(), FrameError> {
    if head.stream != 0 {
        return Err(FrameError::Protocol);
    }
    Ok(())
}
