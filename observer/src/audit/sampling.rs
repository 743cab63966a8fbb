//! Which calls have a record: all, but for those that rules leave out.
//!
//! In: calls. Out: whether a call is written, and how many were not, by rule. Never: a failure or
//! a login left out.

use super::ocsf::is_login;
use super::search::like;
use crate::call::{ApiCall, AuthOutcome, Signs};

/// A rule: of the calls of an endpoint that succeed, one of so many is written. As text
/// `1/100 GET nginx:/v1/items/*`; `0` writes none; method and service may be left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SamplingRule {
    /// One of so many; 0 is none.
    one_of: u64,
    method: Option<String>,
    service: Option<String>,
    /// Route, or path where none is known, with `*` for any text.
    route: String,
}

impl SamplingRule {
    /// Reads a rule.
    ///
    /// # Errors
    /// A sentence that says what is wrong.
    pub fn parse(text: &str) -> Result<Self, String> {
        let form = "is not of the form \"1/100 GET service:/route/*\" (or \"0 /route\")";
        let mut words = text.split_whitespace();
        let share = words.next().ok_or(form)?;
        let one_of = match share.strip_prefix("1/") {
            Some(number) => number.parse().ok().filter(|n| *n > 0).ok_or(form)?,
            None if share == "0" => 0,
            None => return Err(form.to_owned()),
        };
        let (method, target) = match (words.next(), words.next(), words.next()) {
            (Some(target), None, None) => (None, target),
            (Some(method), Some(target), None) => (Some(method.to_ascii_uppercase()), target),
            _ => return Err(form.to_owned()),
        };
        let (service, route) = match target.split_once(":/") {
            Some((service, route)) => (Some(service.to_owned()), format!("/{route}")),
            None => (None, target.to_owned()),
        };
        if !route.starts_with(['/', '*']) || service.as_deref() == Some("") {
            return Err(form.to_owned());
        }
        Ok(Self {
            one_of,
            method,
            service,
            route,
        })
    }

    fn fits(&self, call: &ApiCall) -> bool {
        let Self {
            one_of: _,
            method,
            service,
            route,
        } = self;
        method.as_ref().is_none_or(|method| *method == call.method)
            && service.as_ref().is_none_or(|service| {
                call.service
                    .as_deref()
                    .is_some_and(|name| like(service, name))
            })
            && like(route, call.route.as_deref().unwrap_or(&call.path))
    }
}

impl std::fmt::Display for SamplingRule {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.one_of {
            0 => out.write_str("0 ")?,
            n => write!(out, "1/{n} ")?,
        }
        if let Some(method) = &self.method {
            write!(out, "{method} ")?;
        }
        if let Some(service) = &self.service {
            write!(out, "{service}:")?;
        }
        out.write_str(&self.route)
    }
}

/// The rules, with what they left out.
#[derive(Clone, Debug)]
pub(super) struct Sampling {
    rules: Vec<Applied>,
}

#[derive(Clone, Debug)]
struct Applied {
    rule: SamplingRule,
    seen: u64,
    left_out: u64,
}

impl Sampling {
    pub(super) fn new(rules: &[SamplingRule]) -> Self {
        let applied = |rule: &SamplingRule| Applied {
            rule: rule.clone(),
            seen: 0,
            left_out: 0,
        };
        Self {
            rules: rules.iter().map(applied).collect(),
        }
    }

    /// Whether the call has a record. The first rule that fits decides.
    pub(super) fn keeps(&mut self, call: &ApiCall) -> bool {
        if self.rules.is_empty() || must_be_kept(call) {
            return true;
        }
        let Some(applied) = self.rules.iter_mut().find(|one| one.rule.fits(call)) else {
            return true;
        };
        let number = applied.seen;
        applied.seen += 1;
        // The first of each so many, so that what is called seldom is seen at all.
        let kept = applied.rule.one_of > 0 && number.is_multiple_of(applied.rule.one_of);
        applied.left_out += u64::from(!kept);
        kept
    }

    /// Calls left out since the last time, by rule.
    pub(super) fn take_left_out(&mut self) -> Vec<(String, u64)> {
        self.rules
            .iter_mut()
            .filter(|one| one.left_out > 0)
            .map(|one| (one.rule.to_string(), std::mem::take(&mut one.left_out)))
            .collect()
    }
}

/// What failed, what was not answered, logins, and what looks like an attack.
fn must_be_kept(call: &ApiCall) -> bool {
    call.status.is_none_or(|status| status >= 400)
        || call.grpc_status.is_some_and(|status| status > 0)
        || call.body_error.is_some()
        || !matches!(
            call.auth.outcome,
            AuthOutcome::Success | AuthOutcome::None | AuthOutcome::Unknown
        )
        || call.signs != Signs::NONE
        || is_login(call)
}

#[cfg(test)]
mod tests {
    use super::{Sampling, SamplingRule};
    use crate::call::{ApiCall, AuthOutcome};
    use crate::catalog::sample;

    fn sampling(rules: &[&str]) -> Sampling {
        let rules: Vec<_> = rules
            .iter()
            .map(|rule| SamplingRule::parse(rule).unwrap())
            .collect();
        Sampling::new(&rules)
    }

    fn kept(sampling: &mut Sampling, call: &ApiCall, times: usize) -> usize {
        (0..times).filter(|_| sampling.keeps(call)).count()
    }

    #[test]
    fn the_first_rule_that_fits_decides_and_what_it_leaves_out_is_counted() {
        let mut sampling = sampling(&["0 /health", "1/10 GET shop:/v1/*", "1/3 *"]);
        let mut call = sample::call("GET", "/v1/orders/7", Some(200));
        call.route = Some("/v1/orders/{id}".into());
        call.service = Some("shop".into());
        assert_eq!(kept(&mut sampling, &call, 95), 10);
        call.service = Some("else".into());
        assert_eq!(kept(&mut sampling, &call, 9), 3);
        let health = sample::call("GET", "/health", Some(200));
        assert_eq!(kept(&mut sampling, &health, 50), 0);
        let told = sampling.take_left_out();
        let told: Vec<_> = told.iter().map(|(rule, calls)| (&**rule, *calls)).collect();
        assert_eq!(
            told,
            [("0 /health", 50), ("1/10 GET shop:/v1/*", 85), ("1/3 *", 6)]
        );
        assert!(sampling.take_left_out().is_empty());
    }

    #[test]
    fn failures_and_logins_are_never_left_out() {
        let mut sampling = sampling(&["0 *"]);
        for status in [None, Some(400), Some(401), Some(404), Some(500), Some(503)] {
            assert!(
                sampling.keeps(&sample::call("GET", "/health", status)),
                "{status:?}"
            );
        }
        let mut call = sample::call("GET", "/health", Some(200));
        assert!(!sampling.keeps(&call));
        call.grpc_status = Some(7);
        assert!(sampling.keeps(&call));
        call.grpc_status = Some(0);
        call.auth.outcome = AuthOutcome::Expired;
        assert!(sampling.keeps(&call));
        assert!(sampling.keeps(&sample::call("POST", "/login", Some(200))));
    }

    #[test]
    fn rules_are_written_as_they_are_read_and_others_refused() {
        for text in [
            "0 /health",
            "1/100 GET nginx:/v1/*",
            "1/2 a-b:/x",
            "1/7 PUT /x",
            "1/9 *",
        ] {
            assert_eq!(SamplingRule::parse(text).unwrap().to_string(), text);
        }
        for text in [
            "",
            "0",
            "2/3 /x",
            "1/0 /x",
            "0 GET",
            "0 GET /a /b",
            "0 :/x",
            "half /x",
        ] {
            SamplingRule::parse(text).unwrap_err();
        }
    }
}
