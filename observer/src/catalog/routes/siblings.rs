//! The words at one place, with what is known of them.

use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};

use super::evidence::{Asked, Member, Setting, Sums, belief, features};
use super::lexicon::{self, CASES, Case};
use super::trie::{Learner, Place};
use super::words;

/// Levels below a word that are compared.
const MAX_DEPTH: u32 = 6;
/// Ends below a word that are compared.
const MAX_ENDS: usize = 256;
/// Rounds in which beliefs about siblings are taken into account.
const ROUNDS: usize = 4;
/// Two names taken for one endpoint hide something; one endpoint under two names does not. So a
/// word is a value only when that is clearly more likely.
const MIN_BELIEF: f32 = 0.55;

/// What was never served is no endpoint of its own, so nothing is hidden by taking it for a value.
const MIN_BELIEF_UNSERVED: f32 = 0.3;

/// How a service writes its own words.
#[derive(Clone, Debug, Default)]
pub(super) struct Vocabulary {
    cases: [f32; CASES],
    places: HashMap<Box<str>, u32>,
}

impl Vocabulary {
    pub(super) fn of(learner: &Learner) -> Self {
        let mut places: HashMap<Box<str>, u32> = HashMap::new();
        for place in &learner.places {
            for (word, &next) in &place.names {
                if learner
                    .place(next)
                    .is_some_and(|next| next.served_below > 0)
                {
                    *places.entry(word.clone()).or_default() += 1;
                }
            }
        }
        let mut cases = [0.0; CASES];
        // A word that stands in several places is hardly a value.
        for (word, _) in places.iter().filter(|(_, places)| **places >= 3) {
            if let Some(sum) = cases.get_mut(Case::of(word) as usize) {
                *sum += 1.0;
            }
        }
        Self { cases, places }
    }

    fn stranger(&self, case: Case) -> f32 {
        if case == Case::Lower {
            return 0.0;
        }
        let total: f32 = self.cases.iter().sum();
        let own = self.cases.get(case as usize).copied().unwrap_or(0.0);
        ((total + 2.0) / 6.0 / (own + 0.5)).ln().clamp(-1.0, 2.5)
    }
}

/// One thing asked below a word.
struct Way<'a> {
    /// Where: the last of its tokens in the list of all; `None` at the word itself.
    end: Option<u32>,
    method: &'a str,
    calls: u32,
}

/// A segment below a word.
struct Token<'a> {
    above: Option<u32>,
    level: u32,
    text: &'a str,
}

/// All that is asked at and below a word.
#[derive(Default)]
struct Ways<'a> {
    tokens: Vec<Token<'a>>,
    ends: Vec<Way<'a>>,
}

impl<'a> Ways<'a> {
    /// The tokens of a way, the last one first.
    fn path(&self, end: Option<u32>) -> impl Iterator<Item = (u32, &'a str)> {
        let mut next = end;
        std::iter::from_fn(move || {
            let token = self.tokens.get(next? as usize)?;
            next = token.above;
            Some((token.level, token.text))
        })
    }
}

/// The words at one place.
pub(super) struct Siblings {
    members: Vec<Member>,
    setting: Setting,
    /// Words folded here before, and what is asked below positions of values.
    crowd: Sums,
    asked: Asked,
    has_position: bool,
}

impl Siblings {
    /// The words below `at`. `parent` is the segment that leads there; `first`: nothing but
    /// versions stand before it.
    pub(super) fn of(
        learner: &Learner,
        at: u32,
        parent: &str,
        first: bool,
        own: &Vocabulary,
    ) -> Option<Self> {
        let place = learner.place(at).filter(|place| !place.names.is_empty())?;
        let mut children: Vec<(&str, &Place, Ways<'_>)> = Vec::new();
        for (key, next) in place.children() {
            let child = learner.place(next)?;
            children.push((key, child, ways(learner, next)));
        }
        children.sort_unstable_by_key(|(key, ..)| *key);
        let spread = spread(&children);

        let mut siblings = Self {
            members: Vec::with_capacity(children.len()),
            setting: Setting::default(),
            crowd: Sums::default(),
            asked: Asked::default(),
            has_position: !place.positions.is_empty(),
        };
        let mut kinds: HashSet<u64> = HashSet::new();
        let (mut exact, mut loose, mut words) = (0.0, 0.0, 0.0);
        for (key, child, ways) in &children {
            let asked = asked(ways, child.calls_below, &spread);
            let served = child.served_below > 0;
            if served {
                kinds.extend(&asked);
            }
            let calls = child.calls_below as f32;
            if key.starts_with('{') {
                for what in asked {
                    *siblings.asked.entry(what).or_default() += 1.0;
                }
                if let Some(folded) = &child.folded {
                    siblings.crowd.join(&folded.sums);
                }
                if matches!(*key, "{token}" | "{hex}" | "{long}" | "{text}" | "{name}") {
                    loose += calls;
                } else {
                    exact += calls;
                }
                continue;
            }
            if served {
                words += calls;
            }
            let stem = lexicon::suffix(key).map_or(*key, |(stem, _)| stem);
            let case = Case::of(stem);
            siblings.members.push(Member {
                key: (*key).into(),
                served,
                calls,
                odd: lexicon::oddness(stem).clamp(-4.0, 4.0),
                stranger: own.stranger(case),
                familiar: words::familiarity(stem),
                plural: f32::from(u8::from(words::is_plural(stem))),
                places: own.places.get(*key).copied().unwrap_or(1) as f32,
                leaf: ways.ends.iter().all(|way| way.end.is_none()),
                case: case as usize,
                asked,
            });
        }
        let flag = |is: bool| f32::from(u8::from(is));
        siblings.setting = Setting {
            exact: exact / f32::max(exact + words, 1.0),
            loose: loose / f32::max(loose + words, 1.0),
            first: flag(first),
            after_value: flag(parent.contains('{')),
            after_plural: flag(words::is_plural(parent)),
            typed: (1.0_f32 + exact + loose).ln(),
            kinds: kinds.len().max(1) as f32,
        };
        Some(siblings)
    }

    /// The words that are values.
    pub(super) fn values(self) -> Vec<Member> {
        let Self {
            members,
            setting,
            crowd,
            asked,
            has_position,
        } = self;
        let mut beliefs = vec![1.0; members.len()];
        for round in 0..ROUNDS {
            let (mut crowd, mut asked) = (crowd, asked.clone());
            for (member, &belief) in members.iter().zip(&beliefs).filter(|(m, _)| m.served) {
                crowd.add(member, belief);
                for &what in &member.asked {
                    *asked.entry(what).or_default() += belief;
                }
            }
            // In an order of their own, so that the last bits of the sum are the same each time.
            let mut sums: Vec<f32> = asked.values().copied().collect();
            sums.sort_unstable_by(f32::total_cmp);
            let total: f32 = sums.iter().sum();
            let next = members.iter().zip(&beliefs).map(|(member, &own)| {
                let own = if member.served { own } else { 0.0 };
                let mut others = crowd;
                others.add(member, -own);
                let others_asked = |what: u64| asked.get(&what).copied().unwrap_or(0.0) - own;
                let total = (total - own * member.asked.len() as f32).max(0.0);
                belief(
                    &features(member, &setting, &others, others_asked, total),
                    round > 0,
                )
            });
            beliefs = next.collect();
        }
        let is_value = |belief: f32| belief > MIN_BELIEF;
        // What was never served is a value only where there are values.
        let some = has_position
            || members
                .iter()
                .zip(&beliefs)
                .any(|(member, &belief)| member.served && is_value(belief));
        members
            .into_iter()
            .zip(beliefs)
            .filter(|(member, belief)| {
                if member.served {
                    is_value(*belief)
                } else {
                    some && *belief > MIN_BELIEF_UNSERVED
                }
            })
            .map(|(member, _)| member)
            .collect()
    }
}

/// What was asked at and below a place, at most [`MAX_ENDS`].
fn ways(learner: &Learner, from: u32) -> Ways<'_> {
    let mut ways = Ways::default();
    let mut todo: Vec<(u32, u32, Option<u32>)> = vec![(from, 0, None)];
    while let Some((at, level, end)) = todo.pop() {
        let Some(place) = learner.place(at) else {
            continue;
        };
        for (method, calls) in &place.methods {
            ways.ends.push(Way {
                end,
                method,
                calls: *calls,
            });
        }
        if ways.ends.len() >= MAX_ENDS || todo.len() >= MAX_ENDS {
            continue;
        }
        if level < MAX_DEPTH {
            // By name, so that what does not fit is the same each time.
            let mut children: Vec<(&str, u32)> = place.children().collect();
            if children.len() > 1 {
                children.sort_unstable();
            }
            for (key, next) in children {
                // Not above places that are known.
                let index = ways.tokens.len() as u32;
                ways.tokens.push(Token {
                    above: end,
                    level,
                    text: if key.contains('{') { "{}" } else { key },
                });
                todo.push((next, level + 1, Some(index)));
            }
        }
    }
    ways
}

/// How many siblings have a word at a level below them, and the calls that went there.
type Spread<'a> = HashMap<(u32, &'a str), (u32, u32)>;

fn spread<'a>(children: &[(&'a str, &'a Place, Ways<'a>)]) -> Spread<'a> {
    let mut spread = Spread::new();
    for (_, child, ways) in children {
        if child.served_below == 0 {
            continue;
        }
        let mut own: HashSet<(u32, &str)> = HashSet::new();
        for way in &ways.ends {
            for (level, token) in ways.path(way.end) {
                let (siblings, calls) = spread.entry((level, token)).or_default();
                *siblings += u32::from(own.insert((level, token)));
                *calls = calls.saturating_add(way.calls);
            }
        }
    }
    spread
}

/// Hashes of what was asked. A word that only one sibling has, and seldom, may be a value itself
/// and is left open.
fn asked(ways: &Ways<'_>, calls_below: u32, spread: &Spread<'_>) -> Vec<u64> {
    let hash = |way: &Way<'_>| {
        let mut hasher = DefaultHasher::new();
        way.method.hash(&mut hasher);
        for (level, token) in ways.path(way.end) {
            let open = spread
                .get(&(level, token))
                .is_none_or(|&(siblings, calls)| {
                    siblings == 1 && (calls <= 2 || calls as f32 <= 0.15 * calls_below as f32)
                });
            (if open { "*" } else { token }).hash(&mut hasher);
        }
        hasher.finish()
    };
    let mut all: Vec<u64> = ways.ends.iter().map(hash).collect();
    all.sort_unstable();
    all.dedup();
    all
}
