//! One header field.

use std::fmt;

/// A field as decoded; what is `None` refers to a table entry that was not seen.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Field<'a> {
    /// Name, pseudo-header fields with their colon.
    pub name: Option<&'a [u8]>,
    /// Value.
    pub value: Option<&'a [u8]>,
}

impl fmt::Debug for Field<'_> {
    /// Without the value, which may be a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, value } = self;
        f.debug_struct("Field")
            .field("name", &name.map(|name| name.escape_ascii().to_string()))
            .field("value_len", &value.map(<[u8]>::len))
            .finish()
    }
}
