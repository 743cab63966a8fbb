//! The first part of a body, read for what it names: an operation, a login, an error.
//!
//! Enters: pieces of bodies, in order, as long as nothing is missing. Leaves: names, codes and
//! the user name of a login. Never: anything else of a body, a password, a tree of what was
//! parsed, or more memory than the bound on the peek.

mod answer;
mod decode;
mod graphql;
mod json;
mod request;
mod xml;

pub(super) use answer::{read_answer, told_in_fields};
pub(super) use request::{Asked, Hint, read_request};

use crate::protocol::{Content, ContentKind};

/// Tells each text in JSON to which these keys lead.
pub(super) fn code_at<'a>(text: &'a [u8], keys: &[&str], tell: &mut impl FnMut(&'a [u8])) {
    json::walk(text, &mut |place, value| {
        if let (true, json::Value::Text(text)) = (place.is(keys), value) {
            tell(text);
        }
    });
}

/// The first part of one body.
pub(super) struct Peek {
    content: Content,
    bytes: Vec<u8>,
}

impl Peek {
    pub(super) fn new(content: Content) -> Self {
        Self {
            content,
            bytes: Vec::new(),
        }
    }

    /// Adds what comes next.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        if self.bytes.capacity() - self.bytes.len() < bytes.len() {
            // By hand, so that nothing is left behind in memory given back.
            let mut grown =
                Vec::with_capacity((self.bytes.len() + bytes.len()).next_power_of_two());
            if !self.bytes.is_empty() {
                grown.extend_from_slice(&self.bytes);
                self.bytes.fill(0);
            }
            self.bytes = grown;
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// Bytes kept.
    pub(super) fn len(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// Memory it takes besides itself, bytes.
    pub(super) fn memory(&self) -> usize {
        self.bytes.capacity()
    }

    /// The text, decompressed within `limit`, and what it is.
    fn text(&self, limit: usize) -> Option<(ContentKind, std::borrow::Cow<'_, [u8]>)> {
        let Self { content, bytes } = self;
        let text = decode::decode(content.coding, bytes, limit)?;
        let kind = match content.kind {
            ContentKind::Unlabelled => match text.trim_ascii_start() {
                [b'{' | b'[', ..] => ContentKind::Json,
                [b'<', ..] => ContentKind::Xml,
                _ => return None,
            },
            kind => kind,
        };
        Some((kind, text))
    }
}

impl std::fmt::Debug for Peek {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Peek")
            .field("content", &self.content)
            .field("bytes", &self.bytes.len())
            .finish()
    }
}

impl Drop for Peek {
    /// Bodies of logins hold passwords.
    fn drop(&mut self) {
        self.bytes.fill(0);
    }
}

#[cfg(test)]
mod tests;
