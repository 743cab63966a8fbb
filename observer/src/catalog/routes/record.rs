//! What was learned of one service as text, to be kept over a restart.
//!
//! A line for what holds for all, then one for each place, in the order of a walk: its depth, its
//! segment, calls served and refused, calls by method, and what was folded into it. Text that comes
//! back is taken as hostile: it is refused as a whole if anything in it does not fit.

use std::fmt::Write as _;

use super::evidence::{Crowd, Sums};
use super::lexicon::CASES;
use super::trie::{Learner, MAX_METHODS, Place, ROOT};

/// Deeper paths end in `{rest}`.
const MAX_DEPTH: usize = 32;
/// Longest segment, bytes: canonical paths are cut at 4,096, of which each byte may take three.
const MAX_SEGMENT: usize = 3 * 4096;
/// What stands for nothing.
const NOTHING: &str = "-";

impl Learner {
    /// Writes all that was learned.
    pub fn write_record(&self, out: &mut String) {
        let _ = writeln!(out, "{} {}", u8::from(self.decided), self.settled_at);
        let mut todo = vec![(ROOT, 0_usize, NOTHING)];
        while let Some((at, depth, key)) = todo.pop() {
            let Some(place) = self.place(at) else {
                continue;
            };
            let _ = write!(out, "{depth} {key} {} {} ", place.served, place.refused);
            let mut methods = place.methods.iter().filter(|(name, _)| is_plain(name));
            match methods.next() {
                Some((name, calls)) => {
                    let _ = write!(out, "{name}={calls}");
                    for (name, calls) in methods {
                        let _ = write!(out, ",{name}={calls}");
                    }
                }
                None => out.push_str(NOTHING),
            }
            out.push(' ');
            match &place.folded {
                Some(crowd) => write_crowd(crowd, out),
                None => out.push_str(NOTHING),
            }
            out.push('\n');
            todo.extend(place.children().map(|(key, next)| (next, depth + 1, key)));
        }
    }

    /// Reads what [`Learner::write_record`] wrote; `None` if it is anything else, or too much.
    pub fn read_record(text: &str, max_places: usize) -> Option<Self> {
        let mut learner = Self::new(max_places);
        let mut lines = text.lines();
        let (decided, settled_at) = lines.next()?.split_once(' ')?;
        learner.decided = decided == "1";
        learner.settled_at = settled_at.parse().ok()?;
        learner.places.clear();
        // The places that lead to the one at hand.
        let mut above: Vec<u32> = Vec::new();
        for line in lines {
            let mut words = line.split(' ');
            let depth: usize = words.next()?.parse().ok()?;
            let key = words.next()?;
            let place = Place {
                served: words.next()?.parse().ok()?,
                refused: words.next()?.parse().ok()?,
                methods: read_methods(words.next()?)?,
                folded: read_crowd(words.next()?)?,
                ..Place::default()
            };
            let fits = words.next().is_none()
                && depth <= above.len().min(MAX_DEPTH)
                && (depth == 0) == learner.places.is_empty()
                && learner.places.len() < max_places
                && key.len() <= MAX_SEGMENT
                && key
                    .bytes()
                    .all(|byte| byte.is_ascii_graphic() && byte != b'/');
            if !fits {
                return None;
            }
            let at = u32::try_from(learner.places.len()).ok()?;
            above.truncate(depth);
            if let Some(&parent) = above.last() {
                let parent = learner.places.get_mut(parent as usize)?;
                let known = if key.starts_with('{') {
                    let known = parent.positions.iter().any(|(known, _)| **known == *key);
                    parent.positions.push((key.into(), at));
                    known
                } else {
                    parent.names.insert(key.into(), at).is_some()
                };
                if known {
                    return None;
                }
            }
            above.push(at);
            learner.places.push(place);
        }
        if learner.places.is_empty() {
            return None;
        }
        learner.sum_up();
        Some(learner)
    }
}

/// A method is a token (RFC 9110 §5.6.2); whatever else was sent as one is not kept.
fn is_plain(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 32
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

fn read_methods(text: &str) -> Option<Vec<(Box<str>, u32)>> {
    if text == NOTHING {
        return Some(Vec::new());
    }
    let mut methods = Vec::new();
    for part in text.split(',') {
        let (name, calls) = part.split_once('=')?;
        if !is_plain(name) || methods.len() >= MAX_METHODS {
            return None;
        }
        methods.push((name.into(), calls.parse().ok()?));
    }
    Some(methods)
}

/// Sums as the bits of their numbers, then values that look like names, a slash before each.
fn write_crowd(crowd: &Crowd, out: &mut String) {
    let Crowd {
        sums,
        familiar_values,
    } = crowd;
    let mut comma = "";
    for sum in numbers(sums) {
        let _ = write!(out, "{comma}{:x}", sum.to_bits());
        comma = ",";
    }
    for value in familiar_values {
        out.push('/');
        out.push_str(value);
    }
}

fn numbers(sums: &Sums) -> impl Iterator<Item = f32> {
    let Sums {
        count,
        calls,
        odd,
        familiar,
        plural,
        famous,
        leaves,
        cases,
    } = *sums;
    let plain = [count, calls, odd, familiar, plural, famous, leaves];
    plain.into_iter().chain(cases)
}

/// The outer `None`: it does not fit.
fn read_crowd(text: &str) -> Option<Option<Box<Crowd>>> {
    if text == NOTHING {
        return Some(None);
    }
    let mut parts = text.split('/');
    let mut numbers = parts.next()?.split(',').map(|bits| {
        let number = f32::from_bits(u32::from_str_radix(bits, 16).ok()?);
        number.is_finite().then_some(number)
    });
    let mut next = || numbers.next().flatten();
    let mut crowd = Crowd {
        sums: Sums {
            count: next()?,
            calls: next()?,
            odd: next()?,
            familiar: next()?,
            plural: next()?,
            famous: next()?,
            leaves: next()?,
            cases: [0.0; CASES],
        },
        familiar_values: Vec::new(),
    };
    for case in &mut crowd.sums.cases {
        *case = next()?;
    }
    for value in parts {
        crowd.keep(value);
    }
    Some(Some(Box::new(crowd)))
}

#[cfg(test)]
mod tests {
    use super::super::trie::Answer;
    use super::*;

    /// People and their orders, folded, beside names.
    fn learned() -> Learner {
        let mut learner = Learner::new(4096);
        for n in 0..300 {
            for path in [
                format!("v1/people/{}{n}/orders", ["ada", "alan"][n % 2]),
                format!("v1/items/{n}"),
                "v1/items/search".to_owned(),
                "files/list.json".to_owned(),
            ] {
                let segments: Vec<String> = path.split('/').map(str::to_owned).collect();
                let place = learner.reach(&segments).unwrap();
                learner.observe(place, ["GET", "PO ST"][n % 2], Answer::Served);
            }
            if learner.is_due() {
                learner.settle();
            }
        }
        learner
    }

    fn template(learner: &mut Learner, path: &str) -> Option<String> {
        let segments: Vec<String> = path.split('/').map(str::to_owned).collect();
        let place = learner.reach(&segments)?;
        Some(learner.template(&segments, place)?.to_string())
    }

    #[test]
    fn what_was_learned_comes_back_from_text() {
        let mut learner = learned();
        let mut text = String::new();
        learner.write_record(&mut text);
        let mut back = Learner::read_record(&text, 4096).unwrap();
        let mut again = String::new();
        back.write_record(&mut again);
        let sorted = |text: &str| {
            let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
            lines.sort_unstable();
            lines
        };
        assert_eq!(sorted(&again), sorted(&text));
        for path in [
            "v1/people/ada1/orders",
            "v1/people/grace/orders",
            "v1/items/9",
            "v1/items/search",
        ] {
            let expected = template(&mut learner, path);
            assert_eq!(template(&mut back, path), expected, "{path}");
        }
        assert_eq!(
            template(&mut back, "v1/people/zoe/orders").as_deref(),
            Some("/v1/people/{name}/orders")
        );
        assert_eq!(Learner::read_record(&text, 5).map(|_| ()), None);
    }

    #[test]
    fn text_that_is_no_record_is_refused_as_a_whole() {
        let mut text = String::new();
        learned().write_record(&mut text);
        for cut in (0..text.len()).step_by(7) {
            // Whole lines are a record of their own.
            if !text[..cut].ends_with('\n') && text[..cut].contains('\n') {
                let _ = Learner::read_record(&text[..cut], 4096);
            }
        }
        for bad in [
            "",
            "1 0",
            "1 0\n1 a 0 0 - -",
            "1 0\n0 - 0 0 - -\n2 a 0 0 - -",
            "1 0\n0 - 0 0 - -\n1 a 0 0 - -\n1 a 0 0 - -",
            "1 0\n0 - 0 0 - -\n1 a 0 -1 - -",
            "1 0\n0 - 0 0 - -\n1 a 0 0 G T=1 -",
            "1 0\n0 - 0 0 - -\n1 a 0 0 - 7fc00000,0,0,0,0,0,0,0,0,0,0,0,0",
            "1 0\n0 - 0 0 - - more",
            "1 0\n0 - 0 0 - -\n0 - 0 0 - -",
        ] {
            assert!(Learner::read_record(bad, 4096).is_none(), "{bad:?}");
        }
    }
}
