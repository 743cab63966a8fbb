//! The filter language: `status>=400 and route="/login" and client in 10.0.0.0/8 since 2h`.
//!
//! ```text
//! filter     = either { "or" either }                 either = part { ["and"] part }
//! part       = "not" part | "(" filter ")" | "has" field | "since" time | "until" time
//!            | field op value | field ["not"] "in" ( value | "(" value { "," value } ")" )
//! op         = "=" | "!=" | "<" | "<=" | ">" | ">=" | "~" | "!~"      (~: a pattern with *)
//!            | "text" op value | "text" ["not"] "in" …        (op: = != ~ !~)
//! time       = 15m | 2h | 7d (before now) | 2026-11-22 | 2026-11-22T10:20 | 2026-11-22T10:20:30Z
//! ```
//! A comparison with a value that is not known does not hold; `!=`, `!~` and `not in` are the
//! opposite of the comparison, so they hold then. `text` is any field that holds text or an address:
//! `text=alice` finds it inside of one, whatever its case, `text ~ alice*` holds the whole of one
//! against a pattern.

use std::fmt;

use super::field::{Field, Kind};
use super::pattern::Pattern;
use super::predicate::{Network, Predicate, Test};
use super::record::Record;
use super::word::{Placed, Word, split};

/// Parentheses and `not` inside each other: nobody needs more, and each takes stack.
const MAX_DEPTH: usize = 64;
/// Bytes of a filter.
const MAX_TEXT: usize = 16 << 10;

/// What a search looks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter(pub(super) Node);

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Node {
    All(Vec<Node>),
    Any(Vec<Node>),
    Not(Box<Node>),
    Test(Predicate),
    /// From this time on, Unix milliseconds.
    Since(u64),
    /// Before this time.
    Until(u64),
}

/// What is wrong with a filter, and where. `Display` shows the place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilterError {
    text: String,
    /// Byte at which the trouble starts.
    pub at: usize,
    /// What is wrong.
    pub what: String,
}

impl fmt::Display for FilterError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let before = self.text.get(..self.at).unwrap_or(&self.text);
        writeln!(out, "{}", self.what)?;
        writeln!(out, "  {}", self.text)?;
        write!(out, "  {}^", " ".repeat(before.chars().count()))
    }
}

impl std::error::Error for FilterError {}

impl Filter {
    /// Reads a filter; times without a date count back from `now_ms`. The empty filter fits all.
    ///
    /// # Errors
    /// What is wrong and where.
    pub fn parse(text: &str, now_ms: u64) -> Result<Self, FilterError> {
        let error = |(at, what)| FilterError {
            // On one line, so that the place can be shown below it.
            text: text.replace(char::is_control, " "),
            at,
            what,
        };
        if text.len() > MAX_TEXT {
            return Err(error((0, "the filter is too long".to_owned())));
        }
        let words = split(text).map_err(error)?;
        let mut parser = Parser {
            words: &words,
            at: 0,
            end: text.len(),
            now_ms,
            depth: 0,
        };
        if words.is_empty() {
            return Ok(Self(Node::All(Vec::new())));
        }
        let node = parser.filter().map_err(error)?;
        match parser.peek() {
            None => Ok(Self(node)),
            Some(_) => Err(error((
                parser.place(),
                "the filter should end here, or go on with `and` or `or`".to_owned(),
            ))),
        }
    }

    /// Both must fit.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self(Node::All(vec![self.0, other.0]))
    }

    /// Records from this time on, Unix milliseconds.
    pub const fn since(ms: u64) -> Self {
        Self(Node::Since(ms))
    }

    /// Whether a record fits.
    pub fn fits(&self, record: &Record<'_>) -> bool {
        fits(&self.0, record)
    }
}

fn fits(node: &Node, record: &Record<'_>) -> bool {
    match node {
        Node::All(nodes) => nodes.iter().all(|node| fits(node, record)),
        Node::Any(nodes) => nodes.iter().any(|node| fits(node, record)),
        Node::Not(node) => !fits(node, record),
        Node::Test(predicate) => predicate.fits(record.value(predicate.field)),
        Node::Since(ms) => record.time_ms() >= *ms,
        Node::Until(ms) => record.time_ms() < *ms,
    }
}

type Found<T> = Result<T, (usize, String)>;

struct Parser<'a> {
    words: &'a [Placed],
    at: usize,
    end: usize,
    now_ms: u64,
    depth: usize,
}

impl<'a> Parser<'a> {
    fn peek(&self) -> Option<&'a Word> {
        self.words.get(self.at).map(|placed| &placed.word)
    }

    /// Where the word at hand is.
    fn place(&self) -> usize {
        self.words.get(self.at).map_or(self.end, |placed| placed.at)
    }

    fn fail<T>(&self, what: impl Into<String>) -> Found<T> {
        Err((self.place(), what.into()))
    }

    /// Takes a word without quotes, if it is this one.
    fn take(&mut self, name: &str) -> bool {
        let is = matches!(self.peek(), Some(Word::Bare(word)) if word.eq_ignore_ascii_case(name));
        self.at += usize::from(is);
        is
    }

    fn take_word(&mut self, wanted: &Word) -> bool {
        let is = self.peek() == Some(wanted);
        self.at += usize::from(is);
        is
    }

    fn filter(&mut self) -> Found<Node> {
        let mut nodes = vec![self.all()?];
        while self.take("or") {
            nodes.push(self.all()?);
        }
        Ok(match nodes.len() {
            1 => nodes.remove(0),
            _ => Node::Any(nodes),
        })
    }

    fn all(&mut self) -> Found<Node> {
        let mut nodes = vec![self.part()?];
        loop {
            if self.take("and") {
                nodes.push(self.part()?);
                continue;
            }
            match self.peek() {
                None | Some(Word::Close) => break,
                Some(Word::Bare(word)) if word.eq_ignore_ascii_case("or") => break,
                Some(Word::Bare(_) | Word::Open) => nodes.push(self.part()?),
                Some(_) => return self.fail("`and` or `or` should stand here"),
            }
        }
        Ok(match nodes.len() {
            1 => nodes.remove(0),
            _ => Node::All(nodes),
        })
    }

    fn part(&mut self) -> Found<Node> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return self.fail("too many parentheses or `not` inside each other");
        }
        let node = self.inner();
        self.depth -= 1;
        node
    }

    fn inner(&mut self) -> Found<Node> {
        if self.take("not") {
            return Ok(Node::Not(Box::new(self.part()?)));
        }
        if self.take_word(&Word::Open) {
            let node = self.filter()?;
            if !self.take_word(&Word::Close) {
                return self.fail("a `)` is missing here");
            }
            return Ok(node);
        }
        if self.take("since") {
            return self.time().map(Node::Since);
        }
        if self.take("until") {
            return self.time().map(Node::Until);
        }
        if self.take("has") {
            let field = self.field()?;
            return Ok(Node::Test(Predicate {
                field,
                test: Test::Known,
            }));
        }
        if self.take("text") {
            return self.any_text();
        }
        let field = self.field()?;
        self.comparison(field)
    }

    /// What is said of `text`: the same of every field that it can be in.
    fn any_text(&mut self) -> Found<Node> {
        let mut patterns = Vec::new();
        let mut opposite = self.take("not");
        if self.take("in") {
            let listed = self.take_word(&Word::Open);
            patterns.push(Pattern::containing(&self.value()?));
            while listed && self.take_word(&Word::Comma) {
                patterns.push(Pattern::containing(&self.value()?));
            }
            if listed && !self.take_word(&Word::Close) {
                return self.fail("a `,` or a `)` is missing here");
            }
        } else if opposite {
            return self.fail("`in` should stand here");
        } else {
            let Some(Word::Operator(operator @ ("=" | "!=" | "~" | "!~"))) = self.peek() else {
                return self.fail("one of = != ~ !~ in should stand here");
            };
            opposite = operator.starts_with('!');
            let whole = operator.ends_with('~');
            self.at += 1;
            let value = self.value()?;
            patterns.push(if whole {
                Pattern::new(&value)
            } else {
                Pattern::containing(&value)
            });
        }
        let texts = Field::ALL
            .into_iter()
            .filter(|field| matches!(field.kind(), Kind::Text | Kind::Address));
        let tests = texts.flat_map(|field| {
            patterns.iter().map(move |pattern| {
                let test = Test::Like(pattern.clone());
                Node::Test(Predicate { field, test })
            })
        });
        let any = Node::Any(tests.collect());
        Ok(if opposite {
            Node::Not(Box::new(any))
        } else {
            any
        })
    }

    fn field(&mut self) -> Found<Field> {
        let Some(Word::Bare(name)) = self.peek() else {
            return self.fail("the name of a field should stand here, such as status");
        };
        let Some(field) = Field::named(&name.to_ascii_lowercase()) else {
            let names: Vec<&str> = Field::ALL.iter().map(|field| field.name()).collect();
            return self.fail(format!(
                "no field has this name; there are: text, {}",
                names.join(", ")
            ));
        };
        self.at += 1;
        Ok(field)
    }

    fn comparison(&mut self, field: Field) -> Found<Node> {
        if self.take("in") {
            return Ok(Node::Test(self.listed(field)?));
        }
        if self.take("not") {
            if !self.take("in") {
                return self.fail("`in` should stand here");
            }
            return Ok(Node::Not(Box::new(Node::Test(self.listed(field)?))));
        }
        let place = self.place();
        let Some(Word::Operator(operator)) = self.peek() else {
            return self.fail("one of = != < <= > >= ~ in should stand here");
        };
        self.at += 1;
        let test = match *operator {
            "=" | "!=" => self.one_of(field)?,
            "~" | "!~" => match field.kind() {
                Kind::Text | Kind::Address => Test::Like(Pattern::new(&self.value()?)),
                _ => return Err((place, "a number has no pattern: use = < >".to_owned())),
            },
            order => {
                if matches!(field.kind(), Kind::Text | Kind::Address) {
                    let what = format!("{} is no number: use = ~ in", field.name());
                    return Err((place, what));
                }
                let number = self.number(field)?;
                Test::Within(
                    match order {
                        "<" => number.checked_sub(1).map(|most| (0, most)),
                        "<=" => Some((0, number)),
                        ">" => number.checked_add(1).map(|least| (least, u64::MAX)),
                        _ => Some((number, u64::MAX)),
                    }
                    .into_iter()
                    .collect(),
                )
            }
        };
        let node = Node::Test(Predicate { field, test });
        Ok(if operator.starts_with('!') {
            Node::Not(Box::new(node))
        } else {
            node
        })
    }

    fn listed(&mut self, field: Field) -> Found<Predicate> {
        if !self.take_word(&Word::Open) {
            let test = self.one_of(field)?;
            return Ok(Predicate { field, test });
        }
        let mut all = self.one_of(field)?;
        while self.take_word(&Word::Comma) {
            match (&mut all, self.one_of(field)?) {
                (Test::Is(all), Test::Is(more)) => all.extend(more),
                (Test::Within(all), Test::Within(more)) => all.extend(more),
                (Test::In(all), Test::In(more)) => all.extend(more),
                _ => {}
            }
        }
        if !self.take_word(&Word::Close) {
            return self.fail("a `,` or a `)` is missing here");
        }
        Ok(Predicate { field, test: all })
    }

    /// One value, as a test for it.
    fn one_of(&mut self, field: Field) -> Found<Test> {
        Ok(match field.kind() {
            Kind::Text => Test::Is(vec![self.value()?]),
            Kind::Number | Kind::Duration => {
                let number = self.number(field)?;
                Test::Within(vec![(number, number)])
            }
            Kind::Address => {
                let place = self.place();
                let network = Network::parse(&self.value()?).ok_or_else(|| {
                    let what = "an address or a network should stand here, such as 10.0.0.0/8";
                    (place, what.to_owned())
                })?;
                Test::In(vec![network])
            }
        })
    }

    fn value(&mut self) -> Found<String> {
        match self.peek() {
            Some(Word::Bare(text) | Word::Quoted(text)) => {
                self.at += 1;
                Ok(text.clone())
            }
            _ => self.fail("a value should stand here"),
        }
    }

    fn number(&mut self, field: Field) -> Found<u64> {
        let place = self.place();
        let text = self.value()?;
        if field.kind() == Kind::Duration {
            return duration_ns(&text).ok_or_else(|| {
                (
                    place,
                    "a time with its unit should stand here, such as 250ms (us, ms, s, m)"
                        .to_owned(),
                )
            });
        }
        text.parse()
            .map_err(|_| (place, "a whole number should stand here".to_owned()))
    }

    fn time(&mut self) -> Found<u64> {
        let place = self.place();
        let text = self.value()?;
        back_ms(&text)
            .map(|ms| self.now_ms.saturating_sub(ms))
            .or_else(|| date_ms(&text))
            .ok_or_else(|| {
                let what =
                    "a time should stand here: 15m, 2h, 7d, 2026-11-22 or 2026-11-22T10:20:30Z";
                (place, what.to_owned())
            })
    }
}

/// A number with one of these units.
fn with_unit(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits)?;
    let (_, factor) = units.iter().find(|(name, _)| *name == unit)?;
    number.parse::<u64>().ok()?.checked_mul(*factor)
}

fn duration_ns(text: &str) -> Option<u64> {
    let units = [
        ("ns", 1),
        ("us", 1_000),
        ("ms", 1_000_000),
        ("s", 1_000_000_000),
        ("m", 60_000_000_000),
    ];
    with_unit(text, &units)
}

fn back_ms(text: &str) -> Option<u64> {
    let units = [
        ("s", 1_000),
        ("m", 60_000),
        ("h", 3_600_000),
        ("d", 86_400_000),
        ("w", 604_800_000),
    ];
    with_unit(text, &units)
}

/// A date, or a date and a time, in UTC.
fn date_ms(text: &str) -> Option<u64> {
    let text = text.strip_suffix('Z').unwrap_or(text);
    let (date, clock) = text.split_once('T').unwrap_or((text, "00:00"));
    let mut parts = date.split('-').map(|part| part.parse::<u64>().ok());
    let (year, month, day) = (parts.next()??, parts.next()??, parts.next()??);
    let mut parts = clock.split(':').map(|part| part.parse::<u64>().ok());
    let (hour, minute) = (parts.next()??, parts.next()??);
    let second = parts.next().unwrap_or(Some(0))?;
    let good = (1970..10_000).contains(&year)
        && (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && hour < 24
        && minute < 60
        && second < 60;
    if !good {
        return None;
    }
    // Days since 1970-01-01, with years that begin in March so that a leap day ends one.
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1;
    let days = days.checked_sub(719_468)?;
    Some(((days * 24 + hour) * 60 + minute) * 60_000 + second * 1000)
}
