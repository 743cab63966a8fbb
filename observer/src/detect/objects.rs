//! How many objects of an endpoint one caller asks for.

use std::sync::Arc;
use std::time::Duration;

use super::distinct::Distinct;
use super::facts::Facts;
use super::finding::Finding;
use super::rate::Rate;
use super::rule::OBJECT_ENUMERATION;
use super::settings::DetectSettings;

/// Objects are counted over this.
const WINDOW: u64 = 600_000_000_000;
/// Callers that show what is usual.
const PEERS: u64 = 5;
/// So many times what the others ask for.
const TIMES: u64 = 8;
/// What one caller adds to what is usual, at most.
const SHARE: usize = 20;

/// What the callers of an endpoint usually ask for.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Usual {
    callers: u64,
    objects: u64,
}

/// What one caller asked an endpoint for.
#[derive(Debug, Default)]
pub(super) struct Objects {
    asked: Rate,
    turned_away: Rate,
    objects: Distinct,
    known: bool,
    reported: u64,
}

impl Objects {
    pub(super) fn push(
        &mut self,
        facts: &Facts<'_>,
        usual: &mut Usual,
        settings: &DetectSettings,
        out: &mut impl FnMut(Finding),
    ) {
        let now = facts.now;
        if !std::mem::replace(&mut self.known, true) {
            usual.callers += 1;
        }
        let asked = self.asked.add(now, WINDOW, 1);
        // To someone unknown, an object that is gone is a stale link.
        let away = match facts.call.status {
            Some(403) => true,
            Some(404 | 410) => facts.who().is_some(),
            _ => false,
        };
        let away = self.turned_away.add(now, WINDOW, u32::from(away));
        let (count, new) = self.objects.add(facts.target_key(), now, WINDOW);
        if new && count <= SHARE {
            usual.objects += 1;
        }
        let wanted = usize::try_from(settings.distinct_objects).unwrap_or(usize::MAX);
        if !new || count < wanted || now.abs_diff(self.reported) < WINDOW {
            return;
        }
        let many = usual.callers >= PEERS && count as u64 * usual.callers >= TIMES * usual.objects;
        if away * 5 >= asked || many {
            self.reported = now;
            let who = facts.who().map(Arc::from);
            let message = format!(
                "one caller asked for {count} or more objects of {} of {} within ten minutes, and {away} times in {asked} was turned away: it is trying whose objects it can get",
                facts.endpoint(),
                facts.service()
            );
            out(Finding {
                identity: who,
                count: asked,
                distinct: count as u64,
                window: Duration::from_nanos(WINDOW),
                ..facts.finding(OBJECT_ENUMERATION, message)
            });
        }
    }
}
