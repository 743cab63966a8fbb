//! Words of HTTP interfaces in general: verbs, states and parts that follow a value as often as
//! they stand in its place.

const WORDS: &[&str] = &[
    "accept",
    "access",
    "account",
    "activate",
    "active",
    "activity",
    "add",
    "admin",
    "all",
    "api",
    "approve",
    "archive",
    "assign",
    "attach",
    "audit",
    "auth",
    "authorize",
    "available",
    "avatar",
    "batch",
    "block",
    "bulk",
    "cancel",
    "categories",
    "check",
    "children",
    "clear",
    "clone",
    "close",
    "code",
    "comments",
    "complete",
    "config",
    "configuration",
    "confirm",
    "content",
    "copy",
    "count",
    "create",
    "current",
    "data",
    "deactivate",
    "default",
    "delete",
    "details",
    "disable",
    "download",
    "edit",
    "enable",
    "entities",
    "events",
    "execute",
    "export",
    "fields",
    "files",
    "filter",
    "find",
    "get",
    "groups",
    "health",
    "history",
    "id",
    "ids",
    "image",
    "images",
    "import",
    "info",
    "items",
    "jobs",
    "json",
    "keys",
    "latest",
    "list",
    "lock",
    "login",
    "logout",
    "logs",
    "me",
    "members",
    "merge",
    "messages",
    "meta",
    "metadata",
    "metrics",
    "move",
    "name",
    "new",
    "notifications",
    "open",
    "options",
    "parent",
    "password",
    "pause",
    "permissions",
    "ping",
    "preview",
    "profile",
    "public",
    "publish",
    "query",
    "read",
    "recent",
    "refresh",
    "register",
    "reject",
    "related",
    "remove",
    "rename",
    "reorder",
    "reports",
    "reset",
    "resolve",
    "restart",
    "restore",
    "resume",
    "retry",
    "revoke",
    "roles",
    "rotate",
    "run",
    "schema",
    "search",
    "security",
    "self",
    "send",
    "session",
    "set",
    "settings",
    "share",
    "start",
    "state",
    "stats",
    "status",
    "stop",
    "stream",
    "subscribe",
    "summary",
    "sync",
    "tags",
    "templates",
    "test",
    "token",
    "tokens",
    "transfer",
    "types",
    "unblock",
    "undo",
    "unlock",
    "unread",
    "unsubscribe",
    "update",
    "upload",
    "usage",
    "user",
    "users",
    "validate",
    "values",
    "verify",
    "version",
    "versions",
    "web",
    "webhooks",
];

/// Share of the parts of a word that interfaces in general use.
pub(super) fn familiarity(word: &str) -> f32 {
    let (mut parts, mut known) = (0u32, 0u32);
    let mut part = String::with_capacity(16);
    let mut close = |part: &mut String| {
        if !part.is_empty() {
            parts += 1;
            known += u32::from(WORDS.binary_search(&part.as_str()).is_ok());
            part.clear();
        }
    };
    let mut lower = false;
    for c in word.chars() {
        if !c.is_ascii_alphanumeric() || (c.is_ascii_uppercase() && lower) {
            close(&mut part);
        }
        if c.is_ascii_alphanumeric() {
            part.push(c.to_ascii_lowercase());
        }
        lower = c.is_ascii_lowercase();
    }
    close(&mut part);
    if parts == 0 {
        0.0
    } else {
        known as f32 / parts as f32
    }
}

/// Collections are named by plurals.
pub(super) fn is_plural(word: &str) -> bool {
    let singular = ["ss", "us", "is"];
    word.len() > 3 && word.ends_with('s') && !singular.iter().any(|end| word.ends_with(end))
}

#[cfg(test)]
mod tests {
    use super::{WORDS, familiarity, is_plural};

    #[test]
    fn parts_of_words_are_looked_up() {
        assert!(WORDS.is_sorted());
        for word in ["list", "accessTokens", "access-tokens", "Access_Token"] {
            assert_eq!(familiarity(word), 1.0, "{word}");
        }
        assert_eq!(familiarity("list-zebras"), 0.5);
        assert_eq!(familiarity("zebra"), 0.0);
        assert!(is_plural("orders") && !is_plural("status") && !is_plural("access"));
    }
}
