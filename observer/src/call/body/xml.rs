//! Walks over XML 1.0, whole or cut off. Tags and text only: no entity is resolved, no document
//! type read, no namespace checked beyond the text of its declaration.

use std::borrow::Cow;

use memchr::{memchr, memmem};

/// Elements of a path that are kept; the fault code of XML-RPC is seven deep.
const KEPT: usize = 8;

/// A part of a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Token<'a> {
    /// A start tag.
    Start {
        /// Name, with its prefix.
        name: &'a [u8],
        /// What stands between the name and the end of the tag.
        attributes: &'a [u8],
        /// The element is empty and ends with this tag.
        empty: bool,
    },
    /// An end tag.
    End,
    /// Text that is not blank, as sent.
    Text(&'a [u8]),
}

/// The name without its prefix.
pub(super) fn local(name: &[u8]) -> &[u8] {
    match memchr(b':', name) {
        Some(at) => name.get(at + 1..).unwrap_or_default(),
        None => name,
    }
}

/// Turns UTF-16 with a mark of its order into single bytes; names and codes are ASCII.
pub(super) fn narrow(bytes: &[u8]) -> Cow<'_, [u8]> {
    let (units, little) = match bytes {
        [0xff, 0xfe, rest @ ..] => (rest, true),
        [0xfe, 0xff, rest @ ..] => (rest, false),
        _ => return Cow::Borrowed(bytes),
    };
    let (units, _) = units.as_chunks::<2>();
    let narrow = |unit: &[u8; 2]| match (*unit, little) {
        ([low, 0], true) | ([0, low], false) => low,
        _ => b'?',
    };
    Cow::Owned(units.iter().map(narrow).collect())
}

/// Reads token after token.
#[derive(Debug)]
pub(super) struct Tokens<'a> {
    rest: &'a [u8],
}

impl<'a> Tokens<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    fn pass(&mut self, end: &[u8]) -> Option<&'a [u8]> {
        let at = memmem::find(self.rest, end)?;
        let passed = self.rest.get(..at);
        self.rest = self.rest.get(at + end.len()..)?;
        passed
    }

    /// The end of the tag that starts here: the first `>` outside quotes.
    fn tag(&mut self) -> Option<&'a [u8]> {
        let mut quote = None;
        let end = self.rest.iter().position(|&byte| {
            match quote {
                Some(open) if byte == open => quote = None,
                None if byte == b'"' || byte == b'\'' => quote = Some(byte),
                _ => {}
            }
            quote.is_none() && byte == b'>'
        })?;
        let tag = self.rest.get(..end);
        self.rest = self.rest.get(end + 1..)?;
        tag
    }

    /// Passes over a document type with what it declares.
    fn document_type(&mut self) -> Option<()> {
        let end = memchr(b'>', self.rest)?;
        let subset = memchr(b'[', self.rest.get(..end)?);
        if subset.is_some() {
            self.pass(b"]")?;
        }
        self.pass(b">").map(|_| ())
    }
}

impl<'a> Iterator for Tokens<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        loop {
            let text_end = memchr(b'<', self.rest)?;
            let text = self.rest.get(..text_end)?.trim_ascii();
            self.rest = self.rest.get(text_end..)?;
            if !text.is_empty() {
                return Some(Token::Text(text));
            }
            if self.rest.starts_with(b"<!--") {
                self.rest = self.rest.get(4..)?;
                self.pass(b"-->")?;
            } else if self.rest.starts_with(b"<![CDATA[") {
                self.rest = self.rest.get(9..)?;
                let text = self.pass(b"]]>")?.trim_ascii();
                if !text.is_empty() {
                    return Some(Token::Text(text));
                }
            } else if self.rest.starts_with(b"<?") {
                self.pass(b"?>")?;
            } else if self.rest.starts_with(b"<!") {
                self.document_type()?;
            } else if self.rest.starts_with(b"</") {
                self.pass(b">")?;
                return Some(Token::End);
            } else {
                self.rest = self.rest.get(1..)?;
                let tag = self.tag()?;
                let empty = tag.last() == Some(&b'/');
                let tag = tag.strip_suffix(b"/").unwrap_or(tag);
                let end = tag.iter().position(u8::is_ascii_whitespace);
                let (name, attributes) = tag.split_at(end.unwrap_or(tag.len()));
                return Some(Token::Start {
                    name,
                    attributes,
                    empty,
                });
            }
        }
    }
}

/// Elements and texts with the path that leads to them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Path<'a> {
    names: [&'a [u8]; KEPT],
    len: usize,
}

impl<'a> Path<'a> {
    /// The local names are these, outermost first.
    pub(super) fn is(&self, names: &[&str]) -> bool {
        self.len == names.len()
            && self
                .names
                .iter()
                .zip(names)
                .all(|(own, name)| local(own) == name.as_bytes())
    }

    /// Number of elements.
    pub(super) fn depth(&self) -> usize {
        self.len
    }

    /// Local name of an element of the path, from 0.
    pub(super) fn name(&self, at: usize) -> &'a [u8] {
        let kept = self.names.get(at).filter(|_| at < self.len);
        kept.map_or(&[], |name| local(name))
    }

    /// Local name of the innermost element.
    pub(super) fn last(&self) -> &'a [u8] {
        self.len.checked_sub(1).map_or(&[], |at| self.name(at))
    }
}

/// Walks over a document, telling each element as it starts (`None`) and each text in it. Ends
/// where the root element does, where the text ends, or when told to by `false`.
pub(super) fn walk<'a>(
    bytes: &'a [u8],
    tell: &mut impl FnMut(&Path<'a>, &'a [u8], Option<&'a [u8]>) -> bool,
) {
    let mut path = Path {
        names: [&[]; KEPT],
        len: 0,
    };
    for token in Tokens::new(bytes) {
        match token {
            Token::Start {
                name,
                attributes,
                empty,
            } => {
                if let Some(kept) = path.names.get_mut(path.len) {
                    *kept = name;
                }
                path.len += 1;
                if !tell(&path, attributes, None) {
                    return;
                }
                path.len -= usize::from(empty);
            }
            Token::Text(text) => {
                if path.len > 0 && !tell(&path, &[], Some(text)) {
                    return;
                }
            }
            Token::End => path.len = path.len.saturating_sub(1),
        }
        if path.len == 0 && !matches!(token, Token::Text(_)) {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn told(text: &[u8]) -> Vec<String> {
        let mut told = Vec::new();
        walk(text, &mut |path, _, text| {
            let names: Vec<_> = (0..path.depth().min(8))
                .map(|at| String::from_utf8_lossy(path.name(at)))
                .collect();
            let text = text.map_or(String::new(), |text| {
                format!("={}", String::from_utf8_lossy(text))
            });
            told.push(format!("{}{text}", names.join("/")));
            true
        });
        told
    }

    #[test]
    fn elements_and_texts_are_told_and_all_else_is_passed_over() {
        let text = b"<?xml version='1.0'?><!DOCTYPE a [<!ENTITY x \"y\">]><!-- <no/> -->\
            <s:a xmlns:s='u>v'><b/><c d=\"e/>\">f<![CDATA[<g>]]></c></s:a><after/>";
        assert_eq!(told(text), ["a", "a/b", "a/c", "a/c=f", "a/c=<g>"]);
    }

    #[test]
    fn wide_characters_are_narrowed() {
        let wide: Vec<u8> = "\u{feff}<a>é€</a>"
            .encode_utf16()
            .flat_map(u16::to_le_bytes)
            .collect();
        assert_eq!(&*narrow(&wide), b"<a>\xe9?</a>");
    }

    proptest! {
        #[test]
        fn any_text_ends(text in "[<>/!?a-c:'\" \\[\\]-]{0,200}") {
            prop_assert!(told(text.as_bytes()).len() <= text.len());
        }
    }
}
