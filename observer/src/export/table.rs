//! Calls and findings as a table for people.

use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write};

use super::escape::push_terminal;
use super::layout::Layout;
use super::timestamp::{push_clock, push_clock_ms};
use crate::call::{ApiCall, AuthOutcome, AuthScheme, Role};
use crate::detect::Finding;
use crate::usage::human_bytes;

/// On a terminal the header comes again after this many lines, and the width is measured again.
const HEADER_EVERY: u32 = 40;
/// Width of a terminal that does not say its own.
const USUAL_WIDTH: usize = 120;

const RESET: &str = "\x1b[0m";
const BOLD: &str = "\x1b[1m";
const DIM: &str = "\x1b[2m";
const RED: &str = "\x1b[31m";
const GREEN: &str = "\x1b[32m";
const YELLOW: &str = "\x1b[33m";
const CYAN: &str = "\x1b[36m";
const ALARM: &str = "\x1b[1;97;41m";

/// How the table looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Style {
    /// Colours by status.
    pub colour: bool,
    /// Lines fit this many columns; `None`: nothing is cut, one header, as for a file.
    pub width: Option<usize>,
}

impl Style {
    /// What suits the standard output: plain unless it is a terminal, without colour if `NO_COLOR`
    /// is set or the terminal is `dumb`, as wide as the terminal says, else as `COLUMNS` says.
    pub fn of_stdout() -> Self {
        if !io::stdout().is_terminal() {
            return Self {
                colour: false,
                width: None,
            };
        }
        let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        Self {
            colour: !set("NO_COLOR") && !dumb,
            width: Some(terminal_width()),
        }
    }
}

fn terminal_width() -> usize {
    terminal_size::terminal_size()
        .map(|(width, _)| usize::from(width.0))
        .or_else(|| std::env::var("COLUMNS").ok()?.parse().ok())
        .filter(|&width| width > 0)
        .unwrap_or(USUAL_WIDTH)
}

/// Writes an aligned line a call. Everything that comes from the network or from a process is
/// escaped, so that no path can act on the terminal.
#[derive(Debug)]
pub struct Table<W> {
    out: W,
    style: Style,
    follow_resize: bool,
    layout: Layout,
    lines: u32,
    line: String,
    cell: String,
}

impl Table<io::Stdout> {
    /// A table on the standard output, in the style that suits it.
    pub fn stdout() -> Self {
        let mut table = Self::new(io::stdout(), Style::of_stdout());
        table.follow_resize = table.style.width.is_some();
        table
    }
}

impl<W: Write> Table<W> {
    /// A table on `out`, one `write_all` a line.
    pub fn new(out: W, style: Style) -> Self {
        Self {
            out,
            style,
            follow_resize: false,
            layout: Layout::new(style.width),
            lines: 0,
            line: String::with_capacity(512),
            cell: String::with_capacity(128),
        }
    }

    /// Writes one call.
    ///
    /// # Errors
    /// Those of the writer.
    pub fn call(&mut self, call: &ApiCall) -> io::Result<()> {
        self.line.clear();
        self.header_if_due();
        self.push_call(call);
        self.end_line()
    }

    /// Writes one finding, in a line that stands out.
    ///
    /// # Errors
    /// Those of the writer.
    pub fn finding(&mut self, finding: &Finding) -> io::Result<()> {
        self.line.clear();
        self.header_if_due();
        self.cell.clear();
        push_clock_ms(&mut self.cell, finding.time_unix_ns);
        let _ = write!(
            self.cell,
            " !! FINDING {} {} {}: ",
            finding.severity.as_str(),
            finding.rule,
            finding.mitre
        );
        push_terminal(&mut self.cell, &finding.to_string());
        let (on, off) = if self.style.colour {
            (ALARM, RESET)
        } else {
            ("", "")
        };
        let _ = write!(self.line, "{on}{}{off}", self.cell);
        self.end_line()
    }

    /// Hands everything written to the operating system.
    ///
    /// # Errors
    /// Those of the writer.
    pub fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    /// The writer.
    pub fn into_inner(self) -> W {
        self.out
    }

    fn end_line(&mut self) -> io::Result<()> {
        self.line.truncate(self.line.trim_end_matches(' ').len());
        self.line.push('\n');
        self.lines = self.lines.wrapping_add(1);
        self.out.write_all(self.line.as_bytes())
    }

    fn header_if_due(&mut self) {
        let again = self.style.width.is_some() && self.lines.is_multiple_of(HEADER_EVERY);
        if self.lines > 0 && !again {
            return;
        }
        if self.follow_resize {
            self.style.width = Some(terminal_width());
            self.layout = Layout::new(self.style.width);
        }
        let layout = self.layout;
        let start = if self.style.colour { BOLD } else { "" };
        self.line.push_str(start);
        for (head, width, right) in [
            ("TIME UTC", layout.time, false),
            ("DIR", layout.direction, false),
            ("SERVICE", layout.service, false),
            ("CLIENT", layout.client, false),
            ("PROTO", layout.scheme, false),
            ("METHOD", layout.method, false),
            ("PATH", layout.path, false),
            ("ST", layout.status, true),
            ("MS", layout.duration, true),
            ("IN", layout.request, true),
            ("OUT", layout.response, true),
        ] {
            pad(&mut self.line, head, width, right);
        }
        self.line.push_str("NOTES");
        if self.style.colour {
            self.line.push_str(RESET);
        }
        self.line.push('\n');
    }

    fn push_call(&mut self, call: &ApiCall) {
        let Self {
            style,
            layout,
            line,
            cell,
            ..
        } = self;
        let paint = |line: &mut String, colour: &str| {
            if style.colour {
                line.push_str(colour);
            }
        };

        cell.clear();
        if layout.time >= 12 {
            push_clock_ms(cell, call.time_unix_ns);
        } else {
            push_clock(cell, call.time_unix_ns);
        }
        paint(line, DIM);
        pad(line, cell, layout.time, false);
        paint(line, RESET);

        let direction = match call.role {
            Role::Server => "in",
            Role::Client => "out",
        };
        pad(line, direction, layout.direction, false);

        cell.clear();
        let process = call.process.as_deref().map(|process| process.name.as_str());
        push_terminal(cell, call.service.as_deref().or(process).unwrap_or("-"));
        pad(line, cell, layout.service, false);

        cell.clear();
        match call.client {
            Some(client) => {
                let _ = write!(cell, "{}", client.ip().to_canonical());
            }
            None => cell.push('-'),
        }
        pad(line, cell, layout.client, false);
        pad(line, call.scheme, layout.scheme, false);

        cell.clear();
        push_terminal(cell, known(&call.method));
        pad(line, cell, layout.method, false);

        cell.clear();
        if call.role == Role::Client {
            push_terminal(cell, call.host.as_deref().unwrap_or_default());
        }
        push_terminal(cell, known(&call.path));
        if let Some(query) = &call.query {
            cell.push('?');
            push_terminal(cell, query);
        }
        if layout.cut {
            pad(line, cell, layout.path, false);
        } else {
            let _ = write!(line, "{cell:<width$} ", width = layout.path);
        }

        cell.clear();
        let _ = match call.status {
            Some(status) => write!(cell, "{status}"),
            None => write!(cell, "-"),
        };
        paint(line, status_colour(call.status));
        pad(line, cell, layout.status, true);
        paint(line, RESET);

        cell.clear();
        match call.duration_ns {
            Some(ns) => push_duration(cell, ns),
            None => cell.push('-'),
        }
        pad(line, cell, layout.duration, true);
        pad(line, &human_bytes(call.request_bytes), layout.request, true);
        pad(
            line,
            &human_bytes(call.response_bytes),
            layout.response,
            true,
        );

        cell.clear();
        push_notes(cell, call);
        if !cell.is_empty() {
            let loud = matches!(call.auth.outcome, AuthOutcome::Failed | AuthOutcome::Denied);
            paint(line, if loud { RED } else { YELLOW });
            if layout.cut {
                line.push_str(cut(cell, layout.notes));
            } else {
                line.push_str(cell);
            }
            paint(line, RESET);
        }
    }
}

fn status_colour(status: Option<u16>) -> &'static str {
    match status {
        Some(100..=299) => GREEN,
        Some(300..=399) => CYAN,
        Some(400..=499) => YELLOW,
        Some(_) => RED,
        None => DIM,
    }
}

/// What is empty is not known.
fn known(text: &str) -> &str {
    if text.is_empty() { "-" } else { text }
}

/// Authentication where there is something to say, a gRPC status, then the flags.
fn push_notes(out: &mut String, call: &ApiCall) {
    let outcome = call.auth.outcome;
    if call.auth.scheme != AuthScheme::None {
        let _ = write!(
            out,
            "auth:{}:{}",
            call.auth.scheme.as_str(),
            outcome.as_str()
        );
    } else if !matches!(outcome, AuthOutcome::None | AuthOutcome::Unknown) {
        let _ = write!(out, "auth:{}", outcome.as_str());
    }
    if let Some(status @ 1..) = call.grpc_status {
        let separator = if out.is_empty() { "" } else { " " };
        let _ = write!(out, "{separator}grpc:{status}");
    }
    for flag in &call.flags {
        if !out.is_empty() {
            out.push(' ');
        }
        out.push_str(flag.as_str());
    }
}

/// Milliseconds with as many digits as matter.
fn push_duration(out: &mut String, ns: u64) {
    let (ms, rest) = (ns / 1_000_000, ns % 1_000_000);
    let _ = match ms {
        0..=9 => write!(out, "{ms}.{:03}", rest / 1_000),
        10..=99 => write!(out, "{ms}.{:02}", rest / 10_000),
        100..=9_999 => write!(out, "{ms}.{}", rest / 100_000),
        _ => write!(out, "{ms}"),
    };
}

/// Appends `text`, which is ASCII, in a column and a space after it.
fn pad(out: &mut String, text: &str, width: usize, right: bool) {
    if width == 0 {
        return;
    }
    let shown = cut(text, width);
    let marked = if shown.len() < text.len() { "~" } else { " " };
    let _ = if right {
        write!(out, "{shown:>width$}{marked}")
    } else {
        write!(out, "{shown:<width$}{marked}")
    };
}

fn cut(text: &str, width: usize) -> &str {
    text.get(..text.floor_char_boundary(width)).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::{Style, Table};
    use crate::call::{ApiCall, AuthOutcome, AuthScheme, Flag, Role};
    use crate::catalog::sample;
    use crate::detect::{Finding, RULES, Severity};
    use proptest::prelude::*;
    use std::time::Duration;

    const FILE: Style = Style {
        colour: false,
        width: None,
    };

    fn table(style: Style, calls: &[ApiCall]) -> String {
        let mut table = Table::new(Vec::new(), style);
        for call in calls {
            table.call(call).unwrap();
        }
        String::from_utf8(table.into_inner()).unwrap()
    }

    fn calls() -> [ApiCall; 3] {
        let mut first = sample::call("GET", "/users/1", Some(200));
        first.service = Some("nginx".into());
        let mut second = sample::call("POST", "/login", Some(401));
        second.scheme = "https";
        second.auth.scheme = AuthScheme::Basic;
        second.auth.outcome = AuthOutcome::Failed;
        second.query = Some("next=<redacted>".to_owned());
        second.duration_ns = Some(12_345_678_901);
        let mut third = sample::call("GET", "/v1", None);
        third.role = Role::Client;
        third.client = None;
        third.flags = vec![Flag::Gap, Flag::NoResponse];
        [first, second, third]
    }

    #[test]
    fn a_file_gets_plain_aligned_lines_with_nothing_cut() {
        assert_eq!(
            table(FILE, &calls()),
            "\
TIME UTC     DIR SERVICE        CLIENT          PROTO METHOD  PATH                                              ST       MS     IN    OUT NOTES
10:20:30.123 in  nginx          192.0.2.7       http  GET     /users/1                                         200    1.500     10   2.0K
10:20:30.123 in  nginx          192.0.2.7       https POST    /login?next=<redacted>                           401    12345     10   2.0K auth:basic:failed
10:20:30.123 out nginx          -               http  GET     shop.example/v1                                    -        -     10   2.0K gap no_response
"
        );
    }

    #[test]
    fn a_narrow_terminal_gets_fewer_columns_that_fit() {
        let text = table(
            Style {
                colour: false,
                width: Some(90),
            },
            &calls(),
        );
        assert!(text.lines().all(|line| line.len() <= 90), "{text}");
        assert!(text.contains("/login?next=<r"), "{text}");
    }

    #[test]
    fn a_terminal_gets_colours_by_status_and_the_header_again() {
        let call = sample::call("GET", "/", Some(500));
        let text = table(
            Style {
                colour: true,
                width: Some(120),
            },
            &vec![call; 41],
        );
        assert_eq!(text.matches("TIME UTC").count(), 2);
        assert_eq!(text.matches("\x1b[31m500").count(), 41);
        let plain = table(
            Style {
                colour: false,
                width: Some(120),
            },
            &calls(),
        );
        assert!(!plain.contains('\x1b'));
    }

    #[test]
    fn a_finding_stands_out() {
        let finding = Finding {
            time_unix_ns: 1_795_342_830_000_000_000,
            rule: RULES[0].name.into(),
            severity: Severity::Medium,
            mitre: "T1110".into(),
            role: Role::Server,
            client: Some([192, 0, 2, 7].into()),
            client_prefix: 32,
            identity: None,
            distinct: 0,
            message: "192.0.2.7 sent 10 credentials that evil\u{1b}[0m refused".into(),
            service: Some("evil\u{1b}[0m".into()),
            count: 10,
            span: Duration::from_secs(2),
            window: Duration::from_secs(60),
            routes: vec!["/login".into()],
        };
        let mut table = Table::new(Vec::new(), FILE);
        table.finding(&finding).unwrap();
        let text = String::from_utf8(table.into_inner()).unwrap();
        assert!(text.ends_with(
            "10:20:30.000 !! FINDING medium auth_failure_burst T1110: 192.0.2.7 sent 10 credentials \
             that evil\\x1b[0m refused\n"
        ), "{text}");
    }

    proptest! {
        #[test]
        fn hostile_text_stays_on_its_line_and_is_printable(
            method in any::<String>(), path in any::<String>(), host in any::<String>(),
            width in prop::option::of(1usize..300),
        ) {
            let mut call = sample::call(&method, &path, Some(200));
            call.role = Role::Client;
            call.service = Some(host.as_str().into());
            call.host = Some(host);
            let text = table(Style { colour: false, width }, &[call]);
            prop_assert_eq!(text.lines().count(), 2);
            prop_assert!(text.bytes().all(|b| b == b'\n' || (0x20..0x7f).contains(&b)));
        }
    }
}
