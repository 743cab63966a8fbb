//! What every kernel must show: the calls that `guest.sh` makes, and how each is judged.
//!
//! In: the agent's lines and counters. Out: for each case, seen or the reason why not.

use std::collections::BTreeMap;

use serde_json::Value;

use super::guest::SENDFILE_BYTES;

/// One column of the matrix.
#[derive(Clone, Copy)]
pub struct Case {
    /// Its name in the matrix.
    pub name: &'static str,
    /// Path of the call it looks at.
    path: &'static str,
    judge: fn(&Value) -> Result<(), String>,
}

/// Why confidentiality mode hides what it hides.
pub const FORBIDDEN: &str = "this lockdown forbids reading the memory of programs";

/// How the agent takes the bytes of sockets: values of its setting `capture.sockets`.
pub const RUNGS: [&str; 3] = ["auto", "functions", "kprobes"];

/// Calls judged one by one; the ledger is judged by [`ledger`].
pub const CASES: [Case; 11] = [
    case("http", "/http", |call| {
        is(call, "/scheme", "http")?;
        is(call, "/server/port", 80)
    }),
    case("http process", "/http", |call| {
        is(call, "/process/name", "nginx")
    }),
    case("ipv6", "/ipv6", |call| is(call, "/server/ip", "::1")),
    case("sendfile", "/sendfile", |call| {
        is(call, "/response_bytes", SENDFILE_BYTES)
    }),
    case("post", "/post", |call| is(call, "/request_bytes", 20)),
    case("open before", "/before/opened", |call| {
        is(call, "/status", 204)
    }),
    case("open before process", "/before/opened", |call| {
        is(call, "/process/name", "nginx")
    }),
    case("https", "/https", |call| is(call, "/scheme", "https")),
    case("https address", "/https", |call| {
        is(call, "/server/port", 443)
    }),
    case("https keep-alive", "/https/again", |call| {
        is(call, "/process/name", "nginx")
    }),
    case("unix socket", "/unix", |call| {
        is(call, "/process/name", "nginx")
    }),
];

const fn case(
    name: &'static str,
    path: &'static str,
    judge: fn(&Value) -> Result<(), String>,
) -> Case {
    Case { name, path, judge }
}

fn is(call: &Value, at: &str, wanted: impl Into<Value>) -> Result<(), String> {
    let wanted = wanted.into();
    match call.pointer(at) {
        Some(found) if *found == wanted => Ok(()),
        Some(found) => Err(format!("{at} is {found}, not {wanted}")),
        None => Err(format!("{at} is not known")),
    }
}

impl Case {
    /// Why it is not to be seen here, if that is known.
    pub fn limit(&self, lockdown: Option<&str>) -> Option<&'static str> {
        let reads_memory = self.path.starts_with("/https") || self.path == "/unix";
        let secret = reads_memory && lockdown == Some("confidentiality");
        secret.then_some(FORBIDDEN)
    }

    /// Looks for the case in what the agent printed.
    pub fn judge(&self, lines: &[Value]) -> Result<(), String> {
        let of_case = |line: &&Value| {
            line.get("path").and_then(Value::as_str) == Some(self.path)
                && line.get("role").and_then(Value::as_str) == Some("server")
        };
        let calls: Vec<_> = lines.iter().filter(of_case).collect();
        match calls.as_slice() {
            [] => Err("no such call".to_owned()),
            [call] => (self.judge)(call),
            more => Err(format!("seen {} times", more.len())),
        }
    }
}

/// Calls that `guest.sh` makes of each of two kinds while nine threads want two processors.
const CROWD: usize = 400;
/// Of those, the ones that must be seen whole. A kernel that preempts its own code may pass over a
/// call that comes while one thread is stopped inside the first program of a function and another
/// inside the second (`observer_probe_missed_runs_total`).
const CROWD_WHOLE: usize = 396;

/// The calls of a crowd: how many are seen whole, each once.
pub fn crowd(kind: &str, lines: &[Value]) -> Result<String, String> {
    let start = format!("/crowd/{kind}/");
    let told: Vec<_> = lines
        .iter()
        .filter(|line| {
            let path = line.get("path").and_then(Value::as_str);
            path.is_some_and(|path| path.starts_with(&start))
        })
        .collect();
    let whole = told
        .iter()
        .filter(|line| {
            is(line, "/role", "server").is_ok()
                && is(line, "/status", 200).is_ok()
                && is(line, "/response_bytes", 3).is_ok()
                && is(line, "/process/name", "nginx").is_ok()
        })
        .count();
    match whole {
        CROWD if told.len() == CROWD => Ok("yes".to_owned()),
        CROWD_WHOLE..CROWD if told.len() <= CROWD => Ok(format!("{whole}/{CROWD}")),
        _ => Err(format!(
            "{whole} of {CROWD} calls are seen whole, {} in all",
            told.len()
        )),
    }
}

/// A port that settings leave out: counted, and no call.
pub fn left_out(metrics: &str, lines: &[Value]) -> Result<(), String> {
    let of_port = |line: &&Value| line.get("path").and_then(Value::as_str) == Some("/left/out");
    if lines.iter().any(|line| of_port(&line)) {
        return Err("a call of a port that settings leave out is shown".to_owned());
    }
    let counted = metrics.lines().any(|line| {
        line.starts_with("observer_capture_filtered_bytes_total")
            && line.contains("reason=\"excluded\"")
            && line
                .rsplit_once(' ')
                .is_some_and(|(_, value)| value.parse::<f64>().is_ok_and(|n| n > 0.0))
    });
    counted
        .then_some(())
        .ok_or_else(|| "nothing is counted as left out".to_owned())
}

/// One way to move bytes: what `ways` said of it, against what the agent told.
pub fn way(name: &str, said: &str, lines: &[Value]) -> Result<(), WayFault> {
    if let Some(reason) = said.split("unavailable: ").nth(1) {
        return Err(WayFault::Impossible(reason.to_owned()));
    }
    let numbers = said.split("done ").nth(1).unwrap_or_default();
    let mut numbers = numbers.split(' ').map(str::parse::<u64>);
    let (Some(Ok(request)), Some(Ok(response))) = (numbers.next(), numbers.next()) else {
        return Err(WayFault::Wrong(format!("it said {said:?}")));
    };
    let calls = [("/before", 0, 7), ("", request, response), ("/after", 0, 9)];
    for (ending, request, response) in calls {
        if name == "until-close" && ending == "/after" {
            continue;
        }
        let path = format!("/ways/{name}{ending}");
        let found: Vec<_> = lines
            .iter()
            .filter(|line| line.get("path").and_then(Value::as_str) == Some(&path))
            .collect();
        let wrong = |reason: String| WayFault::Wrong(format!("{path}: {reason}"));
        let [call] = found.as_slice() else {
            return Err(wrong(format!("seen {} times", found.len())));
        };
        is(call, "/role", "server")
            .and_then(|()| is(call, "/status", 200))
            .and_then(|()| is(call, "/request_bytes", request))
            .and_then(|()| is(call, "/response_bytes", response))
            .and_then(|()| is(call, "/process/name", "ways"))
            .map_err(wrong)?;
    }
    Ok(())
}

/// Why a way was not seen.
#[derive(Debug, PartialEq, Eq)]
pub enum WayFault {
    /// The kernel cannot do it.
    Impossible(String),
    /// It was not seen as it was.
    Wrong(String),
}

/// Whether `seen = delivered + filtered + skipped + lost` for each source, in calls and in bytes,
/// and something was seen at all.
pub fn ledger(metrics: &str) -> Result<(), String> {
    let mut balance: BTreeMap<(String, bool), (u64, u64)> = BTreeMap::new();
    for line in metrics.lines() {
        let Some((name, value)) = line.rsplit_once(' ') else {
            continue;
        };
        let Some(source) = name
            .split_once("source=\"")
            .and_then(|(_, rest)| rest.split_once('"'))
        else {
            continue;
        };
        // Counters are whole numbers, however they are printed.
        let value = value.parse::<f64>().unwrap_or_default() as u64;
        let row = balance
            .entry((source.0.to_owned(), name.contains("_bytes_total")))
            .or_default();
        if name.starts_with("observer_capture_seen") {
            row.0 += value;
        } else {
            row.1 += value;
        }
    }
    if balance.values().all(|(seen, _)| *seen == 0) {
        return Err("nothing was counted".to_owned());
    }
    for ((source, bytes), (seen, told)) in balance {
        if seen != told {
            let unit = if bytes { "bytes" } else { "calls" };
            return Err(format!(
                "{source}: {seen} {unit} seen, {told} accounted for"
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ledger_that_misses_a_byte_is_refused() {
        let text = "observer_capture_seen_bytes_total{source=\"packets\"} 10\n\
                    observer_capture_delivered_bytes_total{source=\"packets\"} 7\n\
                    observer_capture_lost_bytes_total{source=\"packets\",reason=\"ring_full\"} 3\n";
        assert_eq!(ledger(text), Ok(()));
        let wrong = text.replace("} 3", "} 2");
        assert_eq!(
            ledger(&wrong),
            Err("packets: 10 bytes seen, 9 accounted for".to_owned())
        );
        assert!(ledger("").is_err(), "silence is not balance");
    }

    #[test]
    fn of_a_crowd_hardly_any_may_be_missed_and_none_be_told_twice() {
        let call = |at: usize| {
            serde_json::json!({
                "path": format!("/crowd/tcp/{at}"), "role": "server", "status": 200,
                "response_bytes": 3, "process": {"name": "nginx"}})
        };
        let mut calls: Vec<_> = (0..CROWD).map(call).collect();
        assert_eq!(crowd("tcp", &calls), Ok("yes".to_owned()));
        assert!(crowd("unix", &calls).is_err());
        calls.push(call(7));
        assert!(crowd("tcp", &calls).is_err(), "one is told twice");
        calls.truncate(CROWD - 1);
        assert_eq!(crowd("tcp", &calls), Ok("399/400".to_owned()));
        calls.truncate(CROWD_WHOLE - 1);
        assert!(crowd("tcp", &calls).is_err());
    }

    #[test]
    fn a_case_is_seen_once_as_the_server_saw_it() {
        let call = |role: &str| serde_json::json!({"path": "/http", "role": role, "scheme": "http", "server": {"port": 80}});
        let [http, process, ..] = CASES;
        assert_eq!(http.judge(&[call("server"), call("client")]), Ok(()));
        assert!(http.judge(&[call("server"), call("server")]).is_err());
        assert_eq!(
            process.judge(&[call("server")]),
            Err("/process/name is not known".to_owned())
        );
        assert_eq!(http.judge(&[]), Err("no such call".to_owned()));
    }
}
