//! The tables that `cargo xtask vm` prints, and what in them is a fault.
//!
//! In: what each machine said. Out: text. No cell is blank: a "no" has a number, and the number a
//! reason below the table.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use serde_json::Value;

use super::cases::{CASES, FORBIDDEN, RUNGS, WayFault, crowd, ledger, left_out, way};
use super::guest::Said;

/// The most instructions the verifier may walk through for each program, on any kernel: a change
/// that makes one dearer is seen here before a kernel refuses it.
const BUDGET: &str = include_str!("budget.tsv");

/// What socket functions cannot read, on any kernel: the bytes are counted, and the calls around
/// them are seen.
const NO_MEMORY: &str = "registered buffers are pages without an address: counted, not read";

/// A "yes" or a number, or why not.
type Cell = Result<String, String>;

/// A case, and a "yes", or why not and whether that is known to be so.
type Judged = (String, Result<String, (String, bool)>);

/// One kernel.
pub struct Column {
    version: String,
    programs: BTreeMap<String, Cell>,
    /// Byte offsets of fields and values of kinds, by the name of the constant.
    layout: BTreeMap<String, Cell>,
    /// By case, for each rung.
    cases: Vec<(String, Vec<Cell>)>,
    faults: Vec<String>,
}

/// All kernels.
#[derive(Default)]
pub struct Matrix {
    columns: Vec<Column>,
}

impl Column {
    /// A kernel that could not be tried.
    pub fn failed(version: &str, reason: &str) -> Self {
        Self {
            version: version.to_owned(),
            programs: BTreeMap::new(),
            layout: BTreeMap::new(),
            cases: Vec::new(),
            faults: vec![format!("{version}: {reason}")],
        }
    }

    /// What is not as it must be.
    pub fn faults(&self) -> &[String] {
        &self.faults
    }

    /// A kernel that was.
    pub fn judge(
        version: &str,
        lockdown: Option<&str>,
        said: &Said,
        places: &BTreeMap<String, Option<u64>>,
    ) -> Self {
        let section = |name: &str| said.get(name).map_or("", String::as_str);
        let mut faults = Vec::new();
        let mut programs_of_all = BTreeMap::new();
        let mut layout_of_all = BTreeMap::new();
        for rung in RUNGS {
            let report = serde_json::from_str(section(&format!("doctor {rung}")));
            let report: Value = report.unwrap_or_default();
            // Functions read the memory of programs, which this mode forbids.
            let expected = rung != "auto" && lockdown == Some("confidentiality");
            let mut wrong = Vec::new();
            for (name, cell) in programs(&report, &mut wrong) {
                let known: &mut Cell = programs_of_all.entry(name).or_insert_with(|| cell.clone());
                if known.is_err() && cell.is_ok() {
                    *known = cell;
                }
            }
            if !expected {
                faults.extend(
                    wrong
                        .into_iter()
                        .map(|why| format!("{version}, {rung}, {why}")),
                );
            }
            let mut misplaced = Vec::new();
            layout_of_all.extend(layout(&report, places, &mut misplaced));
            let misplaced = misplaced.into_iter();
            faults.extend(misplaced.map(|why| format!("{version}, {rung}, {why}")));
        }
        let mut cases: Vec<(String, Vec<Cell>)> = Vec::new();
        for (at, rung) in RUNGS.into_iter().enumerate() {
            let of = |name: &str| section(&format!("{name} {rung}"));
            let results = judge_rung(rung, lockdown, of("calls"), of("ways"), of("metrics"));
            let started = !of("ways").trim().is_empty();
            let hidden = lockdown == Some("confidentiality");
            let why = of("said").lines().rev();
            let why: Vec<&str> = why.filter(|line| !line.trim().is_empty()).take(2).collect();
            if !started && !(hidden && rung != "auto") {
                faults.push(format!(
                    "{version}, {rung}: the agent said: {}",
                    why.join(" | ")
                ));
            }
            for (name, result) in results {
                let cell = match result {
                    Ok(text) => Ok(text),
                    Err((reason, _)) if !started => {
                        let said = why.first().copied().unwrap_or(&reason);
                        Err(format!("{rung} does not run: {said}"))
                    }
                    Err((reason, expected)) => {
                        if !expected {
                            faults.push(format!("{version}, {rung}, {name}: {reason}"));
                        }
                        Err(reason)
                    }
                };
                match cases.iter_mut().find(|(known, _)| *known == name) {
                    Some((_, cells)) => cells.push(cell),
                    None => {
                        // Cells of rungs that did not get so far.
                        let absent = || Err("the agent did not run".to_owned());
                        let mut cells: Vec<Cell> = (0..at).map(|_| absent()).collect();
                        cells.push(cell);
                        cases.push((name, cells));
                    }
                }
            }
            if !started {
                // Which ways there are is not known where nothing was moved.
                let said = why.first().copied().unwrap_or("nothing");
                for (_, cells) in cases.iter_mut().filter(|(_, cells)| cells.len() == at) {
                    cells.push(Err(format!("{rung} does not run: {said}")));
                }
            }
        }
        Self {
            version: version.to_owned(),
            programs: programs_of_all,
            layout: layout_of_all,
            cases,
            faults,
        }
    }
}

/// What one rung showed.
fn judge_rung(
    rung: &str,
    lockdown: Option<&str>,
    calls: &str,
    ways: &str,
    metrics: &str,
) -> Vec<Judged> {
    let hidden = lockdown == Some("confidentiality");
    let lines: Vec<Value> = calls
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect();
    let yes = |result: Result<(), String>, limit: Option<&'static str>| match (result, limit) {
        (Ok(()), _) => Ok("yes".to_owned()),
        (Err(_), Some(limit)) => Err((limit.to_owned(), true)),
        (Err(reason), None) => Err((reason, false)),
    };
    let mut results: Vec<_> = CASES
        .iter()
        .map(|case| {
            let result = yes(case.judge(&lines), case.limit(lockdown));
            (case.name.to_owned(), result)
        })
        .collect();
    for (name, kind) in [("crowd", "tcp"), ("crowd, unix socket", "unix")] {
        let result = crowd(kind, &lines).map_err(|reason| match kind {
            "unix" if hidden => (FORBIDDEN.to_owned(), true),
            _ => (reason, false),
        });
        results.push((name.to_owned(), result));
    }
    results.push(("ledger".to_owned(), yes(ledger(metrics), None)));
    results.push(("left out".to_owned(), yes(left_out(metrics, &lines), None)));
    for line in ways.lines() {
        let Some((name, said)) = line.split_once('\t') else {
            continue;
        };
        let reads_memory = name.starts_with("unix") || name.starts_with("ktls");
        let result = match way(name, said, &lines) {
            Ok(()) => Ok("yes".to_owned()),
            Err(WayFault::Impossible(reason)) => Err((format!("the kernel: {reason}"), true)),
            Err(WayFault::Wrong(_)) if rung != "auto" && name == "uring-fixed" => {
                Err((NO_MEMORY.to_owned(), true))
            }
            Err(WayFault::Wrong(_)) if hidden && reads_memory => Err((FORBIDDEN.to_owned(), true)),
            Err(WayFault::Wrong(reason)) => Err((reason, false)),
        };
        results.push((format!("way: {name}"), result));
    }
    results
}

/// Where the agent found what its probes need; a fault where a compiler finds it elsewhere.
fn layout(
    report: &Value,
    places: &BTreeMap<String, Option<u64>>,
    faults: &mut Vec<String>,
) -> BTreeMap<String, Cell> {
    let found = report.get("layout").and_then(Value::as_object);
    let cells = found.into_iter().flatten().map(|(name, place)| {
        let place = place.as_u64();
        if places.get(name) != Some(&place) {
            let wanted = places.get(name);
            faults.push(format!("{name}: the agent found {place:?}, cc {wanted:?}"));
        }
        let cell = place
            .map(|place| place.to_string())
            .ok_or_else(|| "this kernel has no such field or kind".to_owned());
        (name.clone(), cell)
    });
    cells.collect()
}

fn programs(report: &Value, faults: &mut Vec<String>) -> BTreeMap<String, Cell> {
    let text = |value: &Value, key: &str| value.get(key).and_then(Value::as_str).map(str::to_owned);
    let rows = report.get("probes").and_then(Value::as_array);
    let mut programs = BTreeMap::new();
    for probe in rows.into_iter().flatten() {
        let Some(name) = text(probe, "name") else {
            continue;
        };
        let works = matches!(
            text(probe, "outcome").as_deref(),
            Some("attached" | "loaded")
        );
        let reason = text(probe, "reason").unwrap_or_default();
        let cell = match probe.get("instructions").and_then(Value::as_u64) {
            _ if !works => {
                if probe.get("required") == Some(&Value::Bool(true)) {
                    faults.push(format!("{name}: {reason}"));
                }
                Err(reason)
            }
            Some(count) => {
                match budget(&name) {
                    Some(most) if count > most => faults.push(format!(
                        "{name}: {count} instructions, the budget is {most}"
                    )),
                    Some(_) => {}
                    None => faults.push(format!("{name} has no line in budget.tsv")),
                }
                Ok(count.to_string())
            }
            // The count is told by 5.16 and newer.
            None => Ok("loaded".to_owned()),
        };
        programs.insert(name, cell);
    }
    if programs.is_empty() {
        let checks = report.get("kernel").and_then(Value::as_array);
        let wrong: Vec<String> = checks
            .into_iter()
            .flatten()
            .filter(|check| check.get("ok") == Some(&Value::Bool(false)))
            .filter_map(|check| {
                Some(format!(
                    "{}: {}",
                    text(check, "name")?,
                    text(check, "value")?
                ))
            })
            .collect();
        faults.push(format!("nothing loaded; {}", wrong.join("; ")));
    }
    programs
}

fn budget(program: &str) -> Option<u64> {
    BUDGET
        .lines()
        .filter(|line| !line.starts_with('#'))
        .find_map(|line| {
            let (name, most) = line.split_once('\t')?;
            (name == program).then(|| most.trim().parse().ok())?
        })
}

impl Matrix {
    /// Adds a kernel.
    pub fn push(&mut self, column: Column) {
        self.columns.push(column);
    }

    /// What is not as it must be.
    pub fn faults(&self) -> Vec<String> {
        let faults = self.columns.iter().flat_map(|column| &column.faults);
        faults.cloned().collect()
    }

    /// The tables.
    pub fn text(&self) -> String {
        let programs = self.rows(|column| &column.programs);
        let mut out = String::new();
        // A kernel that was not tried has no programs and no cases, and still a cell.
        let tried = self.columns.iter().map(|column| {
            let tried = !column.programs.is_empty() || !column.cases.is_empty();
            tried.then(|| Ok("yes".to_owned()))
        });
        let tried = ("tried", tried.collect());
        let programs = std::iter::once(tried).chain(programs);
        self.table(&mut out, "program (instructions verified)", programs);
        let places = self.rows(|column| &column.layout).into_iter();
        self.table(&mut out, "field (byte offset) or kind", places);
        let mut case_names: Vec<&String> = Vec::new();
        for (name, _) in self.columns.iter().flat_map(|column| &column.cases) {
            if !case_names.contains(&name) {
                case_names.push(name);
            }
        }
        for (at, rung) in RUNGS.into_iter().enumerate() {
            let cases = case_names.iter().map(|name| {
                let cells = self.columns.iter().map(|column| {
                    let found = column.cases.iter().find(|(case, _)| case == *name);
                    found.and_then(|(_, cells)| cells.get(at).cloned())
                });
                (name.as_str(), cells.collect::<Vec<_>>())
            });
            self.table(&mut out, &format!("case, capture.sockets = {rung}"), cases);
        }
        out
    }

    /// A row for each name that any kernel has something of.
    fn rows(
        &self,
        part: impl Fn(&Column) -> &BTreeMap<String, Cell>,
    ) -> Vec<(&str, Vec<Option<Cell>>)> {
        let names: BTreeSet<&String> = self
            .columns
            .iter()
            .flat_map(|column| part(column).keys())
            .collect();
        let cells = |name: &String| {
            let cells = self
                .columns
                .iter()
                .map(|column| part(column).get(name).cloned());
            cells.collect()
        };
        names
            .into_iter()
            .map(|name| (name.as_str(), cells(name)))
            .collect()
    }

    fn table<'a>(
        &self,
        out: &mut String,
        title: &str,
        rows: impl Iterator<Item = (&'a str, Vec<Option<Result<String, String>>>)>,
    ) {
        let mut reasons: Vec<String> = Vec::new();
        let mut number = |reason: String| {
            let at = reasons.iter().position(|known| *known == reason);
            let at = at.unwrap_or_else(|| {
                reasons.push(reason);
                reasons.len() - 1
            });
            format!("no ({})", at + 1)
        };
        let _ = write!(out, "{title:<32}");
        for column in &self.columns {
            let _ = write!(out, " {:>10}", column.version);
        }
        out.push('\n');
        for (name, cells) in rows {
            let _ = write!(out, "{name:<32}");
            for cell in cells {
                let text = match cell {
                    Some(Ok(text)) => text,
                    Some(Err(reason)) => number(reason),
                    None => number("this kernel could not be tried, see below".to_owned()),
                };
                let _ = write!(out, " {text:>10}");
            }
            out.push('\n');
        }
        for (at, reason) in reasons.iter().enumerate() {
            let _ = writeln!(out, "  ({}) {reason}", at + 1);
        }
        out.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(doctor: &str) -> Said {
        [("doctor auto", doctor), ("end", "")]
            .map(|(name, text)| (name.to_owned(), text.to_owned()))
            .into()
    }

    #[test]
    fn a_no_carries_its_reason_and_only_a_required_one_is_a_fault() {
        let doctor = r#"{"probes": [
            {"name": "socket_sent", "outcome": "failed", "reason": "no such tracepoint", "required": false},
            {"name": "packets_in", "outcome": "failed", "reason": "refused", "required": true}]}"#;
        let mut matrix = Matrix::default();
        matrix.push(Column::judge("6.1", None, &said(doctor), &BTreeMap::new()));
        let text = matrix.text();
        assert!(
            text.contains("no such tracepoint") && text.contains("no (1)"),
            "{text}"
        );
        let faults = matrix.faults();
        assert!(
            faults
                .iter()
                .any(|fault| fault == "6.1, auto, packets_in: refused")
        );
        assert!(!faults.iter().any(|fault| fault.contains("socket_sent")));
    }

    #[test]
    fn a_way_of_capture_that_does_not_run_says_why_in_every_cell() {
        let said: Said = [
            ("ways auto", "read-write\tdone 0 7\n"),
            ("said functions", "error: not allowed here\n\n"),
        ]
        .map(|(name, text)| (name.to_owned(), text.to_owned()))
        .into();
        let column = Column::judge("6.12c", None, &said, &BTreeMap::new());
        let why = Err("functions does not run: error: not allowed here".to_owned());
        for (case, cells) in &column.cases {
            assert_eq!(cells.get(1), Some(&why), "{case}");
        }
        let ways = column
            .cases
            .iter()
            .filter(|(case, _)| case.starts_with("way:"));
        assert_eq!(ways.count(), 1);
    }

    #[test]
    fn a_program_over_its_budget_is_a_fault() {
        let doctor = r#"{"probes": [{"name": "packets_in", "outcome": "attached",
            "required": true, "instructions": 999999999}]}"#;
        let column = Column::judge("6.1", None, &said(doctor), &BTreeMap::new());
        assert!(
            column
                .faults
                .iter()
                .any(|fault| fault.contains("the budget is"))
        );
    }

    #[test]
    fn a_kernel_that_was_not_tried_is_a_fault_and_its_cells_are_not_blank() {
        let mut matrix = Matrix::default();
        matrix.push(Column::failed("7.3", "not fetched: the suite is gone"));
        assert_eq!(matrix.faults(), ["7.3: not fetched: the suite is gone"]);
        assert!(matrix.text().contains("no (1)"));
    }
}
