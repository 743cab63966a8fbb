//! Decides which words are values, and folds them into positions.

use std::collections::{BTreeMap, HashSet};

use super::evidence::Member;
use super::lexicon;
use super::siblings::{Siblings, Vocabulary};
use super::trie::{Learner, Place, ROOT, position_tail};

/// Names kept at a place: no interface has more, a flood of words does.
const MAX_NAMES: usize = 1024;
/// What was never served is forgotten when places are in use beyond this share (one part in …).
const CROWDED: usize = 2;

/// A decision under way.
#[derive(Clone, Debug)]
pub(super) struct Settling {
    own: Vocabulary,
    todo: Vec<Pending>,
}

/// A place to decide on.
#[derive(Clone, Debug)]
struct Pending {
    at: u32,
    /// The segment that leads there.
    key: Box<str>,
    /// Nothing but versions stand before what comes next.
    first: bool,
}

impl Learner {
    /// Decides anew, with all that was seen so far, what is a value and what is a name. Returns
    /// how many words were folded. Indexes of places given out before mean nothing after it.
    pub fn settle(&mut self) -> usize {
        let mut folded = 0;
        self.settling = None;
        loop {
            folded += self.settle_some(usize::MAX);
            if self.settling.is_none() {
                return folded;
            }
        }
    }

    /// The next step of a decision, or the first one of a new decision: so much work at once that
    /// nobody waits for it. `places` bounds the segments that are compared in it, apart from those
    /// below one place; the first step sums up all places and does no more. Returns how many words
    /// were folded. Indexes of places mean nothing after a step.
    pub fn settle_some(&mut self, places: usize) -> usize {
        let Some(mut settling) = self.settling.take() else {
            self.settling = Some(self.begin());
            return 0;
        };
        let (mut folded, mut compared) = (0, 0);
        while compared < places
            && let Some(Pending { at, key, first }) = settling.todo.pop()
        {
            self.join_positions(at);
            let values = Siblings::of(self, at, &key, first, &settling.own).map(Siblings::values);
            let mut values = values.unwrap_or_default();
            self.add_overflow(at, &mut values);
            folded += values.len();
            self.fold(at, &values);
            let prefix = |key: &str| lexicon::is_version(key) || matches!(key, "api" | "rest");
            for (key, next) in self.place(at).into_iter().flat_map(Place::children) {
                compared += 1;
                settling.todo.push(Pending {
                    at: next,
                    key: key.into(),
                    first: first && prefix(key),
                });
            }
            compared += 1;
        }
        if settling.todo.is_empty() {
            self.settled();
        } else {
            self.settling = Some(settling);
            self.changed();
        }
        folded
    }

    fn begin(&mut self) -> Settling {
        if self.len() * CROWDED > self.capacity() {
            self.sum_up();
            self.forget_unserved();
            self.changed();
        }
        self.sum_up();
        Settling {
            own: Vocabulary::of(self),
            todo: vec![Pending {
                at: ROOT,
                key: Box::default(),
                first: true,
            }],
        }
    }

    /// Counts calls and served calls of each place with all below it.
    pub(super) fn sum_up(&mut self) {
        // Children come after their parents in this order, so it is read backwards.
        let mut order = vec![(ROOT, ROOT)];
        let mut next = 0;
        while let Some(&(at, _)) = order.get(next) {
            next += 1;
            let Some(place) = self.place_mut(at) else {
                continue;
            };
            place.calls_below = place.methods.iter().map(|(_, calls)| calls).sum();
            place.served_below = place.served;
            order.extend(place.children().map(|(_, child)| (child, at)));
        }
        for &(at, parent) in order.iter().skip(1).rev() {
            let Some((calls, served)) = self.place(at).map(|p| (p.calls_below, p.served_below))
            else {
                continue;
            };
            if let Some(parent) = self.place_mut(parent) {
                parent.calls_below = parent.calls_below.saturating_add(calls);
                parent.served_below = parent.served_below.saturating_add(served);
            }
        }
    }

    /// A scanner's paths must not take the places of others.
    fn forget_unserved(&mut self) {
        let mut todo = vec![ROOT];
        while let Some(at) = todo.pop() {
            let Some(place) = self.place(at) else {
                continue;
            };
            let (gone, kept): (Vec<_>, Vec<_>) = place
                .children()
                .map(|(key, next)| (Box::<str>::from(key), next))
                .partition(|(_, next)| self.place(*next).is_some_and(|p| p.served_below == 0));
            todo.extend(kept.into_iter().map(|(_, next)| next));
            for (key, next) in gone {
                if let Some(place) = self.place_mut(at) {
                    place.names.remove(&key);
                    place.positions.retain(|(known, _)| *known != key);
                }
                self.release(next);
            }
        }
    }

    fn release(&mut self, from: u32) {
        let mut todo = vec![from];
        while let Some(at) = todo.pop() {
            if let Some(place) = self.place_mut(at) {
                let place = std::mem::take(place);
                todo.extend(place.children().map(|(_, next)| next));
                self.free.push(at);
            }
        }
    }

    /// Values of one position are one, whatever they look like; the most frequent type names it.
    fn join_positions(&mut self, at: u32) {
        let Some(place) = self.place_mut(at) else {
            return;
        };
        let mut by_tail: BTreeMap<String, Vec<(Box<str>, u32)>> = BTreeMap::new();
        for (key, next) in std::mem::take(&mut place.positions) {
            let tail = position_tail(&key).to_owned();
            by_tail.entry(tail).or_default().push((key, next));
        }
        for mut positions in by_tail.into_values() {
            positions.sort_by_key(|(key, next)| {
                let calls = self.place(*next).map_or(0, |place| place.calls_below);
                (std::cmp::Reverse(calls), key.clone())
            });
            let mut positions = positions.into_iter();
            let Some((key, target)) = positions.next() else {
                continue;
            };
            for (_, source) in positions {
                self.absorb(target, source);
            }
            if let Some(place) = self.place_mut(at) {
                place.positions.push((key, target));
            }
        }
    }

    /// Adds all that is known at and below `source` to `target`.
    fn absorb(&mut self, target: u32, source: u32) {
        let mut pairs = vec![(target, source)];
        while let Some((target, source)) = pairs.pop() {
            let Some(taken) = self.place_mut(source).map(std::mem::take) else {
                continue;
            };
            self.free.push(source);
            let Some(place) = self.place_mut(target) else {
                continue;
            };
            place.served = place.served.saturating_add(taken.served);
            place.refused = place.refused.saturating_add(taken.refused);
            place.calls_below = place.calls_below.saturating_add(taken.calls_below);
            place.served_below = place.served_below.saturating_add(taken.served_below);
            if let Some(crowd) = taken.folded {
                place.folded.get_or_insert_default().join(&crowd);
            }
            for (method, calls) in taken.methods {
                match place.methods.iter_mut().find(|(known, _)| *known == method) {
                    Some((_, known)) => *known = known.saturating_add(calls),
                    None => place.methods.push((method, calls)),
                }
            }
            for (key, next) in taken.names {
                match place.names.get(&key) {
                    Some(&known) => pairs.push((known, next)),
                    None => {
                        place.names.insert(key, next);
                    }
                }
            }
            for (key, next) in taken.positions {
                match place.positions.iter().find(|(known, _)| *known == key) {
                    Some(&(_, known)) => pairs.push((known, next)),
                    None => place.positions.push((key, next)),
                }
            }
        }
    }

    /// Beyond [`MAX_NAMES`] the rarest words go: folded whatever they are, or forgotten if they
    /// were never served.
    fn add_overflow(&mut self, at: u32, values: &mut Vec<Member>) {
        let Some(place) = self.place(at) else { return };
        let over = place.names.len().saturating_sub(MAX_NAMES + values.len());
        if over == 0 {
            return;
        }
        let folded: HashSet<&str> = values.iter().map(|value| &*value.key).collect();
        let mut names: Vec<(u32, u32, Box<str>)> = place
            .names
            .iter()
            .filter(|(key, _)| !folded.contains(&***key))
            .filter_map(|(key, &next)| {
                let child = self.place(next)?;
                Some((child.served_below, child.calls_below, key.clone()))
            })
            .collect();
        names.sort_unstable();
        for (served, _, key) in names.into_iter().take(over) {
            if served > 0 {
                values.push(Member::unknown(&key));
            } else if let Some(gone) = self.place_mut(at).and_then(|p| p.names.remove(&key)) {
                self.release(gone);
            }
        }
    }

    fn fold(&mut self, at: u32, values: &[Member]) {
        // A suffix that most values share belongs to the interface: `/users/{name}.json`.
        let mut tails: BTreeMap<&str, usize> = BTreeMap::new();
        for value in values {
            if let Some((_, tail)) = lexicon::suffix(&value.key) {
                *tails.entry(tail).or_default() += 1;
            }
        }
        let common = tails
            .into_iter()
            .max_by_key(|(_, values)| *values)
            .filter(|(_, count)| *count * 2 > values.len())
            .map(|(tail, _)| tail);
        for value in values {
            let tail = lexicon::suffix(&value.key)
                .map(|(_, tail)| tail)
                .filter(|tail| Some(*tail) == common)
                .unwrap_or("");
            self.fold_one(at, value, tail);
        }
    }

    fn fold_one(&mut self, at: u32, value: &Member, tail: &str) {
        let Some(place) = self.place_mut(at) else {
            return;
        };
        let Some(source) = place.names.remove(&value.key) else {
            return;
        };
        let target = match place.position(tail) {
            Some((_, target)) => {
                self.absorb(target, source);
                target
            }
            None => {
                place
                    .positions
                    .push((format!("{{name}}{tail}").into(), source));
                source
            }
        };
        if let Some(place) = self.place_mut(target) {
            place.folded.get_or_insert_default().fold(value);
        }
    }
}
