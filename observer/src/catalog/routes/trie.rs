//! The evidence: a trie of segments with what was asked and answered at each place.

use std::collections::HashMap;
use std::sync::Arc;

use super::evidence::Crowd;
use super::settle::Settling;
use super::{lexicon, words};

/// Bytes of a template; longer ones end in `{rest}`.
pub(in crate::catalog) const MAX_TEMPLATE: usize = 256;
/// What stands for the end of a path that is too deep or too long.
pub(in crate::catalog) const REST: &str = "{rest}";
/// Different methods kept at a place; HTTP has nine, WebDAV adds a few that are rarely served.
pub(super) const MAX_METHODS: usize = 12;
/// Positions of values kept at a place, each of its own type and tail, until a decision joins them.
const MAX_POSITIONS: usize = 16;
/// Places that are new since the last decision before the next one is due, at least.
const MIN_NEW_PLACES: usize = 48;
/// The next decision is due when the places have grown by one part in this many.
const GROWTH: usize = 4;

/// A decision makes room; it is due again after this many paths found none.
const MAX_TURNED_AWAY: u32 = 4096;

/// How much the answer says about whether the path is an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The path was served, or the request was understood and then refused or failed.
    Served,
    /// 400 or 403: a guard in front answers so on any path.
    Refused,
    /// 404, 410, or no answer.
    Absent,
}

impl Answer {
    /// What a status says.
    pub fn of(status: Option<u16>) -> Self {
        match status {
            Some(404 | 410) | None => Self::Absent,
            Some(400 | 403) => Self::Refused,
            Some(_) => Self::Served,
        }
    }
}

/// One place in the trie: a segment, or all values of a position, below what led here.
#[derive(Clone, Debug, Default)]
pub(super) struct Place {
    /// Next segments that stand for themselves.
    pub(super) names: HashMap<Box<str>, u32>,
    /// Next segments that are values: `{id}`, `{id}.json`. Canonical segments hold no braces.
    pub(super) positions: Vec<(Box<str>, u32)>,
    /// Methods asked here, with the calls of each.
    pub(super) methods: Vec<(Box<str>, u32)>,
    /// Calls served here.
    pub(super) served: u32,
    /// Calls refused here.
    pub(super) refused: u32,
    /// Calls here and below, as counted by the last decision.
    pub(super) calls_below: u32,
    /// Calls served here and below, as counted by the last decision.
    pub(super) served_below: u32,
    /// The words that were folded into this position.
    pub(super) folded: Option<Box<Crowd>>,
    /// The template, once it was asked for, and the generation that it is of.
    pub(super) template: Option<(u32, Arc<str>)>,
}

pub(super) const ROOT: u32 = 0;

impl Place {
    /// All that comes next.
    pub(super) fn children(&self) -> impl Iterator<Item = (&str, u32)> {
        let names = self.names.iter().map(|(key, &next)| (&**key, next));
        let positions = self.positions.iter().map(|(key, next)| (&**key, *next));
        names.chain(positions)
    }

    /// The position of values that end in `tail`.
    pub(super) fn position(&self, tail: &str) -> Option<(&str, u32)> {
        let mut all = self.positions.iter();
        all.find(|(key, _)| position_tail(key) == tail)
            .map(|(key, next)| (&**key, *next))
    }
}

/// What is known of the paths of one service. A place is named by its index, which holds until
/// the next step of a decision ([`Learner::generation`]).
#[derive(Clone, Debug)]
pub struct Learner {
    pub(super) places: Vec<Place>,
    /// Indexes of places that were folded into others.
    pub(super) free: Vec<u32>,
    max_places: usize,
    pub(super) settled_at: usize,
    generation: u32,
    /// A decision was made once.
    pub(super) decided: bool,
    /// The decision under way.
    pub(super) settling: Option<Settling>,
    /// Paths that found no room since the last decision.
    turned_away: u32,
    /// Grows with everything new that is worth keeping.
    revision: u64,
}

impl Learner {
    /// Knows nothing, and never holds more than `max_places`.
    pub fn new(max_places: usize) -> Self {
        Self {
            places: vec![Place::default()],
            free: Vec::new(),
            max_places: max_places.max(2),
            settled_at: 0,
            generation: 0,
            decided: false,
            settling: None,
            turned_away: 0,
            revision: 0,
        }
    }

    /// Grows with everything new that is worth keeping: places, endpoints, decisions.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    pub(super) fn place(&self, at: u32) -> Option<&Place> {
        self.places.get(at as usize)
    }

    pub(super) fn place_mut(&mut self, at: u32) -> Option<&mut Place> {
        self.places.get_mut(at as usize)
    }

    /// Places in use.
    pub fn len(&self) -> usize {
        self.places.len() - self.free.len()
    }

    pub(super) fn capacity(&self) -> usize {
        self.max_places
    }

    /// Grows with each step of a decision; indexes of another generation mean nothing.
    pub fn generation(&self) -> u32 {
        self.generation
    }

    /// The place of a path, made if it is new. `None` if there is no room for it.
    pub fn reach(&mut self, segments: &[String]) -> Option<u32> {
        let mut at = ROOT;
        for (depth, segment) in segments.iter().enumerate() {
            at = match self.known(at, depth, segment) {
                Some((_, next)) => next,
                None => match self.grow(at, depth, segment) {
                    Some(next) => next,
                    None => {
                        self.turned_away = self.turned_away.saturating_add(1);
                        return None;
                    }
                },
            };
        }
        Some(at)
    }

    /// The place of a path, if it is known.
    pub fn find(&self, segments: &[String]) -> Option<u32> {
        let mut at = ROOT;
        for (depth, segment) in segments.iter().enumerate() {
            (_, at) = self.known(at, depth, segment)?;
        }
        Some(at)
    }

    /// Adds one call to a place of this generation.
    pub fn observe(&mut self, at: u32, method: &str, answer: Answer) {
        let Some(place) = self.place_mut(at) else {
            return;
        };
        let first = place.served == 0 && answer == Answer::Served;
        match answer {
            Answer::Served => place.served = place.served.saturating_add(1),
            Answer::Refused => place.refused = place.refused.saturating_add(1),
            Answer::Absent => {}
        }
        let room = place.methods.len() < MAX_METHODS;
        let mut known = place.methods.iter_mut();
        match known.find(|(known, _)| **known == *method) {
            Some((_, calls)) => *calls = calls.saturating_add(1),
            None if room => place.methods.push((method.into(), 1)),
            None => {}
        }
        self.revision += u64::from(first);
    }

    /// Enough is new for a decision, or one is under way.
    pub fn is_due(&self) -> bool {
        if self.settling.is_some() {
            return true;
        }
        let new = self.len().saturating_sub(self.settled_at);
        new >= MIN_NEW_PLACES && new * GROWTH >= self.settled_at
            || self.turned_away >= MAX_TURNED_AWAY
    }

    pub(super) fn settled(&mut self) {
        self.settled_at = self.len();
        self.turned_away = 0;
        self.decided = true;
        self.changed();
    }

    /// Indexes and templates given out so far mean nothing any more.
    pub(super) fn changed(&mut self) {
        self.generation = self.generation.wrapping_add(1);
        self.revision += 1;
    }

    fn grow(&mut self, at: u32, depth: usize, segment: &str) -> Option<u32> {
        let key = lexicon::placeholder(segment, depth).unwrap_or_else(|| segment.to_owned());
        let next = match self.free.pop() {
            Some(next) => next,
            None if self.places.len() < self.max_places => {
                self.places.push(Place::default());
                u32::try_from(self.places.len() - 1).ok()?
            }
            None => return None,
        };
        let place = self.place_mut(at)?;
        if key.starts_with('{') {
            place.positions.push((key.into(), next));
        } else {
            place.names.insert(key.into(), next);
        }
        Some(next)
    }

    /// The template of a path whose place is `at`; `None` if it never was an endpoint.
    pub fn template(&mut self, segments: &[String], at: u32) -> Option<Arc<str>> {
        let place = self.place(at)?;
        if place.served == 0 && !(place.refused > 0 && self.is_beside_served(segments)) {
            return None;
        }
        let generation = self.generation;
        if let Some((then, template)) = &self.place(at)?.template
            && *then == generation
        {
            return Some(Arc::clone(template));
        }
        let template: Arc<str> = self.write(segments).into();
        self.place_mut(at)?.template = Some((generation, Arc::clone(&template)));
        Some(template)
    }

    /// Something below the same parent was served; the root is the parent of everything, so it
    /// says nothing.
    fn is_beside_served(&self, segments: &[String]) -> bool {
        let Some((_, above)) = segments.split_last() else {
            return false;
        };
        let mut at = ROOT;
        for (depth, segment) in above.iter().enumerate() {
            let Some((_, next)) = self.known(at, depth, segment) else {
                return false;
            };
            at = next;
        }
        at != ROOT && self.place(at).is_some_and(|parent| parent.served_below > 0)
    }

    fn write(&self, segments: &[String]) -> String {
        let mut out = String::with_capacity(64);
        let mut at = ROOT;
        for (depth, segment) in segments.iter().enumerate() {
            let Some((key, next)) = self.known(at, depth, segment) else {
                break;
            };
            out.push('/');
            if out.len() + key.len() + 1 + REST.len() > MAX_TEMPLATE {
                out.push_str(REST);
                return out;
            }
            out.push_str(key);
            at = next;
        }
        if out.is_empty() {
            out.push('/');
        }
        out
    }

    /// The child that a segment belongs to: a name, else the position of its type, else the
    /// position of words.
    fn known(&self, at: u32, depth: usize, segment: &str) -> Option<(&str, u32)> {
        let place = self.place(at)?;
        let name = |key: &str| {
            let (key, &next) = place.names.get_key_value(key)?;
            Some((&**key, next))
        };
        if let Some(found) = name(segment) {
            return Some(found);
        }
        if let Some(key) = lexicon::placeholder(segment, depth) {
            let exact = place.positions.iter().find(|(known, _)| **known == *key);
            return exact
                .map(|(key, next)| (&**key, *next))
                .or_else(|| place.position(position_tail(&key)).filter(|_| self.decided))
                .or_else(|| name(&key))
                .or_else(|| {
                    // Tails are anybody's to invent; one more than these says nothing.
                    let full = key.starts_with('{') && place.positions.len() >= MAX_POSITIONS;
                    let (key, next) = place.positions.first().filter(|_| full)?;
                    Some((&**key, *next))
                });
        }
        let tail = lexicon::suffix(segment).map_or("", |(_, tail)| tail);
        let (key, next) = place.position(tail).or_else(|| place.position(""))?;
        // Where words were found to be values a new one is a value too, unless interfaces in
        // general use it as a name.
        let folded = self.place(next)?.folded.as_deref()?;
        let value = words::familiarity(segment) < 1.0 || folded.has_familiar(segment);
        value.then_some((key, next))
    }
}

/// What follows the value in the key of a position: `.json` of `{id}.json`.
pub(super) fn position_tail(key: &str) -> &str {
    key.split_once('}').map_or("", |(_, tail)| tail)
}
