//! Rust sources as text that can be searched for words.
//!
//! In: a folder. Out: its `.rs` files, comments and literals blanked out, so that a
//! word found is a word of the program. It never parses: positions stay what they
//! were, and that is all it promises.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

/// All `.rs` files under `folder`, sorted. None if there is no such folder.
pub fn rust_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        if !folder.is_dir() {
            continue;
        }
        let entries =
            fs::read_dir(&folder).with_context(|| format!("read {}", folder.display()))?;
        for entry in entries {
            let path = entry
                .with_context(|| format!("read {}", folder.display()))?
                .path();
            if path.is_dir() {
                if path.file_name().is_none_or(|name| name != "target") {
                    folders.push(path);
                }
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}

/// Reads a file and blanks out its comments and literals.
pub fn read_code(path: &Path) -> Result<String> {
    let text = fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
    Ok(code_only(&text))
}

/// The line, from 1, that holds a byte position.
pub fn line_of(text: &str, position: usize) -> usize {
    1 + text
        .bytes()
        .take(position)
        .filter(|&byte| byte == b'\n')
        .count()
}

/// Positions of `word` in `code` where it stands alone as an identifier.
pub fn word_positions<'a>(code: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    code.match_indices(word).filter_map(move |(start, _)| {
        let before = code[..start].chars().next_back();
        let after = code[start + word.len()..].chars().next();
        let alone = !before.is_some_and(is_word) && !after.is_some_and(is_word);
        alone.then_some(start)
    })
}

/// Whether a character can be part of an identifier.
pub fn is_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

/// Replaces each byte of comments, strings and character literals by a space, line
/// ends kept.
fn code_only(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let after_word = code.chars().next_back().is_some_and(is_word);
        let blank = if after_word { 0 } else { raw_string(rest) };
        let blank = match first {
            _ if blank > 0 => blank,
            '/' if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
            '/' if rest.starts_with("/*") => block_comment(rest),
            '"' => quoted(rest, '"'),
            '\'' => character(rest),
            _ => 0,
        };
        if blank == 0 {
            code.push(first);
            rest = &rest[first.len_utf8()..];
            continue;
        }
        for byte in rest[..blank].bytes() {
            code.push(if byte == b'\n' { '\n' } else { ' ' });
        }
        rest = &rest[blank..];
    }
    code
}

/// The length of the raw string that `text` starts with, or 0.
fn raw_string(text: &str) -> usize {
    let body = text.strip_prefix(['b', 'c']).unwrap_or(text);
    let Some(body) = body.strip_prefix('r') else {
        return 0;
    };
    let hashes = body.len() - body.trim_start_matches('#').len();
    let Some(inside) = body[hashes..].strip_prefix('"') else {
        return 0;
    };
    let end = format!("\"{}", "#".repeat(hashes));
    let start = text.len() - inside.len();
    inside
        .find(&end)
        .map_or(text.len(), |found| start + found + end.len())
}

/// The length of the block comment that `text` starts with; they nest.
fn block_comment(text: &str) -> usize {
    let mut depth = 0_usize;
    let mut at = 0;
    while let Some(step) = text[at..].find(['/', '*']) {
        at += step;
        if text[at..].starts_with("/*") {
            depth += 1;
            at += 2;
        } else if text[at..].starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    text.len()
}

/// The length of the literal in `quote`s that `text` starts with.
fn quoted(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, character) in text.char_indices().skip(1) {
        if escaped {
            escaped = false;
        } else if character == '\\' {
            escaped = true;
        } else if character == quote {
            return at + quote.len_utf8();
        }
    }
    text.len()
}

/// The length of the character literal that `text` starts with, or 0 for a lifetime.
fn character(text: &str) -> usize {
    let mut characters = text.chars().skip(1);
    match (characters.next(), characters.next()) {
        (Some('\\'), _) | (Some(_), Some('\'')) => quoted(text, '\''),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::{code_only, line_of, word_positions};

    #[test]
    fn comments_and_literals_hold_no_code() {
        let text =
            "a /* b /* c */ d */ e // f\ng \"h \\\" i\" 'j' '\\'' &'k r#\"l \" m\"# br\"n\" o";
        let code = code_only(text);
        let words: Vec<&str> = code
            .split(|c: char| !c.is_alphanumeric())
            .filter(|word| !word.is_empty())
            .collect();
        assert_eq!(words, ["a", "e", "g", "k", "o"]);
        assert_eq!(code.len(), text.len());
        assert_eq!(line_of(&code, code.find('o').unwrap()), 2);
    }

    #[test]
    fn an_identifier_ending_in_r_does_not_start_a_raw_string() {
        assert_eq!(code_only("for\"x\"y").trim_end(), "for   y");
    }

    #[test]
    fn a_word_inside_another_is_not_found() {
        let code = "unsafe_code unsafe { } not_unsafe";
        assert_eq!(word_positions(code, "unsafe").collect::<Vec<_>>(), [12]);
    }
}
