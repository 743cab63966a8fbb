//! Walks over JSON (RFC 8259), whole or cut off, and tells values with the keys that lead to them.
//!
//! No tree is built: a body is the sender's to choose, and only a few values of it matter.

use std::borrow::Cow;

/// Keys of a path that are kept; values deeper down are told without their path.
const KEPT: usize = 4;

/// Deepest nesting followed. Honest messages stay far below; the bits of one word say at each
/// level whether it is an object.
const MAX_DEPTH: usize = 120;

/// A value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Value<'a> {
    /// A string, between its quotes, as sent.
    Text(&'a [u8]),
    /// A number, as sent.
    Number(&'a [u8]),
    Bool(bool),
    Null,
    /// An object begins.
    Object,
    /// An array begins.
    Array,
}

/// Where a value stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place<'a> {
    /// Keys that lead to it, outermost first, as sent; arrays add none.
    keys: [&'a [u8]; KEPT],
    len: usize,
    /// Number of the element, if the outermost value is an array.
    pub item: u32,
}

impl Place<'_> {
    /// The keys are these.
    pub(super) fn is(&self, keys: &[&str]) -> bool {
        self.len == keys.len()
            && self
                .keys
                .iter()
                .zip(keys)
                .all(|(own, key)| *own == key.as_bytes())
    }

    /// The only key, or else none.
    pub(super) fn only(&self) -> &[u8] {
        match self.len {
            1 => self.keys.first().copied().unwrap_or_default(),
            _ => &[],
        }
    }

    /// The last key.
    pub(super) fn last(&self) -> &[u8] {
        let last = self.len.checked_sub(1);
        last.and_then(|at| self.keys.get(at))
            .copied()
            .unwrap_or_default()
    }

    /// Number of keys.
    pub(super) fn depth(&self) -> usize {
        self.len
    }
}

struct Walk<'a> {
    bytes: &'a [u8],
    at: usize,
    /// At each level, whether it is an object.
    objects: u128,
    depth: usize,
    /// How many of the levels are objects.
    keyed: usize,
    keys: [&'a [u8]; KEPT],
    item: u32,
    items: bool,
}

/// What became of a value.
enum Step {
    /// It is complete.
    Whole,
    /// It is an object or array, and its content follows.
    Opened,
    /// The text ends in it.
    Cut,
}

/// Tells every value in order; `false` if the text is no JSON. What is cut off is no fault.
pub(super) fn walk<'a>(bytes: &'a [u8], tell: &mut impl FnMut(&Place<'a>, Value<'a>)) -> bool {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let mut walk = Walk {
        bytes,
        at: 0,
        objects: 0,
        depth: 0,
        keyed: 0,
        keys: [&[]; KEPT],
        item: 0,
        items: false,
    };
    walk.run(tell).is_some()
}

impl<'a> Walk<'a> {
    fn peek(&mut self) -> Option<u8> {
        let rest = self.bytes.get(self.at..)?;
        let blanks = rest.iter().take_while(|byte| byte.is_ascii_whitespace());
        self.at += blanks.count();
        self.bytes.get(self.at).copied()
    }

    fn in_object(&self) -> bool {
        self.objects & 1 == 1
    }

    /// `None`: no JSON. The end of the text ends the walk whatever is open.
    fn run(&mut self, tell: &mut impl FnMut(&Place<'a>, Value<'a>)) -> Option<()> {
        let mut first = true;
        loop {
            let Some(byte) = self.peek() else {
                return (!first).then_some(());
            };
            first = false;
            if matches!(byte, b'}' | b']') && self.depth > 0 {
                // Of an empty object or array.
                self.close(byte)?;
            } else {
                if self.in_object() && !self.key()? {
                    return Some(());
                }
                match self.value(tell)? {
                    Step::Cut => return Some(()),
                    Step::Opened => continue,
                    Step::Whole => {}
                }
            }
            // After a value: what closes, or the next one.
            loop {
                if self.depth == 0 {
                    return Some(());
                }
                match self.peek() {
                    None => return Some(()),
                    Some(close @ (b'}' | b']')) => self.close(close)?,
                    Some(b',') => {
                        self.at += 1;
                        if self.depth == 1 && self.items {
                            self.item = self.item.saturating_add(1);
                        }
                        break;
                    }
                    Some(_) => return None,
                }
            }
        }
    }

    fn open(&mut self, object: bool) -> Option<()> {
        if self.depth >= MAX_DEPTH {
            return None;
        }
        self.items |= self.depth == 0 && !object;
        self.depth += 1;
        self.objects = self.objects << 1 | u128::from(object);
        self.keyed += usize::from(object);
        self.at += 1;
        Some(())
    }

    fn close(&mut self, byte: u8) -> Option<()> {
        if self.in_object() != (byte == b'}') {
            return None;
        }
        self.keyed -= usize::from(self.in_object());
        self.objects >>= 1;
        self.depth = self.depth.checked_sub(1)?;
        self.at += 1;
        Some(())
    }

    /// Reads a key and its colon; `Some(false)` at the end of the text.
    fn key(&mut self) -> Option<bool> {
        if self.peek()? != b'"' {
            return None;
        }
        let Some(key) = self.text() else {
            return Some(false);
        };
        if let Some(place) = self.keyed.checked_sub(1)
            && let Some(kept) = self.keys.get_mut(place)
        {
            *kept = key;
        }
        match self.peek() {
            None => Some(false),
            Some(b':') => {
                self.at += 1;
                Some(true)
            }
            Some(_) => None,
        }
    }

    /// Reads a value, or the start of one.
    fn value(&mut self, tell: &mut impl FnMut(&Place<'a>, Value<'a>)) -> Option<Step> {
        let Some(first) = self.peek() else {
            return Some(Step::Cut);
        };
        let place = Place {
            keys: self.keys,
            len: self.keyed,
            item: self.item,
        };
        let mut step = Step::Whole;
        let value = match first {
            b'{' | b'[' => {
                self.open(first == b'{')?;
                step = Step::Opened;
                if first == b'{' {
                    Value::Object
                } else {
                    Value::Array
                }
            }
            b'"' => match self.text() {
                Some(text) => Value::Text(text),
                None => return Some(Step::Cut),
            },
            b'-' | b'0'..=b'9' => Value::Number(self.word()),
            _ => match self.word() {
                b"true" => Value::Bool(true),
                b"false" => Value::Bool(false),
                b"null" => Value::Null,
                _ if self.at >= self.bytes.len() => return Some(Step::Cut),
                _ => return None,
            },
        };
        tell(&place, value);
        Some(step)
    }

    fn word(&mut self) -> &'a [u8] {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let len = rest
            .iter()
            .take_while(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(byte))
            .count();
        self.at += len;
        rest.get(..len).unwrap_or_default()
    }

    /// The string that starts here, without its quotes; `None` if it is cut off.
    fn text(&mut self) -> Option<&'a [u8]> {
        let start = self.at + 1;
        let mut at = start;
        loop {
            let rest = self.bytes.get(at..)?;
            at += memchr::memchr2(b'"', b'\\', rest)?;
            if self.bytes.get(at) == Some(&b'"') {
                self.at = at + 1;
                return self.bytes.get(start..at);
            }
            at += 2;
        }
    }
}

/// The text of a string, its escapes replaced; a lone surrogate becomes U+FFFD.
pub(super) fn unescape(text: &[u8]) -> Cow<'_, str> {
    if !text.contains(&b'\\') {
        return String::from_utf8_lossy(text);
    }
    let mut out = Vec::with_capacity(text.len());
    let mut high: Option<u32> = None;
    let mut rest = text;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        let mut char = None;
        if byte == b'\\' {
            let escape = rest.first().copied().unwrap_or(b'\\');
            rest = rest.get(1..).unwrap_or_default();
            match escape {
                b'n' => char = Some('\n'),
                b't' => char = Some('\t'),
                b'r' => char = Some('\r'),
                b'b' => char = Some('\u{8}'),
                b'f' => char = Some('\u{c}'),
                b'u' => {
                    let digits = rest
                        .get(..4)
                        .and_then(|digits| std::str::from_utf8(digits).ok());
                    let unit = digits.and_then(|digits| u32::from_str_radix(digits, 16).ok());
                    rest = rest.get(4..).unwrap_or_default();
                    let unit = unit.unwrap_or(0xfffd);
                    match (high.take(), unit) {
                        (Some(high), 0xdc00..=0xdfff) => {
                            char = char::from_u32(
                                0x1_0000 + ((high - 0xd800) << 10) + (unit - 0xdc00),
                            );
                        }
                        (_, 0xd800..=0xdbff) => {
                            high = Some(unit);
                            continue;
                        }
                        _ => char = Some(char::from_u32(unit).unwrap_or('\u{fffd}')),
                    }
                }
                other => out.push(other),
            }
        } else {
            out.push(byte);
        }
        if let Some(char) = char {
            let mut room = [0; 4];
            out.extend_from_slice(char.encode_utf8(&mut room).as_bytes());
        }
        high = None;
    }
    match String::from_utf8(out) {
        Ok(text) => Cow::Owned(text),
        Err(error) => Cow::Owned(String::from_utf8_lossy(error.as_bytes()).into_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn told(text: &str) -> (bool, Vec<String>) {
        let mut told = Vec::new();
        let good = walk(text.as_bytes(), &mut |place, value| {
            let keys: Vec<_> = place.keys[..place.len.min(KEPT)]
                .iter()
                .map(|key| String::from_utf8_lossy(key))
                .collect();
            let value = match value {
                Value::Text(text) => unescape(text).into_owned(),
                Value::Number(text) => String::from_utf8_lossy(text).into_owned(),
                other => format!("{other:?}"),
            };
            told.push(format!("{}:{}={value}", place.item, keys.join(".")));
        });
        (good, told)
    }

    #[test]
    fn values_are_told_with_their_keys() {
        let text = r#" {"a":1,"b":{"c":["x",{"d":null}]},"e":{},"f":[],"g":true} "#;
        let expected = [
            "0:=Object",
            "0:a=1",
            "0:b=Object",
            "0:b.c=Array",
            "0:b.c=x",
            "0:b.c=Object",
            "0:b.c.d=Null",
            "0:e=Object",
            "0:f=Array",
            "0:g=Bool(true)",
        ];
        assert_eq!(told(text), (true, expected.map(String::from).to_vec()));
    }

    #[test]
    fn elements_of_the_outermost_array_are_numbered() {
        let (_, told) = told(r#"[{"m":"a","p":[1,2]},{"m":"b"}]"#);
        assert_eq!(told[2], "0:m=a");
        assert_eq!(told.last().unwrap(), "1:m=b");
    }

    #[test]
    fn what_is_cut_off_is_no_fault_and_what_is_no_json_is_one() {
        let text = r#"{"a":"b","c":[1,{"d":"e"}],"f":tru"#;
        for end in 1..text.len() {
            assert!(told(&text[..end]).0, "{}", &text[..end]);
        }
        for text in [
            "",
            "<a/>",
            "{a:1}",
            "{\"a\" 1}",
            "[1 2]",
            "[1}",
            "{]",
            "nonsense ",
        ] {
            assert!(!told(text).0, "{text}");
        }
        assert!(!told(&"[".repeat(200)).0);
    }

    #[test]
    fn escapes_are_replaced() {
        for (text, expected) in [
            (r"a\nb\u0041\/", "a\nbA/"),
            (r"\ud83d\ude00!", "😀!"),
            (r"\ud83dx", "x"),
            (r"\u00", "\u{fffd}"),
            (r"a\", "a\\"),
        ] {
            assert_eq!(unescape(text.as_bytes()), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_ends(text in "[\\[\\]{}\",:a-c0-9\\\\ ]{0,200}") {
            let (_, told) = told(&text);
            prop_assert!(told.len() <= text.len());
        }
    }
}
