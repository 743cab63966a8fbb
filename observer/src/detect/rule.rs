//! What is looked for.

use super::finding::Severity;

/// One detection, as documents, metrics and alerts name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Its name.
    pub name: &'static str,
    /// MITRE ATT&CK technique.
    pub mitre: &'static str,
    /// How much attention its findings ask for.
    pub severity: Severity,
    /// What it means, in a few words.
    pub about: &'static str,
}

macro_rules! rules {
    ($($constant:ident $name:literal $mitre:literal $severity:ident $about:literal)*) => {
        $(pub(super) const $constant: Rule = Rule {
            name: $name,
            mitre: $mitre,
            severity: Severity::$severity,
            about: $about,
        };)*
        /// All detections that are built in.
        pub const RULES: &[Rule] = &[$($constant),*];
    };
}

rules! {
    AUTH_FAILURE_BURST "auth_failure_burst" "T1110" Medium "one source sends many credentials that are refused"
    BRUTE_FORCE "brute_force" "T1110.001" High "one account is tried with many credentials"
    SLOW_BRUTE_FORCE "slow_brute_force" "T1110.001" Medium "the same, too slowly for a burst"
    LOGIN_ATTEMPTS "login_attempts" "T1110.001" Medium "one source does nothing but log in, and every answer is the same"
    BATCHED_LOGINS "batched_logins" "T1110" High "one request holds many logins"
    PASSWORD_SPRAYING "password_spraying" "T1110.003" High "one source tries many accounts"
    CREDENTIAL_STUFFING "credential_stuffing" "T1110.004" High "many accounts are tried once each, from one network or from many"
    SUCCESS_AFTER_FAILURES "success_after_failures" "T1078" High "a credential is accepted where many were refused just before"
    TOKEN_GUESSING "token_guessing" "T1110" High "one source sends many different tokens or keys that are refused"
    STALE_CREDENTIAL "stale_credential" "T1078" Low "a credential that worked is refused again and again: rotated or withdrawn"
    CREDENTIAL_OUTAGE "credential_outage" "T1489" Medium "credentials that worked are refused for many callers at once: an outage or a rotation, no attack"
    EXPIRED_TOKEN_ACCEPTED "expired_token_accepted" "T1550.001" High "a token is accepted after its time"
    UNSIGNED_TOKEN_ACCEPTED "unsigned_token_accepted" "T1550.001" High "a token without signature is accepted"
    UNAUTHENTICATED_SUCCESS "unauthenticated_success" "T1190" High "an endpoint that always had a credential answers without one"
    NEW_CALLER "new_caller" "T1078" Medium "a sensitive endpoint answers to someone new"
    OBJECT_ENUMERATION "object_enumeration" "T1087" High "one caller asks for many objects of an endpoint, one after the other"
    PATH_ENUMERATION "path_enumeration" "T1595.003" Medium "one source asks for many paths that do not exist"
    PRIVATE_FILES "private_files" "T1595.003" Medium "files that are never meant to be served are asked for"
    CRAWL "crawl" "T1595" Low "one source reads many pages faster than a person"
    SCANNER "scanner" "T1595.002" Low "a scanner of weaknesses names itself"
    EXPLOIT_PROBE "exploit_probe" "T1190" Medium "requests carry what an attack would run"
    OPEN_PROXY_PROBE "open_proxy_probe" "T1090" Low "the server is asked to fetch from another one"
    SMUGGLING "request_smuggling" "T1190" High "two lengths that differ: a request may hide in a request"
    HEADER_FLOOD "header_flood" "T1499.002" High "header blocks without an end"
    SHARED_CREDENTIAL "shared_credential" "T1078" Medium "a credential of few networks is used from many"
    TWO_PLACES "two_places" "T1539" High "one session is used from two places at the same time"
    TRAFFIC_SPIKE "traffic_spike" "T1498" Medium "far more calls than is usual at this hour"
    TRAFFIC_DROP "traffic_drop" "T1489" Low "far fewer calls than is usual at this hour"
    ERROR_ANOMALY "error_anomaly" "T1499" Medium "far more errors than is usual"
    LATENCY_ANOMALY "latency_anomaly" "T1499" Low "answers take far longer than is usual"
    CLEARTEXT_CREDENTIAL "cleartext_credential" "T1040" Medium "a credential is sent without TLS over a network"
    CREDENTIAL_IN_URL "credential_in_url" "T1552" Medium "a credential is part of the URL, where logs keep it"
    LONG_LIVED_TOKEN "long_lived_token" "T1550.001" Low "a token is valid for longer than a day"
    AUDIT_LOG_FAILING "audit_log_failing" "T1562.006" High "the audit log cannot be written, cannot keep up, or is not the one it was"
    LIMIT_EXCEEDED "limit_exceeded" "T1499" Medium "a limit of the settings is exceeded"
    BASIC_AUTH "basic_auth" "T1110" Low "passwords go with every request"
    SYMMETRIC_TOKEN "symmetric_token" "T1606.001" Low "tokens are signed with a shared secret"
    OLD_TLS "old_tls" "T1557" Medium "a version of TLS that is withdrawn is in use"
    OPEN_ENDPOINT "open_endpoint" "T1190" Medium "an endpoint takes changes from anybody, where others ask for a credential"
    OLD_API_VERSION "old_api_version" "T1190" Low "an old version of an API is called, though there is a newer one"
    REPLACED_CREDENTIAL "replaced_credential" "T1078" Medium "a password works after it was replaced"
    GATEWAY_BYPASS "gateway_bypass" "T1190" Medium "a service behind a gateway is called past it"
    CLIENT_BLOCKED "client_blocked" "T1499" High "a client that exceeded a limit is turned away"
}

/// The built-in detection of this name.
pub fn rule(name: &str) -> Option<&'static Rule> {
    RULES.iter().find(|rule| rule.name == name)
}
