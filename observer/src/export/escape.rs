//! Text from the network and from processes, made safe to show.

use std::fmt::Write as _;

/// A character that moves the cursor, hides text, changes its direction or ends the line: control
/// characters (C0, DEL, C1), line and paragraph separators, zero-width and bidirectional controls
/// (Unicode UAX #9), variation selectors, tags and the byte order mark.
fn is_treacherous(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e0fff}')
}

/// Appends `text` for a terminal: printable ASCII as it is, all else as `\xNN` or `\u{NN}`, so
/// that every character is one column wide and nothing is interpreted. A backslash is doubled.
pub(super) fn push_terminal(out: &mut String, text: &str) {
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            ' '..='~' => out.push(c),
            '\0'..='\u{7f}' => {
                let _ = write!(out, "\\x{:02x}", u32::from(c));
            }
            _ => {
                let _ = write!(out, "\\u{{{:x}}}", u32::from(c));
            }
        }
    }
}

/// Appends `text` as a JSON string (RFC 8259 §7). What could act on a terminal is escaped too, as
/// people read JSON lines in one; the value stays the same.
pub(super) fn push_json(out: &mut String, text: &str) {
    out.push('"');
    let plain = |b: u8| (0x20..0x7f).contains(&b) && b != b'"' && b != b'\\';
    if text.bytes().all(plain) {
        out.push_str(text);
    } else {
        for c in text.chars() {
            match c {
                '"' => out.push_str("\\\""),
                '\\' => out.push_str("\\\\"),
                '\n' => out.push_str("\\n"),
                '\r' => out.push_str("\\r"),
                '\t' => out.push_str("\\t"),
                _ if is_treacherous(c) => push_unicode_escape(out, c),
                _ => out.push(c),
            }
        }
    }
    out.push('"');
}

/// `text` as [`push_terminal`] writes it.
pub(crate) fn terminal_text(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    push_terminal(&mut out, text);
    out
}

/// JSON of a serializer, with everything escaped that could act on a terminal. Outside strings JSON
/// has none of these characters but line breaks and tabs, which stay.
pub(crate) fn harden_json(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        if is_treacherous(c) && !matches!(c, '\n' | '\t' | '\r') {
            push_unicode_escape(&mut out, c);
        } else {
            out.push(c);
        }
    }
    out
}

fn push_unicode_escape(out: &mut String, c: char) {
    for unit in c.encode_utf16(&mut [0; 2]) {
        let _ = write!(out, "\\u{unit:04x}");
    }
}

#[cfg(test)]
mod tests {
    use super::{push_json, push_terminal};
    use proptest::prelude::*;

    fn terminal(text: &str) -> String {
        let mut out = String::new();
        push_terminal(&mut out, text);
        out
    }

    fn json(text: &str) -> String {
        let mut out = String::new();
        push_json(&mut out, text);
        out
    }

    #[test]
    fn terminal_escapes_lose_their_power() {
        assert_eq!(
            terminal("/a\u{1b}[2J\r\n\u{9b}1m"),
            "/a\\x1b[2J\\x0d\\x0a\\u{9b}1m"
        );
        assert_eq!(terminal("caf\u{e9}\u{202e}\\x"), "caf\\u{e9}\\u{202e}\\\\x");
        assert_eq!(
            json("\u{1b}]0;x\u{7}\u{9b}\u{202e}\u{7f}"),
            r#""\u001b]0;x\u0007\u009b\u202e\u007f""#
        );
    }

    proptest! {
        #[test]
        fn json_strings_read_back_as_they_were(text in any::<String>()) {
            let json = json(&text);
            prop_assert!(!json.chars().any(char::is_control));
            let back: String = serde_json::from_str(&json).unwrap();
            prop_assert_eq!(back, text);
        }

        #[test]
        fn terminal_text_is_printable_ascii(text in any::<String>()) {
            prop_assert!(terminal(&text).bytes().all(|b| (0x20..0x7f).contains(&b)));
        }
    }
}
