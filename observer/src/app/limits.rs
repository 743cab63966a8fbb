//! What is told of a limit that was exceeded.

use std::time::Duration;

use crate::call::ApiCall;
use crate::detect::{Finding, Severity, rule};
use crate::usage::{Action, Counted, Dimension, Excess, Limit, LimitWindow};

/// Name of the rule.
const RULE: &str = "limit_exceeded";

/// The finding. `call` is the one that was too many.
pub(super) fn finding(limit: &Limit, excess: &Excess, call: &ApiCall) -> Finding {
    let rule = rule(RULE);
    let what = match limit.count {
        Counted::Calls => "calls",
        Counted::Bytes => "bytes",
        Counted::Errors => "errors",
        Counted::Failures => "refused credentials",
    };
    let (window, text) = match limit.window {
        LimitWindow::Sliding(length) => (length, format!("within {} s", length.as_secs())),
        LimitWindow::Calendar(period) => (Duration::ZERO, format!("this {}", period.as_str())),
    };
    let name = match limit.per {
        Dimension::Identity => format!("the caller {}", excess.name),
        Dimension::Client => format!("the client {}", excess.name),
        Dimension::Endpoint => format!("the endpoint {}", excess.name),
        Dimension::Service => format!("the service {}", excess.name),
    };
    let (client, client_prefix) = excess.client.unzip();
    let about_client = limit.per == Dimension::Client;
    Finding {
        time_unix_ns: call.time_unix_ns,
        rule: RULE.into(),
        severity: match limit.action {
            Action::Alert => rule.map_or(Severity::Medium, |rule| rule.severity),
            Action::Block => Severity::High,
        },
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
        message: format!(
            "{name} used {} {what} {text}: the limit is {}",
            excess.used, limit.limit
        )
        .into(),
    }
}
