//! Attacks and their innocent twins, made by a seeded generator: what must be noticed, what must
//! not, and how long it takes.

mod access;
mod guessing;
mod probing;
mod traffic;
mod volume;

use observer::catalog::Catalog;
use observer::detect::{DetectSettings, Detector, Judge};
use traffic::{SECOND, START, Scenario, Scenarios, Seeded};

/// Findings that say nothing against a caller: they may stand beside any scenario.
const NEUTRAL: [&str; 5] = [
    "stale_credential",
    "credential_outage",
    "cleartext_credential",
    "credential_in_url",
    "long_lived_token",
];

fn scenarios() -> Vec<Scenario> {
    let mut random = Seeded(0x5eed_0b5e_77e5);
    let mut all = Scenarios::default();
    guessing::add(&mut all, &mut random);
    access::add(&mut all, &mut random);
    probing::add(&mut all, &mut random);
    volume::add(&mut all, &mut random);
    all.0
}

#[test]
fn attacks_are_noticed_and_their_innocent_twins_are_not() {
    let (mut right, mut missed, mut false_alarms, mut attacks, mut innocents) = (0, 0, 0, 0, 0);
    println!("{:<58} {:>8}  found", "scenario", "after s");
    for Scenario {
        name,
        wanted,
        begins,
        calls,
    } in scenarios()
    {
        let (mut catalog, mut judge) = (Catalog::default(), Judge::default());
        let mut detector = Detector::new(DetectSettings::default());
        let mut found: Vec<(String, f64)> = Vec::new();
        for mut call in calls {
            catalog.name(&mut call);
            call.auth.outcome = judge.judge(&call);
            detector.push(&call, &mut |finding| {
                let after =
                    finding.time_unix_ns.saturating_sub(START + begins) as f64 / SECOND as f64;
                if !found.iter().any(|(rule, _)| *rule == finding.rule) {
                    found.push((finding.rule.to_string(), after));
                }
                assert!(!finding.message.is_empty());
            });
        }
        found.retain(|(rule, _)| !NEUTRAL.contains(&rule.as_str()));
        let hit = found
            .iter()
            .find(|(rule, _)| wanted.contains(&rule.as_str()));
        let rules: Vec<_> = found.iter().map(|(rule, _)| rule.as_str()).collect();
        let after = hit.map_or("-".to_owned(), |(_, after)| format!("{after:.1}"));
        println!("{name:<58} {after:>8}  {}", rules.join(" "));
        if wanted.is_empty() {
            innocents += 1;
            false_alarms += usize::from(!found.is_empty());
        } else {
            attacks += 1;
            right += usize::from(hit.is_some());
            missed += usize::from(hit.is_none());
        }
    }
    let precision = right as f64 / (right + false_alarms).max(1) as f64;
    let recall = right as f64 / f64::from(attacks);
    println!(
        "{attacks} attacks, {innocents} innocents: precision {precision:.3}, recall {recall:.3}, missed {missed}"
    );
    assert!(attacks + innocents >= 40);
    assert_eq!(false_alarms, 0);
    assert!(recall >= 0.97, "{recall}");
}
