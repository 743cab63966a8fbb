//! What comes out of a connection that may be TLS.

use std::sync::Arc;

use crate::stream::{Chunk, Tls, TlsHello};

/// The next thing known of a connection.
#[derive(Debug)]
pub enum Opened<'a> {
    /// It is TLS, and its secrets are known.
    Tls {
        /// Where the bytes are from.
        tls: Arc<Tls>,
        /// What the hellos said.
        hello: Arc<TlsHello>,
    },
    /// The next piece: of what is inside TLS, or, if it cannot be opened, as it was.
    Chunk(Chunk<'a>),
}
