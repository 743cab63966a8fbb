//! What is told of a limit that was exceeded.

use std::time::Duration;

use crate::call::ApiCall;
use crate::detect::{Finding, Severity, rule};
use crate::usage::{Counted, Dimension, Excess, Limit, LimitWindow};

/// Name of the rule.
const RULE: &str = "limit_exceeded";

/// What happened, in words.
pub(super) fn sentence(limit: &Limit, excess: &Excess) -> String {
    let what = match limit.count {
        Counted::Calls => "calls",
        Counted::Bytes => "bytes",
        Counted::Errors => "errors",
        Counted::Failures => "refused credentials",
    };
    let time = match limit.window {
        LimitWindow::Sliding(length) => format!("within {} s", length.as_secs()),
        LimitWindow::Calendar(period) => format!("this {}", period.as_str()),
    };
    let who = match limit.per {
        Dimension::Identity => "caller",
        Dimension::Client => "client",
        Dimension::Endpoint => "endpoint",
        Dimension::Service => "service",
    };
    format!(
        "the {who} {} used {} {what} {time}: the limit is {}",
        excess.name, excess.used, limit.limit
    )
}

/// The finding. `call` is the one that was too many.
pub(super) fn finding(limit: &Limit, excess: &Excess, call: &ApiCall) -> Finding {
    let rule = rule(RULE);
    let window = match limit.window {
        LimitWindow::Sliding(length) => length,
        LimitWindow::Calendar(_) => Duration::ZERO,
    };
    let (client, client_prefix) = excess.client.unzip();
    let about_client = limit.per == Dimension::Client;
    Finding {
        time_unix_ns: call.time_unix_ns,
        rule: RULE.into(),
        severity: rule.map_or(Severity::Medium, |rule| rule.severity),
        mitre: rule.map_or("", |rule| rule.mitre).into(),
        role: call.role,
        client: client.filter(|_| about_client),
        client_prefix: client_prefix.filter(|_| about_client).unwrap_or(0),
        identity: (!about_client).then(|| excess.name.clone()),
        service: call.service.clone(),
        count: excess.used,
        distinct: 0,
        span: Duration::ZERO,
        window,
        routes: call.route.iter().cloned().collect(),
        message: sentence(limit, excess).into(),
    }
}
