//! The routes of a list of requests that is known as a whole, such as an access log.

use std::sync::Arc;

use super::canonical;
use super::routes::{Answer, Learner};

/// Places of paths that are learned, about 200 bytes each: 100 MiB at most.
const MAX_PLACES: usize = 1 << 19;

/// Learns from all requests first and names them afterwards, so the order they come in does not
/// matter. All requests are taken to be of one service.
#[derive(Debug)]
pub struct RouteSurvey {
    learner: Learner,
    requests: Vec<Request>,
    segments: Vec<String>,
}

#[derive(Debug)]
struct Request {
    /// `None`: the target is no path.
    path: Option<Box<str>>,
    other_form: Option<&'static str>,
}

impl Default for RouteSurvey {
    fn default() -> Self {
        Self {
            learner: Learner::new(MAX_PLACES),
            requests: Vec::new(),
            segments: Vec::new(),
        }
    }
}

impl RouteSurvey {
    /// Takes one request. `target` is as in a request line: a path with or without query, an
    /// absolute URL, `*`, or the authority of CONNECT.
    pub fn push(&mut self, method: &str, target: &str, status: Option<u16>) {
        let Self {
            learner,
            requests,
            segments,
        } = self;
        if let Some(form) = canonical::other_form(method, target) {
            requests.push(Request {
                path: None,
                other_form: Some(form),
            });
            return;
        }
        let path = path_of(target);
        canonical::segments(path, segments);
        let mut place = learner.reach(segments);
        if place.is_none() {
            learner.settle();
            place = learner.reach(segments);
        }
        if let Some(place) = place {
            learner.observe(place, method, Answer::of(status));
        }
        requests.push(Request {
            path: Some(path.into()),
            other_form: None,
        });
    }

    /// Hands out the route of each request, in order; `None`: it never was an endpoint.
    ///
    /// # Errors
    /// The first error of `out` ends it.
    pub fn finish<E>(self, mut out: impl FnMut(Option<&str>) -> Result<(), E>) -> Result<(), E> {
        let Self {
            mut learner,
            requests,
            mut segments,
        } = self;
        learner.settle();
        for request in requests {
            let route: Option<Arc<str>> = request.path.as_deref().and_then(|path| {
                canonical::segments(path, &mut segments);
                let place = learner.find(&segments)?;
                learner.template(&segments, place)
            });
            out(request.other_form.or(route.as_deref()))?;
        }
        Ok(())
    }
}

/// The path of a target in origin-form or absolute-form (RFC 9112 §3.2).
fn path_of(target: &str) -> &str {
    let end = target.find(['?', '#']).unwrap_or(target.len());
    let target = target.get(..end).unwrap_or(target);
    if target.starts_with('/') {
        return target;
    }
    match target.split_once("://") {
        Some((_, rest)) => rest
            .find('/')
            .and_then(|slash| rest.get(slash..))
            .unwrap_or("/"),
        None => target,
    }
}

#[cfg(test)]
mod tests {
    use super::RouteSurvey;

    fn routes(requests: &[(&str, &str, u16)]) -> Vec<String> {
        let mut survey = RouteSurvey::default();
        for (method, target, status) in requests {
            survey.push(method, target, Some(*status));
        }
        let mut out = Vec::new();
        let done: Result<(), ()> = survey.finish(|route| {
            out.push(route.unwrap_or("-").to_owned());
            Ok(())
        });
        assert_eq!(done, Ok(()));
        out
    }

    /// Forty people, three things asked of each, beside two names.
    fn people() -> Vec<(&'static str, String, u16)> {
        let first = [
            "ada", "grace", "alan", "edsger", "barbara", "donald", "tony", "leslie",
        ];
        let last = ["hill", "lake", "field", "wood", "stone"];
        let mut all = Vec::new();
        for (a, b) in first.iter().flat_map(|a| last.map(|b| (a, b))) {
            let name = format!("{a}{b}");
            all.push(("GET", format!("/v1/people/{name}"), 200));
            all.push(("GET", format!("/v1/people/{name}/orders"), 200));
            all.push(("POST", format!("/v1/people/{name}/orders"), 201));
            all.push(("POST", "/v1/people/search".to_owned(), 200));
            all.push(("GET", "/v1/products".to_owned(), 200));
        }
        all.push(("GET", "/v1/people/nobody/orders".to_owned(), 404));
        all
    }

    #[test]
    fn word_like_values_become_one_route_and_names_stay() {
        let people = people();
        let as_seen: Vec<_> = people
            .iter()
            .map(|(m, t, s)| (*m, t.as_str(), *s))
            .collect();
        for ((_, target, _), route) in as_seen.iter().zip(routes(&as_seen)) {
            let expected = match target.strip_prefix("/v1/people/") {
                Some("search") | None => (*target).to_owned(),
                Some(rest) if rest.ends_with("/orders") => "/v1/people/{name}/orders".to_owned(),
                Some(_) => "/v1/people/{name}".to_owned(),
            };
            assert_eq!(route, expected, "{target}");
        }
    }

    #[test]
    fn the_order_of_the_requests_does_not_matter() {
        let people = people();
        let mut as_seen: Vec<_> = people
            .iter()
            .map(|(m, t, s)| (*m, t.as_str(), *s))
            .collect();
        let mut forward = routes(&as_seen);
        as_seen.reverse();
        let mut backward = routes(&as_seen);
        backward.reverse();
        assert_eq!(forward, backward);
        forward.dedup();
        assert!(forward.len() > 3);
    }

    #[test]
    fn every_form_of_a_target_is_understood() {
        let seen = routes(&[
            ("GET", "/items/17?page=2", 200),
            ("GET", "http://shop.example/items/4711/", 200),
            ("GET", "http://shop.example", 200),
            ("OPTIONS", "*", 200),
            ("CONNECT", "shop.example:443", 200),
            ("GET", "/Orders(42)", 200),
            ("GET", "/items/18;v=2//", 200),
        ]);
        let expected = [
            "/items/{id}",
            "/items/{id}",
            "/",
            "*",
            "{authority}",
            "/Orders({key})",
            "/items/{id}",
        ];
        assert_eq!(seen, expected);
    }

    #[test]
    fn scanned_paths_are_no_endpoints() {
        let seen = routes(&[
            ("GET", "/items/17", 200),
            ("GET", "/.env", 404),
            ("GET", "/admin.php", 403),
            ("POST", "/admin.php", 400),
        ]);
        assert_eq!(seen, ["/items/{id}", "-", "-", "-"]);
    }
}
