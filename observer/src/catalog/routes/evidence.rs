//! What speaks for a segment being a value, as numbers.

use std::collections::HashMap;

use super::lexicon::CASES;
use super::weights::{AMONG_ALL, AMONG_VALUES};
use crate::hashing::AsIs;

/// Numbers that are weighed.
pub(super) const FEATURES: usize = 30;

/// Values of a position that are remembered because they look like names; the words in general
/// use are few.
const MAX_FAMILIAR: usize = 64;

/// What is known of one word at its place, apart from its siblings.
#[derive(Clone, Debug)]
pub(super) struct Member {
    pub(super) key: Box<str>,
    /// It or something below it was served; what never was says nothing about its siblings.
    pub(super) served: bool,
    pub(super) calls: f32,
    /// Log odds by its characters, and by its letter case against the service's own.
    pub(super) odd: f32,
    pub(super) stranger: f32,
    /// Share of its parts that interfaces in general use.
    pub(super) familiar: f32,
    pub(super) plural: f32,
    /// Places of this service where the word stands.
    pub(super) places: f32,
    /// Nothing was asked below it.
    pub(super) leaf: bool,
    pub(super) case: usize,
    /// What was asked at and below it, as hashes of method and shape.
    pub(super) asked: Vec<u64>,
}

impl Member {
    /// A word of which nothing is known.
    pub(super) fn unknown(key: &str) -> Self {
        Self {
            key: key.into(),
            served: false,
            calls: 1.0,
            odd: 0.0,
            stranger: 0.0,
            familiar: 0.0,
            plural: 0.0,
            places: 1.0,
            leaf: true,
            case: 0,
            asked: Vec::new(),
        }
    }
}

/// What is known of the place where the words stand.
#[derive(Clone, Debug, Default)]
pub(super) struct Setting {
    /// Share of the calls here that go to values of an exact type (numbers, UUIDs, …).
    pub(super) exact: f32,
    /// Share that goes to values of a loose type (tokens, texts, words found to be values).
    pub(super) loose: f32,
    /// Nothing but versions stand before it.
    pub(super) first: f32,
    /// It comes after a value.
    pub(super) after_value: f32,
    /// It comes after a plural.
    pub(super) after_plural: f32,
    /// Logarithm of the calls that go to typed values.
    pub(super) typed: f32,
    /// Different things asked below all words here.
    pub(super) kinds: f32,
}

/// Sums over words.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Sums {
    pub(super) count: f32,
    pub(super) calls: f32,
    pub(super) odd: f32,
    pub(super) familiar: f32,
    pub(super) plural: f32,
    pub(super) famous: f32,
    pub(super) leaves: f32,
    pub(super) cases: [f32; CASES],
}

impl Sums {
    /// Adds a word with a weight; a negative one takes it out again.
    pub(super) fn add(&mut self, member: &Member, weight: f32) {
        let Self {
            count,
            calls,
            odd,
            familiar,
            plural,
            famous,
            leaves,
            cases,
        } = self;
        *count += weight;
        *calls += weight * member.calls;
        *odd += weight * (member.odd + member.stranger);
        *familiar += weight * member.familiar;
        *plural += weight * member.plural;
        *famous += weight * fame(member);
        *leaves += weight * f32::from(u8::from(member.leaf));
        if let Some(sum) = cases.get_mut(member.case) {
            *sum += weight;
        }
    }

    /// Adds the sums of others.
    pub(super) fn join(&mut self, other: &Self) {
        self.count += other.count;
        self.calls += other.calls;
        self.odd += other.odd;
        self.familiar += other.familiar;
        self.plural += other.plural;
        self.famous += other.famous;
        self.leaves += other.leaves;
        for (sum, more) in self.cases.iter_mut().zip(other.cases) {
            *sum += more;
        }
    }
}

/// The words folded into a position.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Crowd {
    pub(super) sums: Sums,
    /// Values that interfaces in general use as names.
    pub(super) familiar_values: Vec<Box<str>>,
}

impl Crowd {
    /// Takes a word into the crowd for good.
    pub(super) fn fold(&mut self, member: &Member) {
        self.sums.add(member, 1.0);
        if member.familiar >= 1.0 {
            self.keep(&member.key);
        }
    }

    /// Remembers a value that looks like a name, as far as there is room.
    pub(super) fn keep(&mut self, word: &str) {
        if self.familiar_values.len() < MAX_FAMILIAR {
            self.familiar_values.push(word.into());
        }
    }

    /// This word was folded although interfaces in general use it as a name.
    pub(super) fn has_familiar(&self, word: &str) -> bool {
        self.familiar_values.iter().any(|known| **known == *word)
    }

    /// Adds what another position of values had folded.
    pub(super) fn join(&mut self, other: &Self) {
        self.sums.join(&other.sums);
        let room = MAX_FAMILIAR.saturating_sub(self.familiar_values.len());
        let more = other.familiar_values.iter().take(room);
        self.familiar_values.extend(more.cloned());
    }
}

/// What was asked below each of a crowd, in words that asked it. Its hashes have no key, so that the
/// same calls give the same routes in each run: it lives for one decision, and is as bounded as the
/// places of a service.
pub(super) type Asked = HashMap<u64, f32, AsIs>;

fn fame(member: &Member) -> f32 {
    (member.places - 1.0).min(3.0)
}

/// The evidence on one word. `crowd` and `asked` are of its siblings without itself.
pub(super) fn features(
    member: &Member,
    setting: &Setting,
    crowd: &Sums,
    asked: impl Fn(u64) -> f32,
    asked_total: f32,
) -> [f32; FEATURES] {
    let count = crowd.count.max(0.0);
    let calls = crowd.calls.max(0.0);
    let trust = count / (count + 2.0);
    let crowded = (1.0 + count).ln();
    let mean = |sum: f32| sum / count.max(1.0);

    let (mut shape, mut cover) = (0.0, 0.0);
    for &what in &member.asked {
        let seen = asked(what).max(0.0);
        let odds = (seen + 1.0 / setting.kinds) / (asked_total + 1.0) * setting.kinds;
        shape += odds.ln().clamp(-3.0, 3.0);
        cover += (seen / (count + 1.0)).min(1.0);
    }
    let ways = member.asked.len().max(1) as f32;
    let (shape, cover) = (shape / ways, cover / ways);

    let mut entropy = 0.0;
    for &cases in &crowd.cases {
        let share = cases / count.max(1e-3);
        if share > 1e-3 {
            entropy -= share * share.ln();
        }
    }
    let same_case = match crowd.cases.get(member.case) {
        Some(&same) if count > 0.5 => same / count,
        _ => 0.5,
    };
    let leaf = f32::from(u8::from(member.leaf));
    let above_mean = (member.calls / (calls / count.max(0.01) + 1.0))
        .max(0.05)
        .ln();
    let rarity = count / calls.max(count).max(0.01);
    [
        1.0,
        member.odd,
        member.stranger,
        member.familiar,
        member.plural,
        shape,
        cover * crowded,
        (1.0 - leaf) * shape,
        leaf * crowded,
        (1.0 - leaf) * crowded,
        (1.0 + member.calls).ln(),
        above_mean * trust,
        rarity * crowded,
        setting.exact,
        setting.loose,
        setting.first,
        setting.after_value,
        setting.after_plural,
        setting.typed,
        mean(crowd.odd) * trust,
        mean(crowd.familiar) * trust,
        mean(crowd.plural) * trust,
        mean(crowd.famous) * trust,
        fame(member),
        entropy * trust,
        member.asked.len() as f32 / (1.0 + member.calls),
        mean(crowd.leaves) * trust,
        mean(crowd.odd) * crowded,
        setting.first * crowded,
        same_case,
    ]
}

/// Belief, 0 to 1, that the word is a value. `among_values`: the siblings are weighted by the
/// belief in them; before there is any, all count alike.
pub(super) fn belief(features: &[f32; FEATURES], among_values: bool) -> f32 {
    let weights = if among_values {
        &AMONG_VALUES
    } else {
        &AMONG_ALL
    };
    let odds: f32 = features.iter().zip(weights).map(|(f, w)| f * w).sum();
    1.0 / (1.0 + (-odds).exp())
}
