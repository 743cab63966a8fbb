//! The agent's metrics, read as Prometheus would read them.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context, Result, bail};

/// How long an answer may take.
const LIMIT: Duration = Duration::from_secs(5);

/// One sample.
#[derive(Clone, Debug)]
pub struct Sample {
    /// Metric name.
    pub name: String,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Value.
    pub value: f64,
}

/// One scrape.
#[derive(Clone, Debug)]
pub struct Metrics {
    /// As received.
    pub text: String,
    /// All samples.
    pub samples: Vec<Sample>,
}

impl Metrics {
    /// Scrapes `/metrics` on a loopback port.
    pub fn scrape(port: u16) -> Result<Self> {
        let (status, text) = get(port, "/metrics")?;
        if status != 200 {
            bail!("/metrics answered {status}");
        }
        let samples = text
            .lines()
            .filter(|line| !line.starts_with('#') && !line.is_empty())
            .map(|line| parse(line).with_context(|| format!("not a sample: {line}")))
            .collect::<Result<_>>()?;
        Ok(Self { text, samples })
    }

    /// Sum of all samples of `name` that have all these labels; zero if there is none.
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.of(name, labels).map(|sample| sample.value).sum()
    }

    /// All samples of `name` that have all these labels.
    pub fn of<'a>(
        &'a self,
        name: &'a str,
        labels: &'a [(&'a str, &'a str)],
    ) -> impl Iterator<Item = &'a Sample> {
        self.samples.iter().filter(move |sample| {
            sample.name == name
                && labels
                    .iter()
                    .all(|(key, value)| sample.labels.get(*key).is_some_and(|is| is == value))
        })
    }

    /// Sum of all counters whose name begins with `prefix`.
    pub fn sum_of_counters(&self, prefix: &str) -> f64 {
        self.samples
            .iter()
            .filter(|sample| sample.name.starts_with(prefix) && sample.name.ends_with("_total"))
            .map(|sample| sample.value)
            .sum()
    }
}

/// Status and body of a GET on a loopback port.
pub fn get(port: u16, path: &str) -> Result<(u16, String)> {
    let mut stream = TcpStream::connect_timeout(&([127, 0, 0, 1], port).into(), LIMIT)?;
    stream.set_read_timeout(Some(LIMIT))?;
    // 1.0: the answer ends with the connection and is never chunked.
    write!(stream, "GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let answer = String::from_utf8(answer).context("the answer is not UTF-8")?;
    let (head, body) = answer
        .split_once("\r\n\r\n")
        .context("no head in the answer")?;
    let status = head.split(' ').nth(1).context("no status")?.parse()?;
    Ok((status, body.to_owned()))
}

fn parse(line: &str) -> Option<Sample> {
    let name_end = line.find(['{', ' '])?;
    let (name, rest) = line.split_at(name_end);
    let mut labels = BTreeMap::new();
    let value = if let Some(mut rest) = rest.strip_prefix('{') {
        loop {
            rest = rest.trim_start_matches(',');
            if let Some(after) = rest.strip_prefix('}') {
                break after;
            }
            let (key, after) = rest.split_once("=\"")?;
            let end = end_of_quoted(after)?;
            labels.insert(key.to_owned(), unescape(after.get(..end)?));
            rest = after.get(end + 1..)?;
        }
    } else {
        rest
    };
    let value = value.split_whitespace().next()?.parse().ok()?;
    Some(Sample {
        name: name.to_owned(),
        labels,
        value,
    })
}

fn end_of_quoted(text: &str) -> Option<usize> {
    let mut escaped = false;
    text.char_indices().find_map(|(at, c)| {
        let ends = c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
        ends.then_some(at)
    })
}

fn unescape(text: &str) -> String {
    text.replace("\\\"", "\"")
        .replace("\\n", "\n")
        .replace("\\\\", "\\")
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn labels_with_escapes_and_commas_are_read() {
        let sample = parse(r#"a_total{route="/x,{id}",said="\"so\""} 3"#).unwrap();
        assert_eq!(sample.name, "a_total");
        assert_eq!(sample.labels["route"], "/x,{id}");
        assert_eq!(sample.labels["said"], "\"so\"");
        assert!((sample.value - 3.0).abs() < f64::EPSILON);
    }

    #[test]
    fn a_sample_without_labels_is_read() {
        assert!((parse("b 0.5").unwrap().value - 0.5).abs() < f64::EPSILON);
        assert!(parse("c{x=\"").is_none());
    }
}
