//! `observer routes`: the endpoints of a list of requests.

use std::io::{self, BufRead, BufWriter, Read as _, Write};

use super::complain;
use crate::catalog::RouteSurvey;
use crate::cli::Exit;

/// Longer lines are no request line that a server takes (most stop at 8 KiB).
const MAX_LINE: u64 = 64 << 10;

/// Reads requests from the standard input and writes their routes to the standard output.
pub(super) fn run() -> Exit {
    let mut out = BufWriter::with_capacity(64 << 10, io::stdout().lock());
    match name(&mut io::stdin().lock(), &mut out) {
        Ok(()) => Exit::Done,
        Err(Fault::Line(number, fault)) => {
            complain(&format!(
                "line {number} of the standard input: {fault}; wanted are t_ms, method, target \
                 and status with tabs between them"
            ));
            Exit::Failed
        }
        Err(Fault::Read(error)) => {
            complain(&format!("cannot read the standard input: {error}"));
            Exit::Failed
        }
        // A reader that went away is no failure.
        Err(Fault::Write(error)) if error.kind() == io::ErrorKind::BrokenPipe => Exit::Done,
        Err(Fault::Write(error)) => {
            complain(&format!("cannot write to the standard output: {error}"));
            Exit::Failed
        }
    }
}

#[derive(Debug)]
enum Fault {
    Line(u64, &'static str),
    Read(io::Error),
    Write(io::Error),
}

fn name(input: &mut impl BufRead, out: &mut impl Write) -> Result<(), Fault> {
    let mut survey = RouteSurvey::default();
    let mut line = Vec::new();
    let mut number = 0;
    loop {
        line.clear();
        let read = input
            .by_ref()
            .take(MAX_LINE + 1)
            .read_until(b'\n', &mut line)
            .map_err(Fault::Read)?;
        if read == 0 {
            break;
        }
        number += 1;
        if read as u64 > MAX_LINE {
            return Err(Fault::Line(number, "is longer than 64 KiB"));
        }
        let text = String::from_utf8_lossy(&line);
        let mut fields = text.trim_end_matches(['\n', '\r']).split('\t');
        let (Some(_time), Some(method), Some(target)) =
            (fields.next(), fields.next(), fields.next())
        else {
            return Err(Fault::Line(number, "has fewer than three fields"));
        };
        // No answer was seen: `-` or nothing.
        let status = match fields.next().unwrap_or("-") {
            "-" | "" => None,
            text => match text.parse() {
                Ok(status) => Some(status),
                Err(_) => return Err(Fault::Line(number, "has a status that is no number")),
            },
        };
        survey.push(method, target, status);
    }
    survey
        .finish(|route| writeln!(out, "{}", route.unwrap_or("-")))
        .and_then(|()| out.flush())
        .map_err(Fault::Write)
}

#[cfg(test)]
mod tests {
    use super::{Fault, name};

    fn named(input: &str) -> Result<String, Fault> {
        let mut out = Vec::new();
        name(&mut input.as_bytes(), &mut out)?;
        Ok(String::from_utf8(out).unwrap())
    }

    #[test]
    fn each_line_gets_one_in_order() {
        let input =
            "1\tGET\t/items/7?x=1\t200\tignored\r\n2\tGET\t/gone\t404\n3\tGET\t/items/8\t-\n";
        assert_eq!(named(input).unwrap(), "/items/{id}\n-\n/items/{id}\n");
        assert_eq!(named("").unwrap(), "");
    }

    #[test]
    fn a_bad_line_is_named() {
        for (input, line) in [
            ("1\tGET\t/\t200\nGET /\n", 2),
            ("1\tGET\t/\tOK\n", 1),
            (&format!("1\tGET\t/{}\t200\n", "x".repeat(70_000)), 1),
        ] {
            assert!(matches!(named(input), Err(Fault::Line(n, _)) if n == line));
        }
    }
}
