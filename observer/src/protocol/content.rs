//! What a body holds, by the fields of its head, and whether the first part of it is wanted.

use httparse::Header;

/// What a body may hold that names an operation or an error.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ContentKind {
    /// JSON, under any of its names (RFC 8259, RFC 6839 §3.1).
    Json,
    /// XML (RFC 7303).
    Xml,
    /// `application/x-www-form-urlencoded`.
    Form,
    /// `multipart/form-data`, `multipart/related`, `multipart/mixed` (RFC 2046 §5.1).
    Multipart,
    /// `application/graphql`.
    GraphQl,
    /// Plain text, or nothing is said.
    Unlabelled,
    /// Anything else.
    #[default]
    Other,
}

/// How a body is compressed (RFC 9110 §8.4.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Coding {
    /// Not at all.
    #[default]
    Identity,
    /// `gzip`.
    Gzip,
    /// `deflate`.
    Deflate,
    /// `br` (RFC 7932).
    Brotli,
    /// `zstd` (RFC 8878).
    Zstd,
    /// In a way that is not known here, or more than once.
    Unknown,
}

/// Type and coding of a body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Content {
    /// What it holds.
    pub kind: ContentKind,
    /// How it is compressed.
    pub coding: Coding,
}

impl Content {
    /// What the fields of a head say.
    pub fn of(fields: &[Header<'_>]) -> Self {
        let mut kind = ContentKind::Unlabelled;
        let mut coding = Coding::Identity;
        for field in fields {
            match field.name.len() {
                12 if field.name.eq_ignore_ascii_case("content-type") => {
                    kind = ContentKind::of(field.value);
                }
                16 if field.name.eq_ignore_ascii_case("content-encoding") => {
                    coding = coding.and(field.value);
                }
                _ => {}
            }
        }
        Self { kind, coding }
    }

    /// What the values of `Content-Type` and `Content-Encoding` say.
    pub(super) fn from_values(kind: Option<&[u8]>, coding: Option<&[u8]>) -> Self {
        Self {
            kind: kind.map_or(ContentKind::Unlabelled, ContentKind::of),
            coding: coding.map_or(Coding::Identity, |value| Coding::Identity.and(value)),
        }
    }

    /// The first part of a request with this content may name an operation.
    pub(super) fn of_request(self) -> bool {
        self.kind != ContentKind::Other && self.coding != Coding::Unknown
    }

    /// The first part of an answer with this content may tell an error; `asked`: its request may
    /// have named an operation, whose errors come with any status.
    pub(super) fn of_answer(self, status: Option<u16>, asked: bool) -> bool {
        let told = matches!(
            self.kind,
            ContentKind::Json | ContentKind::Xml | ContentKind::Multipart
        );
        let failed = status.is_some_and(|status| status >= 400);
        let unlabelled = self.kind == ContentKind::Unlabelled && failed;
        (told && (asked || failed) || unlabelled) && self.coding != Coding::Unknown
    }
}

impl ContentKind {
    /// By the value of `Content-Type`.
    pub fn of(value: &[u8]) -> Self {
        let name = value.split(|byte| *byte == b';').next();
        let name = name.unwrap_or_default().trim_ascii();
        let starts = |text: &str| {
            name.get(..text.len())
                .is_some_and(|start| start.eq_ignore_ascii_case(text.as_bytes()))
        };
        let ends = |text: &str| {
            let at = name.len().checked_sub(text.len());
            at.and_then(|at| name.get(at..))
                .is_some_and(|end| end.eq_ignore_ascii_case(text.as_bytes()))
        };
        let is = |text: &str| name.eq_ignore_ascii_case(text.as_bytes());
        if starts("application/grpc") || starts("application/connect") {
            // Messages with prefixes, whatever is in them.
            Self::Other
        } else if ends("/json")
            || ends("+json")
            || starts("application/x-amz-json")
            || starts("application/json")
        {
            Self::Json
        } else if is("application/x-www-form-urlencoded") {
            Self::Form
        } else if ends("/xml") || ends("+xml") && !starts("image/") && !is("application/xhtml+xml")
        {
            Self::Xml
        } else if is("multipart/form-data") || is("multipart/related") || is("multipart/mixed") {
            Self::Multipart
        } else if is("application/graphql") {
            Self::GraphQl
        } else if is("text/plain") || name.is_empty() {
            Self::Unlabelled
        } else {
            Self::Other
        }
    }
}

impl Coding {
    fn and(self, value: &[u8]) -> Self {
        let mut all = self;
        for coding in value.split(|byte| *byte == b',') {
            let coding = coding.trim_ascii().to_ascii_lowercase();
            let one = match &*coding {
                b"" | b"identity" => continue,
                b"gzip" | b"x-gzip" => Self::Gzip,
                b"deflate" => Self::Deflate,
                b"br" => Self::Brotli,
                b"zstd" => Self::Zstd,
                _ => Self::Unknown,
            };
            all = if all == Self::Identity {
                one
            } else {
                Self::Unknown
            };
        }
        all
    }
}

/// A target whose query may hold a GraphQL operation.
pub(super) fn asks_in_query(target: &str) -> bool {
    target
        .split_once('?')
        .is_some_and(|(_, query)| query.contains("query=") || query.contains("extensions="))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_told_by_the_type() {
        for (value, expected) in [
            ("application/json", ContentKind::Json),
            ("Application/JSON; charset=utf-8", ContentKind::Json),
            ("application/problem+json", ContentKind::Json),
            ("application/x-amz-json-1.1", ContentKind::Json),
            ("application/soap+xml; action=\"a\"", ContentKind::Xml),
            ("text/xml", ContentKind::Xml),
            ("image/svg+xml", ContentKind::Other),
            ("application/xhtml+xml", ContentKind::Other),
            ("application/x-www-form-urlencoded", ContentKind::Form),
            ("multipart/form-data; boundary=x", ContentKind::Multipart),
            ("application/graphql", ContentKind::GraphQl),
            ("application/grpc+json", ContentKind::Other),
            ("application/connect+json", ContentKind::Other),
            ("application/octet-stream", ContentKind::Other),
            ("text/plain", ContentKind::Unlabelled),
            ("", ContentKind::Unlabelled),
        ] {
            assert_eq!(ContentKind::of(value.as_bytes()), expected, "{value}");
        }
    }

    #[test]
    fn codings_are_one_or_unknown() {
        for (value, expected) in [
            ("gzip", Coding::Gzip),
            ("X-Gzip", Coding::Gzip),
            ("identity, br", Coding::Brotli),
            ("gzip, gzip", Coding::Unknown),
            ("compress", Coding::Unknown),
            ("", Coding::Identity),
        ] {
            let coding = Coding::Identity.and(value.as_bytes());
            assert_eq!(coding, expected, "{value}");
        }
    }
}
