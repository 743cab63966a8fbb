//! The words of a filter, each with its place.

/// What a word is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Word {
    /// A name, a number, an address: what stands without quotes.
    Bare(String),
    /// A text in quotes, without them.
    Quoted(String),
    /// `=`, `!=`, `<`, `<=`, `>`, `>=`, `~`.
    Operator(&'static str),
    Open,
    Close,
    Comma,
}

/// A word and the byte at which it starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Placed {
    pub(super) at: usize,
    pub(super) word: Word,
}

/// Longest first, so that `<=` is not `<`.
const OPERATORS: [(&str, &str); 9] = [
    ("==", "="),
    ("!=", "!="),
    ("<=", "<="),
    (">=", ">="),
    ("!~", "!~"),
    ("=", "="),
    ("<", "<"),
    (">", ">"),
    ("~", "~"),
];

/// Splits a filter into words; the error has its place.
pub(super) fn split(text: &str) -> Result<Vec<Placed>, (usize, String)> {
    let mut words = Vec::new();
    let mut at = 0;
    while let Some(rest) = text.get(at..) {
        let Some(c) = rest.chars().next() else { break };
        let start = at;
        let word = match c {
            _ if c.is_whitespace() => {
                at += c.len_utf8();
                continue;
            }
            '(' => Word::Open,
            ')' => Word::Close,
            ',' => Word::Comma,
            '"' | '\'' => {
                let (text, length) = quoted(rest, c)
                    .ok_or_else(|| (start, format!("this quote has no end: add a {c}")))?;
                words.push(Placed {
                    at: start,
                    word: Word::Quoted(text),
                });
                at += length;
                continue;
            }
            _ => {
                if let Some((sign, name)) =
                    OPERATORS.iter().find(|(sign, _)| rest.starts_with(sign))
                {
                    words.push(Placed {
                        at: start,
                        word: Word::Operator(name),
                    });
                    at += sign.len();
                    continue;
                }
                let length = rest
                    .find(|c: char| c.is_whitespace() || "()=<>!~,\"'".contains(c))
                    .unwrap_or(rest.len());
                if length == 0 {
                    return Err((start, format!("{c:?} means nothing here")));
                }
                at += length;
                words.push(Placed {
                    at: start,
                    word: Word::Bare(rest.get(..length).unwrap_or_default().to_owned()),
                });
                continue;
            }
        };
        words.push(Placed { at: start, word });
        at += 1;
    }
    Ok(words)
}

/// The inside of a quoted text, in which `\` takes the next character as it is, and the bytes of
/// all of it; `None` if it does not end.
fn quoted(text: &str, quote: char) -> Option<(String, usize)> {
    let mut out = String::new();
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => {
                out.push(c);
                escaped = false;
            }
            '\\' => escaped = true,
            _ if c == quote => return Some((out, at + c.len_utf8())),
            _ => out.push(c),
        }
    }
    None
}
