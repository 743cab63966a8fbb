//! Endpoints that somebody declared: rules of the settings and uploaded OpenAPI documents. They
//! win over what is learned.

use std::collections::HashMap;
use std::sync::Arc;

use super::canonical;
use super::routes::MAX_TEMPLATE;

/// Templates of one service; the largest public document has a third of this.
const MOST: usize = 20_000;
/// Ways through the templates that are tried for one path. More than two at a segment take
/// templates that differ in nothing but where their values are.
const MOST_STEPS: u32 = 256;

/// One declared template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteRule {
    /// The service that it is for; `None`: all.
    pub service: Option<Box<str>>,
    /// Such as `/users/{id}/avatar`. `{…}` stands for one segment or a part of one, `{…...}` or
    /// `**` at the end for all that follows.
    pub template: Box<str>,
}

impl RouteRule {
    /// Reads `/users/{id}` or `shop /users/{id}`.
    ///
    /// # Errors
    /// What is wrong with it, for people.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let (service, template) = match text.split_once(' ') {
            Some((service, template)) => (Some(service.into()), template.trim()),
            None => (None, text),
        };
        if !template.starts_with('/') {
            return Err("must begin with / or with the name of a service and a blank".to_owned());
        }
        if template.len() > MAX_TEMPLATE || !template.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(format!(
                "must be at most {MAX_TEMPLATE} printable ASCII characters"
            ));
        }
        Ok(Self {
            service,
            template: template.into(),
        })
    }
}

impl std::fmt::Display for RouteRule {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(service) = &self.service {
            write!(out, "{service} ")?;
        }
        out.write_str(&self.template)
    }
}

/// The declared templates of one service.
#[derive(Debug, Default)]
pub(super) struct Declared {
    nodes: Vec<Node>,
    templates: usize,
}

/// What may come next.
#[derive(Debug, Default)]
struct Node {
    names: HashMap<Box<str>, u32>,
    /// What comes before a value in a segment, and after it. The longest first.
    parts: Vec<(Box<str>, Box<str>, u32)>,
    value: Option<u32>,
    /// The template that ends here, and the one that takes all that follows.
    route: Option<Arc<str>>,
    rest: Option<Arc<str>>,
}

impl Declared {
    /// Adds a template, unless there is one for the same paths.
    pub(super) fn add(&mut self, template: &str) {
        if self.templates >= MOST {
            return;
        }
        if self.nodes.is_empty() {
            self.nodes.push(Node::default());
        }
        let mut text = String::new();
        let mut at = 0;
        let mut segments = template
            .split('/')
            .filter(|part| !part.is_empty())
            .peekable();
        while let Some(segment) = segments.next() {
            let last = segments.peek().is_none();
            if last && (segment == "**" || segment.ends_with("...}")) {
                text.push_str("/{rest}");
                if let Some(node) = self.nodes.get_mut(at) {
                    node.rest.get_or_insert(text.into());
                    self.templates += 1;
                }
                return;
            }
            text.push('/');
            let Some(next) = self.grow(at, segment, &mut text) else {
                return;
            };
            at = next;
        }
        if text.is_empty() {
            text.push('/');
        }
        if text.len() <= MAX_TEMPLATE
            && let Some(node) = self.nodes.get_mut(at)
        {
            node.route.get_or_insert(text.into());
            self.templates += 1;
        }
    }

    /// The node after a segment, whose canonical form goes to `text`.
    fn grow(&mut self, at: usize, segment: &str, text: &mut String) -> Option<usize> {
        let new = u32::try_from(self.nodes.len()).ok()?;
        let node = self.nodes.get_mut(at)?;
        let open = segment.find('{');
        let close = segment.rfind('}');
        let next = match open.zip(close) {
            Some((open, close)) if open < close => {
                let before = canonical::segment(segment.get(..open)?);
                let after = canonical::segment(segment.get(close + 1..)?);
                let inner = segment.get(open + 1..close)?;
                let clean = |c: char| {
                    let plain = c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
                    if plain { c } else { '_' }
                };
                let inner: String = inner.chars().map(clean).collect();
                text.push_str(&format!("{before}{{{inner}}}{after}"));
                if before.is_empty() && after.is_empty() {
                    *node.value.get_or_insert(new)
                } else {
                    let known = node
                        .parts
                        .iter()
                        .find(|(b, a, _)| **b == *before && **a == *after);
                    match known {
                        Some((_, _, next)) => *next,
                        None => {
                            node.parts.push((before.into(), after.into(), new));
                            node.parts.sort_by_key(|(before, after, _)| {
                                std::cmp::Reverse(before.len() + after.len())
                            });
                            new
                        }
                    }
                }
            }
            _ => {
                let name = canonical::segment(segment);
                text.push_str(&name);
                *node.names.entry(name.into()).or_insert(new)
            }
        };
        if next == new {
            self.nodes.push(Node::default());
        }
        Some(next as usize)
    }

    /// The template of a path; names count more than values.
    pub(super) fn find(&self, segments: &[String]) -> Option<&Arc<str>> {
        let mut steps = 0;
        self.walk(0, segments, &mut steps)
    }

    fn walk(&self, at: usize, segments: &[String], steps: &mut u32) -> Option<&Arc<str>> {
        *steps += 1;
        if *steps > MOST_STEPS {
            return None;
        }
        let node = self.nodes.get(at)?;
        let Some((segment, rest)) = segments.split_first() else {
            return node.route.as_ref().or(node.rest.as_ref());
        };
        let mut go = |next: u32| self.walk(next as usize, rest, steps);
        if let Some(found) = node.names.get(segment.as_str()).and_then(|next| go(*next)) {
            return Some(found);
        }
        for (before, after, next) in &node.parts {
            let fits = segment.len() > before.len() + after.len()
                && segment.starts_with(&**before)
                && segment.ends_with(&**after);
            if fits && let Some(found) = go(*next) {
                return Some(found);
            }
        }
        node.value.and_then(go).or(node.rest.as_ref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(declared: &Declared, path: &str) -> Option<String> {
        let mut segments = Vec::new();
        canonical::segments(path, &mut segments);
        declared.find(&segments).map(ToString::to_string)
    }

    #[test]
    fn declared_templates_are_found_names_before_values() {
        let mut declared = Declared::default();
        assert_eq!(found(&declared, "/"), None);
        for template in [
            "/",
            "/users/{userId}",
            "/users/me",
            "/users/{userId}/posts/{post id}",
            "/reports/{name}.json",
            "/Orders({key})/Lines",
            "/files/{path...}",
            "/static/**",
            "/caf\u{e9}/{x}/",
        ] {
            declared.add(template);
        }
        for (path, expected) in [
            ("/", Some("/")),
            ("/users/7", Some("/users/{userId}")),
            ("/users/me", Some("/users/me")),
            ("/users/me/posts/1", Some("/users/{userId}/posts/{post_id}")),
            ("/users", None),
            ("/reports/may.json", Some("/reports/{name}.json")),
            ("/reports/.json", None),
            ("/Orders(42)/Lines", Some("/Orders({key})/Lines")),
            ("/files/a/b/c", Some("/files/{rest}")),
            ("/static", Some("/static/{rest}")),
            ("/caf%C3%A9/1/", Some("/caf%C3%A9/{x}")),
        ] {
            assert_eq!(found(&declared, path).as_deref(), expected, "{path}");
        }
    }

    #[test]
    fn templates_that_look_alike_cost_bounded_time() {
        let mut declared = Declared::default();
        for at in 0..15_u32 {
            let part = |level: u32| if at & (1 << level) > 0 { "a{x}" } else { "{y}" };
            let path: Vec<&str> = (0..14).map(|level| part(level % 4)).collect();
            declared.add(&format!("/{}/end", path.join("/")));
        }
        assert_eq!(found(&declared, &"/ab".repeat(15)), None);
    }

    #[test]
    fn rules_are_read_and_shown() {
        for text in ["/a/{b}", "shop /a/{b}"] {
            let rule = RouteRule::parse(text).unwrap();
            assert_eq!(rule.to_string(), text);
        }
        for bad in ["", "a/b", "shop a", "/\u{e9}"] {
            assert!(RouteRule::parse(bad).is_err(), "{bad}");
        }
    }
}
