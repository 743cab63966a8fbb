//! What a review of the log looks at: the numbers of a stretch of time, compared with what was
//! there before it.

use std::collections::BTreeMap;
use std::path::Path;

use super::error::AuditError;
use super::report::Report;
use super::sealing::Keyring;
use super::search::{Field, Filter, Record, Search, Steps, Value};
use super::verify::{Trust, verify};

/// Columns of the plot over time.
const STEPS: usize = 48;
/// Rows of a list.
const MOST_ROWS: usize = 15;
/// Findings and events of the agent listed, newest last.
const MOST_EVENTS: usize = 100;
/// Ages of credentials, days.
const AGES: [u64; 4] = [1, 7, 30, 90];
const DAY_MS: u64 = 86_400_000;

/// A value, and how often it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The value.
    pub name: String,
    /// Calls.
    pub calls: u64,
    /// Of these, failed.
    pub failed: u64,
    /// Not in the log before.
    pub new: bool,
}

/// Something that happened at one time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Unix time, milliseconds.
    pub time_ms: u64,
    /// Index in the log.
    pub index: u64,
    /// Rule of a finding, or name of the event.
    pub name: String,
    /// OCSF severity, 1 to 5.
    pub severity: u64,
    /// What happened, for people.
    pub what: String,
}

/// The numbers of a review.
#[derive(Clone, Debug)]
pub struct Review {
    /// From this Unix time in milliseconds on.
    pub from_ms: u64,
    /// Before this.
    pub to_ms: u64,
    /// Calls.
    pub calls: u64,
    /// Calls with a status of 400 and more, or with an error in the body or in gRPC.
    pub failed: u64,
    /// Calls whose credential was refused or not enough.
    pub refused: u64,
    /// Logins, and those that failed.
    pub logins: (u64, u64),
    /// Calls and failed calls over time, in equal steps.
    pub steps: Vec<(u64, u64)>,
    /// The busiest services; all that are new.
    pub services: Vec<Row>,
    /// The same of endpoints.
    pub routes: Vec<Row>,
    /// The same of named callers.
    pub callers: Vec<Row>,
    /// The same of client addresses.
    pub clients: Vec<Row>,
    /// Outcomes of credentials.
    pub outcomes: Vec<(String, u64)>,
    /// Named callers by the time since they were first seen: less than so many days, or older.
    pub ages: Vec<(String, u64)>,
    /// Findings by rule.
    pub rules: Vec<(String, u64)>,
    /// The newest findings.
    pub findings: Vec<Event>,
    /// What the agent said of itself, heartbeats aside.
    pub events: Vec<Event>,
    /// Records that the agent says it could not write.
    pub lost: u64,
    /// What a verification of the whole log found.
    pub integrity: Report,
}

struct Reader<'a> {
    dir: &'a Path,
    keys: Option<&'a Keyring>,
    now_ms: u64,
    /// `since` and `until` of the review.
    span: String,
}

type Counts = BTreeMap<Option<String>, u64>;

/// Failed calls, whatever tells it.
const FAILED: &str = "type=call (status>=400 or grpc_status>0 or has error)";

impl Reader<'_> {
    fn filter(&self, text: &str, span: &str) -> Result<Filter, AuditError> {
        Filter::parse(&format!("({text}) {span}"), self.now_ms)
            .map_err(|error| AuditError::bad(self.dir, error.to_string()))
    }

    fn count(&self, text: &str, by: Option<Field>) -> Result<(Counts, u64), AuditError> {
        self.count_in(text, &self.span, by)
    }

    fn count_in(
        &self,
        text: &str,
        span: &str,
        by: Option<Field>,
    ) -> Result<(Counts, u64), AuditError> {
        let filter = self.filter(text, span)?;
        let (counts, stats) = self.search(&filter).count(by)?;
        Ok((counts, stats.found))
    }

    fn search<'s>(&'s self, filter: &'s Filter) -> Search<'s> {
        Search {
            dir: self.dir,
            filter,
            index: true,
            keys: self.keys,
            from: 0,
        }
    }

    fn over_time(&self, text: &str, steps: Steps) -> Result<Vec<u64>, AuditError> {
        let filter = self.filter(text, &self.span)?;
        self.search(&filter).over_time(steps)
    }

    fn rows(&self, field: Field, before: &str) -> Result<Vec<Row>, AuditError> {
        let (calls, _) = self.count("type=call", Some(field))?;
        let (failed, _) = self.count(FAILED, Some(field))?;
        let (known, _) = self.count_in("type=call", before, Some(field))?;
        let mut rows: Vec<Row> = calls
            .iter()
            .filter_map(|(name, calls)| {
                let key = name.clone()?;
                Some(Row {
                    failed: failed.get(name).copied().unwrap_or(0),
                    new: !known.contains_key(name),
                    calls: *calls,
                    name: key,
                })
            })
            .collect();
        rows.sort_by(|a, b| b.calls.cmp(&a.calls).then_with(|| a.name.cmp(&b.name)));
        // New ones are what a review is for: they stay however rare they are.
        let mut new = 0;
        let mut at = 0;
        rows.retain(|row| {
            at += 1;
            let kept = at <= MOST_ROWS || (row.new && new < MOST_ROWS);
            new += usize::from(row.new && at > MOST_ROWS);
            kept
        });
        Ok(rows)
    }

    fn events(&self, text: &str) -> Result<Vec<Event>, AuditError> {
        let filter = self.filter(text, &self.span)?;
        let mut events = Vec::new();
        self.search(&filter)
            .run(Some(MOST_EVENTS), &mut |index, bytes| {
                let record = Record::parse(bytes);
                let word = |field| match record.value(field) {
                    Value::Text(text) => text.to_owned(),
                    _ => String::new(),
                };
                let name = match word(Field::Rule) {
                    none if none.is_empty() => word(Field::Event),
                    rule => rule,
                };
                let what = match (record.message(), record.loss(), record.review()) {
                    (Some(message), _, _) => message.to_owned(),
                    (_, Some((records, reason)), _) => format!("{records} records ({reason})"),
                    (_, _, Some((reviewer, remarks))) => format!("{reviewer}: {remarks}"),
                    _ => String::new(),
                };
                events.push(Event {
                    time_ms: record.time_ms(),
                    index,
                    name,
                    severity: match record.value(Field::Severity) {
                        Value::Number(severity) => severity,
                        _ => 0,
                    },
                    what,
                });
                Ok::<(), AuditError>(())
            })?;
        Ok(events)
    }
}

fn named(counts: Counts) -> Vec<(String, u64)> {
    let mut named: Vec<(String, u64)> = counts
        .into_iter()
        .filter_map(|(name, count)| Some((name?, count)))
        .collect();
    named.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    named
}

/// A time for a filter: to the second, so rounded down.
fn moment(ms: u64) -> String {
    use time::OffsetDateTime;
    use time::format_description::well_known::Rfc3339;
    i64::try_from(ms / 1000)
        .ok()
        .and_then(|s| OffsetDateTime::from_unix_timestamp(s).ok())
        .and_then(|time| time.format(&Rfc3339).ok())
        .unwrap_or_else(|| "1970-01-01".to_owned())
}

impl Review {
    /// Reads the log in `dir` from `from_ms` to before `to_ms`, Unix milliseconds, both taken to
    /// the second. `keys` open sealed records.
    ///
    /// # Errors
    /// If there is no log, or a file cannot be read.
    pub fn of(
        dir: &Path,
        trust: &Trust,
        keys: Option<&Keyring>,
        (from_ms, to_ms): (u64, u64),
    ) -> Result<Self, AuditError> {
        let (from, to) = (moment(from_ms), moment(to_ms));
        let read = Reader {
            dir,
            keys,
            now_ms: to_ms,
            span: format!("since {from} until {to}"),
        };
        let before = format!("until {from}");
        let (_, calls) = read.count("type=call", None)?;
        let (_, failed) = read.count(FAILED, None)?;
        let (_, refused) = read.count("type=call auth in (failed, denied)", None)?;
        let (_, logins) = read.count("type=login", None)?;
        let (_, failed_logins) = read.count("type=login status>=400", None)?;
        let steps = Steps {
            // As the filter has it.
            from_ms: from_ms - from_ms % 1000,
            step_ms: (to_ms.saturating_sub(from_ms))
                .div_ceil(STEPS as u64)
                .max(1000),
            count: STEPS,
        };
        let calls_over_time = read.over_time("type=call", steps)?.into_iter();
        let steps = calls_over_time
            .zip(read.over_time(FAILED, steps)?)
            .collect();
        let (callers, _) = read.count("type=call", Some(Field::Identity))?;
        let mut ages = Vec::new();
        let mut younger: std::collections::BTreeSet<_> = callers.into_keys().flatten().collect();
        for days in AGES.into_iter().rev() {
            let span = format!("until {}", moment(to_ms.saturating_sub(days * DAY_MS)));
            let (known, _) = read.count_in("type=call", &span, Some(Field::Identity))?;
            let all = younger.len();
            younger.retain(|name| !known.contains_key(&Some(name.clone())));
            ages.push((
                format!("{days} days and more"),
                (all - younger.len()) as u64,
            ));
        }
        ages.push(("less than a day".to_owned(), younger.len() as u64));
        ages.reverse();
        let integrity = verify(dir, trust, &mut |_, _| {})?;
        let events = read.events("type=agent event!=heartbeat")?;
        let (lost, _) = read.losses()?;
        Ok(Self {
            from_ms,
            to_ms,
            calls,
            failed,
            refused,
            logins: (logins, failed_logins),
            steps,
            services: read.rows(Field::Service, &before)?,
            routes: read.rows(Field::Route, &before)?,
            callers: read.rows(Field::Identity, &before)?,
            clients: read.rows(Field::Client, &before)?,
            outcomes: named(read.count("type=call", Some(Field::Auth))?.0),
            ages,
            rules: named(read.count("type=finding", Some(Field::Rule))?.0),
            findings: read.events("type=finding")?,
            events,
            lost,
            integrity,
        })
    }
}

impl Reader<'_> {
    /// Records lost, and in how many losses.
    fn losses(&self) -> Result<(u64, u64), AuditError> {
        let filter = self.filter("type=agent event=loss", &self.span)?;
        let search = self.search(&filter);
        let mut lost = 0_u64;
        let stats = search.run(None, &mut |_, bytes| {
            lost += Record::parse(bytes)
                .loss()
                .map_or(0, |(records, _)| records);
            Ok::<(), AuditError>(())
        })?;
        Ok((lost, stats.found))
    }
}
