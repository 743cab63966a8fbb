//! What `doctor` says, as text and as JSON.

use std::fmt::Write as _;

use serde_json::json;

use crate::discover::placement::ProbePoint;
use crate::export::{harden_json, terminal_text};
use crate::kernel::{ProbeOutcome, ProbeStatus, TlsAttachment};

/// One thing the agent needs of the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// What was looked at, such as `kernel` or `CAP_BPF`.
    pub name: String,
    /// What was found.
    pub value: String,
    /// It is as the agent needs it.
    pub ok: bool,
    /// The agent can capture something without it.
    pub optional: bool,
    /// What to do if it is not ok.
    pub remedy: Option<String>,
}

/// One line of an agent's books.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BooksLine {
    /// Source, or process.
    pub of: String,
    /// What became of it, with the reason.
    pub fate: String,
    /// Segments or library calls.
    pub calls: u64,
    /// Payload bytes.
    pub bytes: u64,
}

/// What the agent that runs on this host says of its capture.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AgentBooks {
    /// Where its metrics are.
    pub address: String,
    /// The ledger: seen = delivered + filtered + skipped + lost, by source.
    pub ledger: Vec<BooksLine>,
    /// The same of connections that ended, by process.
    pub processes: Vec<BooksLine>,
    /// TLS libraries found by signature.
    pub signatures: Vec<SignatureLine>,
}

/// A TLS library whose functions were found by signature, in the agent that runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SignatureLine {
    /// Its name and version.
    pub library: String,
    /// Connections that have shown HTTP, until it was believed.
    pub connections: u64,
    /// It is believed: its calls are told.
    pub proved: bool,
}

/// What works on this host and what does not, and why.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DoctorReport {
    /// Privileges and properties of the kernel.
    pub kernel: Vec<Check>,
    /// Every probe and what became of it.
    pub probes: Vec<ProbeStatus>,
    /// Instructions that the verifier walked through, by program, where the kernel tells them.
    pub instructions: Vec<(String, u32)>,
    /// Places in the kernel's structures that probes use, by the name of the constant in the kernel
    /// half; `None` where this kernel has no such field.
    pub layout: Vec<(&'static str, Option<u32>)>,
    /// Every process with a TLS library.
    pub tls: Vec<TlsAttachment>,
    /// The agent that runs, if one answers.
    pub agent: Option<AgentBooks>,
}

impl DoctorReport {
    /// Everything that is required is there: `run` would capture.
    pub fn usable(&self) -> bool {
        let works = |outcome: &ProbeOutcome| {
            matches!(
                outcome,
                ProbeOutcome::Attached | ProbeOutcome::Loaded | ProbeOutcome::Replaced(_)
            )
        };
        self.kernel.iter().all(|check| check.ok || check.optional)
            && self
                .probes
                .iter()
                .all(|probe| !probe.required || works(&probe.outcome))
    }

    /// For people: aligned, one finding a line, reasons and remedies below what they explain.
    pub fn text(&self) -> String {
        let Self {
            kernel,
            probes,
            instructions: _,
            layout: _,
            tls,
            agent,
        } = self;
        let mut out = String::new();

        let rows = kernel.iter().map(|check| {
            let mark = match (check.ok, check.optional) {
                (true, _) => "ok",
                (false, true) => "--",
                (false, false) => "!!",
            };
            let remedy = check.remedy.clone().filter(|_| !check.ok);
            (
                [mark.to_owned(), check.name.clone(), check.value.clone()],
                remedy,
            )
        });
        section(&mut out, "Kernel and privileges", rows);

        // Of probes that do the same work, the one that runs.
        let here = |probe: &&ProbeStatus| !matches!(probe.outcome, ProbeOutcome::Replaced(_));
        let rows = probes.iter().filter(here).map(|probe| {
            let (word, reason) = outcome(&probe.outcome);
            let mark = match (&probe.outcome, probe.required) {
                (ProbeOutcome::Attached | ProbeOutcome::Loaded, _) => "ok",
                (_, true) => "!!",
                (_, false) => "--",
            };
            let cells = [mark, probe.name, probe.hook, word, probe.purpose].map(str::to_owned);
            (cells, reason.map(str::to_owned))
        });
        section(&mut out, "Probes", rows);

        let rows = tls.iter().map(|found| {
            let (mark, word) = if found.refused.is_some() {
                ("--", "refused")
            } else {
                ("ok", "attached")
            };
            let cells = [
                mark.to_owned(),
                found.pid.to_string(),
                found.process.clone(),
                found.library.clone(),
                word.to_owned(),
                found
                    .plan
                    .as_ref()
                    .map_or_else(|| "-".to_owned(), |plan| plan.found_by.to_string()),
                found.path.clone(),
            ];
            (cells, found.refused.clone())
        });
        section(&mut out, "TLS libraries", rows);

        if let Some(agent) = agent {
            let rows = |lines: &[BooksLine]| {
                let cells = lines.iter().map(|line| {
                    let lost = line.fate.starts_with("lost");
                    let cells = [
                        if lost { "--" } else { "ok" }.to_owned(),
                        line.of.clone(),
                        line.fate.clone(),
                        format!("{} segments or calls", line.calls),
                        format!("{} bytes", line.bytes),
                    ];
                    (cells, None)
                });
                cells.collect::<Vec<_>>()
            };
            let title = format!("Books of the agent at {}", agent.address);
            section(&mut out, &title, rows(&agent.ledger).into_iter());
            let title = "Its books by process, of connections that ended";
            section(&mut out, title, rows(&agent.processes).into_iter());
            if !agent.signatures.is_empty() {
                let rows = agent.signatures.iter().map(SignatureLine::row);
                section(&mut out, "TLS libraries that it found by signature", rows);
            }
        }

        out.push_str(if self.usable() {
            "The observer can capture on this host.\n"
        } else {
            "The observer cannot capture on this host: see the lines marked !!\n"
        });
        out
    }

    /// For programs: one object, indented, keys in a fixed order.
    pub fn json(&self) -> String {
        let Self {
            kernel,
            probes,
            instructions,
            layout,
            tls,
            agent,
        } = self;
        let lines = |lines: &[BooksLine]| -> Vec<_> {
            lines
                .iter()
                .map(
                    |BooksLine {
                         of,
                         fate,
                         calls,
                         bytes,
                     }| {
                        json!({"of": of, "fate": fate, "calls": calls, "bytes": bytes})
                    },
                )
                .collect()
        };
        let agent = agent.as_ref().map(|agent| {
            let signatures = agent.signatures.iter().map(|line| {
                let SignatureLine {
                    library,
                    connections,
                    proved,
                } = line;
                json!({"library": library, "connections": connections, "proved": proved})
            });
            let signatures: Vec<_> = signatures.collect();
            json!({
                "metrics": agent.address, "ledger": lines(&agent.ledger),
                "processes": lines(&agent.processes), "signatures": signatures,
            })
        });
        let kernel: Vec<_> = kernel
            .iter()
            .map(|Check { name, value, ok, optional, remedy }| {
                json!({"name": name, "value": value, "ok": ok, "optional": optional, "remedy": remedy})
            })
            .collect();
        let probes: Vec<_> = probes
            .iter()
            .map(
                |ProbeStatus {
                     name,
                     hook,
                     purpose,
                     required,
                     outcome: became,
                 }| {
                    let (word, reason) = outcome(became);
                    let count = instructions
                        .iter()
                        .find_map(|(program, count)| (program == name).then_some(count));
                    json!({
                        "name": name, "hook": hook, "purpose": purpose, "required": required,
                        "outcome": word, "reason": reason, "instructions": count,
                    })
                },
            )
            .collect();
        let tls: Vec<_> = tls
            .iter()
            .map(
                |TlsAttachment {
                     pid,
                     process,
                     library,
                     path,
                     plan,
                     refused,
                 }| {
                    let found_by = plan.as_ref().map(|plan| plan.found_by.to_string());
                    let places: Vec<_> = plan
                        .iter()
                        .flat_map(|plan| &plan.points)
                        .map(place)
                        .collect();
                    let notes = plan.as_ref().map_or(&[][..], |plan| &plan.notes);
                    json!({
                        "pid": pid, "process": process, "library": library, "path": path,
                        "attached": refused.is_none(), "reason": refused,
                        "found_by": found_by, "places": places, "notes": notes,
                    })
                },
            )
            .collect();
        let layout: serde_json::Map<_, _> = layout
            .iter()
            .map(|&(name, place)| (name.to_owned(), place.into()))
            .collect();
        let report = json!({
            "version": env!("CARGO_PKG_VERSION"), "usable": self.usable(),
            "kernel": kernel, "probes": probes, "layout": layout, "tls": tls,
            "agent": agent,
        });
        harden_json(&format!("{report:#}\n"))
    }
}

impl SignatureLine {
    fn row(&self) -> ([String; 3], Option<String>) {
        let Self {
            library,
            connections,
            proved,
        } = self;
        let (mark, word) = if *proved {
            ("ok", format!("proved by {connections} connections"))
        } else {
            (
                "--",
                "not proved: no connection has shown HTTP yet, and nothing of it is told"
                    .to_owned(),
            )
        };
        ([mark.to_owned(), library.clone(), word], None)
    }
}

/// One probe of a TLS library: in which function, on which instruction, and whether it is cheap.
fn place(point: &ProbePoint) -> serde_json::Value {
    let ProbePoint {
        function,
        file_offset,
        site,
        call: _,
        instruction,
        emulated,
    } = point;
    json!({
        "function": function, "site": format!("{site:?}"), "file_offset": file_offset,
        "instruction": instruction, "emulated": emulated,
    })
}

fn outcome(outcome: &ProbeOutcome) -> (&'static str, Option<&str>) {
    match outcome {
        ProbeOutcome::Attached => ("attached", None),
        ProbeOutcome::Loaded => ("loaded", None),
        ProbeOutcome::Failed(reason) => ("failed", Some(reason)),
        ProbeOutcome::NotTried(reason) => ("not tried", Some(reason)),
        ProbeOutcome::Replaced(reason) => ("replaced", Some(reason)),
    }
}

/// Columns as wide as their widest cell; a reason follows on a line of its own.
fn section<const N: usize>(
    out: &mut String,
    title: &str,
    rows: impl Iterator<Item = ([String; N], Option<String>)>,
) {
    let rows: Vec<_> = rows
        .map(|(cells, note)| (cells.map(|cell| terminal_text(&cell)), note))
        .collect();
    let mut widths = [0; N];
    for (cells, _) in &rows {
        for (width, cell) in widths.iter_mut().zip(cells) {
            *width = cell.len().max(*width);
        }
    }
    let _ = writeln!(out, "{title}");
    if rows.is_empty() {
        out.push_str("  none found\n");
    }
    for (cells, note) in &rows {
        let mut line = String::from(" ");
        for (cell, width) in cells.iter().zip(widths) {
            let _ = write!(line, " {cell:<width$} ");
        }
        let _ = writeln!(out, "{}", line.trim_end());
        if let Some(note) = note {
            for line in note.lines() {
                let _ = writeln!(out, "      {}", terminal_text(line));
            }
        }
    }
    out.push('\n');
}

#[cfg(test)]
mod tests {
    use super::{Check, DoctorReport};
    use crate::kernel::{ProbeOutcome, ProbeStatus, TlsAttachment};

    fn report() -> DoctorReport {
        let check = |name: &str, value: &str, ok, remedy: Option<&str>| Check {
            name: name.to_owned(),
            value: value.to_owned(),
            ok,
            optional: false,
            remedy: remedy.map(str::to_owned),
        };
        let probe = |name, hook, required, outcome| ProbeStatus {
            name,
            hook,
            purpose: "segments",
            required,
            outcome,
        };
        DoctorReport {
            kernel: vec![
                check("kernel", "6.18.0", true, None),
                check(
                    "CAP_BPF",
                    "missing",
                    false,
                    Some("run `sudo observer doctor`"),
                ),
            ],
            probes: vec![
                probe(
                    "ingress",
                    "cgroup_skb/ingress",
                    true,
                    ProbeOutcome::Attached,
                ),
                probe(
                    "recv",
                    "kprobe",
                    false,
                    ProbeOutcome::NotTried("no kprobes".to_owned()),
                ),
            ],
            instructions: vec![("ingress".to_owned(), 1234)],
            layout: vec![("SOCK_FAMILY", Some(16)), ("KIND_UBUF", None)],
            tls: vec![TlsAttachment {
                pid: 42,
                process: "evil\u{1b}[2J".to_owned(),
                library: "openssl 3.0.19".to_owned(),
                path: "/usr/lib/libssl.so.3".to_owned(),
                plan: None,
                refused: Some("code not understood".to_owned()),
            }],
            agent: None,
        }
    }

    #[test]
    fn the_text_is_aligned_and_gives_reasons_and_remedies() {
        assert_eq!(
            report().text(),
            "\
Kernel and privileges
  ok  kernel   6.18.0
  !!  CAP_BPF  missing
      run `sudo observer doctor`

Probes
  ok  ingress  cgroup_skb/ingress  attached   segments
  --  recv     kprobe              not tried  segments
      no kprobes

TLS libraries
  --  42  evil\\x1b[2J  openssl 3.0.19  refused  -  /usr/lib/libssl.so.3
      code not understood

The observer cannot capture on this host: see the lines marked !!
"
        );
        let mut fine = report();
        fine.kernel.truncate(1);
        assert!(fine.usable() && fine.text().ends_with("can capture on this host.\n"));
        fine.probes[0].outcome = ProbeOutcome::Failed("EPERM".to_owned());
        assert!(!fine.usable());
        assert!(DoctorReport::default().text().contains("none found"));
    }

    #[test]
    fn the_json_says_the_same() {
        let json = report().json();
        assert!(!json.contains('\u{1b}'));
        let value: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(value["usable"], false);
        assert_eq!(value["kernel"][1]["remedy"], "run `sudo observer doctor`");
        assert_eq!(value["probes"][0]["outcome"], "attached");
        assert_eq!(value["probes"][0]["instructions"], 1234);
        assert_eq!(value["layout"]["SOCK_FAMILY"], 16);
        assert!(value["layout"]["KIND_UBUF"].is_null());
        assert_eq!(value["probes"][1]["reason"], "no kprobes");
        assert_eq!(value["tls"][0]["attached"], false);
        assert_eq!(value["tls"][0]["process"], "evil\u{1b}[2J");
    }
}
