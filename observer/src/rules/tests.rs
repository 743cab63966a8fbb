use std::path::PathBuf;

use super::{RuleSet, UserRules};
use crate::call::{ApiCall, AuthOutcome, Flag, Signs};
use crate::catalog::sample;
use crate::detect::{Finding, Severity};

const SECOND: u64 = 1_000_000_000;

fn set(text: &str) -> RuleSet {
    RuleSet::of_texts(&[(PathBuf::from("r.yml"), text.to_owned())]).unwrap()
}

fn error(text: &str) -> String {
    RuleSet::of_texts(&[(PathBuf::from("r.yml"), text.to_owned())])
        .unwrap_err()
        .to_string()
}

/// Whether a detection of these lines finds a call.
fn finds(detection: &str, call: &ApiCall) -> bool {
    let lines: String = detection
        .lines()
        .map(|line| format!("  {line}\n"))
        .collect();
    let mut rules = UserRules::new(set(&format!("title: x\ndetection:\n{lines}")));
    let mut found = false;
    rules.push(call, &mut |_| found = true);
    found
}

fn call(second: u64, client: u8, path: &str, status: u16) -> ApiCall {
    let mut call = sample::call("GET", path, Some(status));
    call.time_unix_ns += second * SECOND;
    call.client = Some(([198, 51, 100, client], 1).into());
    call.service = Some("shop".into());
    call.route = Some(path.into());
    call
}

fn findings(rules: &mut UserRules, calls: impl IntoIterator<Item = ApiCall>) -> Vec<Finding> {
    let mut found = Vec::new();
    for call in calls {
        rules.push(&call, &mut |finding| found.push(finding));
    }
    found
}

#[test]
fn selections_choose_by_value_list_modifier_and_absence() {
    let mut asked = call(0, 7, "/Admin/users.bak", 403);
    asked.method = "POST".to_owned();
    asked.query = Some("id=*".to_owned());
    asked.signs = Signs::SQL | Signs::SCANNER;
    asked.flags = vec![Flag::LaxSyntax];
    for (selection, found) in [
        ("s:\n  cs-method: post\ncondition: s", true),
        ("s:\n  method: [GET, PUT]\ncondition: s", false),
        (
            "s:\n  status: [401, 403]\n  path|startswith: /admin\ncondition: s",
            true,
        ),
        (
            "s:\n  status|gte: 400\n  status|lt: 403\ncondition: s",
            false,
        ),
        ("s:\n  status: 4*\ncondition: s", true),
        ("s:\n  path|contains|all: [admin, .bak]\ncondition: s", true),
        (
            "s:\n  path|contains|all: [admin, .zip]\ncondition: s",
            false,
        ),
        ("s:\n  path|contains|cased: admin\ncondition: s", false),
        ("s:\n  path|re: 'users\\.(bak|old)$'\ncondition: s", true),
        ("s:\n  path|re: admin\ncondition: s", false),
        ("s:\n  path|re|i: ^/admin\ncondition: s", true),
        ("s:\n  path|endswith|neq: .bak\ncondition: s", false),
        (
            "s:\n  c-ip|cidr: [10.0.0.0/8, 198.51.100.0/24]\ncondition: s",
            true,
        ),
        ("s:\n  c-ip: 198.51.100.8\ncondition: s", false),
        ("s:\n  c-ip: 198.51.100.*\ncondition: s", true),
        (
            "s:\n  operation|exists: false\n  route|exists: true\ncondition: s",
            true,
        ),
        ("s:\n  operation: null\ncondition: s", true),
        ("s:\n  route: null\ncondition: s", false),
        (
            "s:\n  sign: [sql, code]\n  flag: lax_syntax\ncondition: s",
            true,
        ),
        ("s:\n  path|fieldref: route\ncondition: s", true),
        ("s:\n  uri|endswith: 'bak\\?id=\\*'\ncondition: s", true),
        ("s:\n  - method: GET\n  - status: 403\ncondition: s", true),
        ("s:\n  - users.bak\n  - nothing\ncondition: s", true),
        ("s:\n  '|all': [users.bak, nothing]\ncondition: s", false),
        (
            "a:\n  method: POST\nb:\n  status: 403\nfilter_x:\n  client: 198.51.100.7\ncondition: all of them",
            true,
        ),
        (
            "a:\n  method: POST\nfilter_x:\n  client: 198.51.100.7\ncondition: a and not 1 of filter_*",
            false,
        ),
    ] {
        assert_eq!(finds(selection, &asked), found, "{selection}");
    }
}

#[test]
fn a_finding_has_title_severity_technique_client_and_endpoint() {
    let text = "title: Backup asked for\nid: 6f1d\nlevel: critical\ntags: [attack.discovery, attack.t1595.003]\n\
                logsource: {category: webserver}\ndetection:\n  s:\n    path|endswith: .bak\n  condition: s\n";
    let mut rules = UserRules::new(set(text));
    let found = findings(
        &mut rules,
        [call(0, 7, "/a.bak", 404), call(1, 7, "/a", 200)],
    );
    assert_eq!(found.len(), 1);
    assert_eq!(&*found[0].rule, "backup_asked_for");
    assert_eq!(&*found[0].mitre, "T1595.003");
    assert_eq!(found[0].severity, Severity::High);
    assert_eq!(found[0].subject(), "198.51.100.7");
    assert_eq!(
        found[0].to_string(),
        "Backup asked for: 198.51.100.7 asked for GET /a.bak of shop"
    );
    let mut out = call(2, 7, "/a.bak", 404);
    out.role = crate::call::Role::Client;
    assert!(
        findings(&mut rules, [out]).is_empty(),
        "webserver: only calls that came in"
    );
}

#[test]
fn a_rule_that_matches_again_and_again_is_told_once_a_minute() {
    let mut rules = UserRules::new(set(
        "title: x\ndetection:\n  s: {status: 404}\n  condition: s\n",
    ));
    let found = findings(
        &mut rules,
        (0..120).map(|second| call(second, 7, "/a", 404)),
    );
    assert_eq!(
        found
            .iter()
            .map(|finding| finding.count)
            .collect::<Vec<_>>(),
        [1, 60]
    );
    assert_eq!(findings(&mut rules, [call(120, 8, "/a", 404)]).len(), 1);
}

const FAILED: &str =
    "title: Refused\nname: refused\ndetection:\n  s: {auth: failed}\n  condition: s\n---\n";

fn refused(second: u64, client: u8, user: &str) -> ApiCall {
    let mut call = call(second, client, "/login", 401);
    call.login = Some(user.into());
    call.auth.outcome = AuthOutcome::Failed;
    call
}

#[test]
fn events_are_counted_for_each_group_within_the_timespan() {
    let text = format!(
        "{FAILED}title: Many refused\ncorrelation:\n  type: event_count\n  rules: [refused]\n  group-by: [c-ip]\n  \
         timespan: 1m\n  condition: {{gte: 5}}\nlevel: high\n"
    );
    let mut rules = UserRules::new(set(&text));
    let slow = (0..20).map(|n| refused(n * 20, 9, "eve"));
    assert!(findings(&mut rules, slow).is_empty());
    let spread = (0..20).map(|n| refused(500 + n, u8::try_from(n % 5).unwrap(), "eve"));
    assert!(findings(&mut rules, spread).is_empty());
    let found = findings(&mut rules, (0..20).map(|n| refused(1000 + n, 7, "eve")));
    assert_eq!(found.len(), 1, "told once in a timespan");
    assert_eq!((found[0].count, found[0].severity), (5, Severity::High));
    assert_eq!(found[0].span.as_secs(), 4);
    assert!(
        found[0]
            .message
            .contains("5 calls of client 198.51.100.7 within 60 s"),
        "{}",
        found[0].message
    );
}

#[test]
fn different_values_are_counted_and_those_without_a_field_are_not() {
    let text = format!(
        "{FAILED}title: Spray\ncorrelation:\n  type: value_count\n  rules: refused\n  group-by: [client]\n  \
         timespan: 10m\n  condition: {{field: cs-username, gt: 3}}\n"
    );
    let mut rules = UserRules::new(set(&text));
    let same = (0..50).map(|n| refused(n, 7, "bob"));
    assert!(findings(&mut rules, same).is_empty());
    let many = (0..4).map(|n| refused(60 + n, 7, &format!("user{n}")));
    let found = findings(&mut rules, many);
    assert_eq!((found.len(), found[0].distinct), (1, 4));
    let mut nameless = refused(0, 8, "");
    nameless.login = None;
    findings(&mut rules, [nameless]);
    assert_eq!(rules.counts().ungrouped, 1);
}

#[test]
fn rules_that_belong_together_are_found_in_any_order_or_in_theirs() {
    let text = |kind: &str| {
        format!(
            "{FAILED}title: Accepted\nname: accepted\ndetection:\n  s: {{auth: success}}\n  condition: s\n---\n\
             title: Guessed\ncorrelation:\n  type: {kind}\n  rules: [refused, accepted]\n  group-by: [user]\n  timespan: 5m\n"
        )
    };
    let accepted = |second, user| {
        let mut call = refused(second, 3, user);
        call.auth.outcome = AuthOutcome::Success;
        call
    };
    let mut any = UserRules::new(set(&text("temporal")));
    let mut row = UserRules::new(set(&text("temporal_ordered")));
    let backwards = || [accepted(0, "bob"), refused(1, 3, "bob")];
    assert_eq!(findings(&mut any, backwards()).len(), 1);
    assert!(findings(&mut row, backwards()).is_empty());
    let found = findings(
        &mut row,
        [
            refused(10, 3, "ann"),
            accepted(20, "eve"),
            accepted(30, "ann"),
        ],
    );
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].subject(), "ann");
    let late = [refused(1000, 3, "ann"), accepted(1301, "ann")];
    assert!(findings(&mut row, late).is_empty());
}

#[test]
fn correlations_build_on_correlations_and_aliases_join_fields() {
    let text = format!(
        "title: Takeover\nlevel: high\ncorrelation:\n  type: temporal_ordered\n  rules: [burst, Secret read]\n  \
         aliases:\n    who: {{burst: login, secret_read: identity}}\n  group-by: [who]\n  timespan: 1h\n---\n\
         {FAILED}title: Burst\nname: burst\ncorrelation:\n  type: event_count\n  rules: [refused]\n  group-by: [login]\n  \
         timespan: 1m\n  condition: {{gte: 3}}\n---\n\
         title: Secret read\ndetection:\n  s: {{path: /secrets}}\n  condition: s\n"
    );
    let mut rules = UserRules::new(set(&text));
    let mut read = call(100, 3, "/secrets", 200);
    read.identity = Some(std::sync::Arc::new(crate::call::Identity {
        kind: crate::call::IdentityKind::Basic,
        id: "bob".into(),
        fingerprint: None,
        earlier: None,
        class: None,
        source: "header:authorization".into(),
        verified: true,
        claims: None,
    }));
    let found = findings(
        &mut rules,
        (0..4).map(|n| refused(n, 3, "bob")).chain([read]),
    );
    let names: Vec<&str> = found.iter().map(|finding| &*finding.rule).collect();
    assert_eq!(names, ["takeover"], "what only serves others is silent");
}

#[test]
fn what_is_wrong_is_one_error_with_file_line_and_remedy() {
    let rule =
        |selection: &str| format!("title: x\ndetection:\n  s:\n    {selection}\n  condition: s\n");
    let correlation =
        |lines: &str| format!("{FAILED}title: y\ncorrelation:\n  rules: [refused]\n{lines}");
    for (text, line, what) in [
        (rule("colour: red"), 4, "there is no field \"colour\": there are method"),
        (rule("cs-user-agent: x"), 4, "`sign: scanner`"),
        (rule("path|base64: x"), 4, "\"base64\" is not taken: there are contains"),
        (rule("status: many"), 4, "\"many\" is no whole number"),
        (rule("client|cidr: 10.0.0.0/33"), 4, "such as 10.0.0.0/8"),
        (rule("path|re: '(a'"), 4, "unclosed group"),
        (rule("path|re: '(?=a)'"), 4, "look-around"),
        (rule("path:\n      - a\n      - [b]"), 6, "a value must be a text"),
        ("title: x\ndetection:\n  s: {method: GET}\n".to_owned(), 3, "needs a condition"),
        ("title: x\ndetection:\n  s: {method: GET}\n  condition: t\n".to_owned(), 4, "there are s"),
        ("detection: {}\n".to_owned(), 1, "needs a title"),
        ("title: x\n".to_owned(), 1, "needs a detection or a correlation"),
        (
            "title: x\nlogsource:\n  category: process_creation\ndetection: {s: {method: a}, condition: s}\n".to_owned(),
            3,
            "the category can be webserver",
        ),
        ("title: Brute force\ndetection: {s: {method: a}, condition: s}\n".to_owned(), 1, "built-in"),
        (format!("{FAILED}{FAILED}"), 7, "is there already (r.yml:1)"),
        (correlation("  type: value_avg\n"), 10, "there are event_count"),
        (correlation("  type: event_count\n  timespan: 5 minutes\n  condition: {gte: 2}\n"), 11, "with s, m, h or d"),
        (correlation("  type: event_count\n  timespan: 5m\n  condition: {lt: 2}\n"), 12, "true before the first call"),
        (correlation("  type: value_count\n  timespan: 5m\n  condition: {gte: 2}\n"), 9, "needs `field`"),
        (correlation("  type: temporal\n  timespan: 5m\n  group-by: [colour]\n"), 12, "no field \"colour\""),
        (
            "title: y\ncorrelation:\n  type: temporal\n  timespan: 5m\n  rules: [z]\n".to_owned(),
            5,
            "no rule has the name or id \"z\"",
        ),
        (
            "title: y\ncorrelation:\n  type: temporal\n  timespan: 5m\n  rules: [y]\n".to_owned(),
            1,
            "refers to itself",
        ),
    ] {
        let error = error(&text);
        assert!(error.starts_with(&format!("r.yml:{line}: ")), "{text}\n{error}");
        assert!(error.contains(what), "{text}\n{error}");
    }
}

#[test]
fn rules_that_stay_keep_what_they_counted_when_others_change() {
    let count = |span: &str| {
        format!(
            "{FAILED}title: Many\ncorrelation:\n  type: event_count\n  rules: [refused]\n  group-by: [client]\n  \
             timespan: {span}\n  condition: {{gte: 4}}\n"
        )
    };
    let mut rules = UserRules::new(set(&count("10m")));
    assert!(findings(&mut rules, (0..3).map(|n| refused(n, 7, "a"))).is_empty());
    let other = "---\ntitle: Other\ndetection:\n  s: {status: 500}\n  condition: s\n";
    rules.set(set(&format!("# moved by a line\n{}{other}", count("10m"))));
    let found = findings(&mut rules, [refused(4, 7, "a")]);
    assert_eq!(found.len(), 1, "the three from before still count");
    rules.set(set(&count("20m")));
    assert!(
        findings(&mut rules, [refused(5, 7, "a")]).is_empty(),
        "another rule starts anew"
    );
}

#[test]
fn an_attacker_who_rotates_everything_takes_bounded_memory_and_is_still_found() {
    let text = format!(
        "{FAILED}title: Per client\ncorrelation:\n  type: event_count\n  rules: [refused]\n  group-by: [client, user]\n  \
         timespan: 10m\n  condition: {{gte: 5}}\n---\n\
         title: Everybody\ncorrelation:\n  type: value_count\n  rules: [refused]\n  group-by: [route]\n  \
         timespan: 10m\n  condition: {{field: client, gte: 500}}\n"
    );
    let mut rules = UserRules::new(set(&text));
    let calls = (0..60_000_u32).map(|n| {
        let mut call = refused(u64::from(n / 1000), 0, &format!("user{n}"));
        call.client = Some((n.to_be_bytes(), 1).into());
        call
    });
    let found = findings(&mut rules, calls);
    assert!(found.iter().all(|finding| &*finding.rule == "everybody") && !found.is_empty());
    assert!(rules.groups() < 20_000, "{}", rules.groups());
    assert!(rules.counts().evicted > 40_000);
}

#[test]
fn the_rules_that_are_shipped_are_sound() {
    let folder = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/rules"));
    let set = RuleSet::load(&folder).unwrap();
    assert!(set.len() >= 6, "{}", set.len());
    assert_eq!(set.sha256().len(), 64);
}

proptest::proptest! {
    #[test]
    fn no_text_of_a_rule_panics(text in "(title|detection|correlation|rules|s|condition|type|[a-z|]{0,8})(: |:\n  |\n)?[ -~\n]{0,60}") {
        let _ = RuleSet::of_texts(&[(PathBuf::from("r.yml"), text.clone())]);
        let _ = RuleSet::of_texts(&[(PathBuf::from("r.yml"), format!("title: x\ndetection:\n  s:\n    {text}\n  condition: s\n"))]);
    }
}
