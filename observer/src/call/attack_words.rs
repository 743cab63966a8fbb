//! The words that attacks have in common, in the languages attacked.
//!
//! Knowledge of a kind, not of one program: a word is here because no ordinary request has it.

/// A list of words, and the bytes they begin with: a text is passed over in one look a byte.
pub(super) struct Words {
    words: &'static [&'static str],
    first: [bool; 256],
}

impl Words {
    #[expect(
        clippy::indexing_slicing,
        reason = "evaluated by the compiler: a mistake does not compile"
    )]
    const fn new(words: &'static [&'static str]) -> Self {
        let mut first = [false; 256];
        let mut at = 0;
        while at < words.len() {
            first[words[at].as_bytes()[0] as usize] = true;
            at += 1;
        }
        Self { words, first }
    }

    /// Any of the words is in the text.
    pub(super) fn in_text(&self, text: &str) -> bool {
        let mut rest = text.as_bytes();
        while let Some(byte) = rest.first() {
            let begins = self.first.get(usize::from(*byte)).copied().unwrap_or(false);
            if begins
                && self
                    .words
                    .iter()
                    .any(|word| rest.starts_with(word.as_bytes()))
            {
                return true;
            }
            rest = rest.get(1..).unwrap_or_default();
        }
        false
    }
}

/// What attacks need no odd bytes for.
pub(super) static SPELT_PLAINLY: Words = Words::new(&[
    "/etc/passwd",
    "information_schema",
    "invokefunction",
    "php://",
    "data://",
    "file://",
    "expect://",
    "phar://",
    "gopher://",
    "javascript:",
    "jndi:",
    "null,null",
]);
/// Dots, slashes and percent signs need no encoding in a path.
pub(super) static HIDING: Words = Words::new(&["%2e", "%5c", "%2f%2e", "%25", "%00", "%c0%"]);

/// Files that no server means to hand out, by the end of their name.
pub(super) const PRIVATE_ENDS: [&str; 26] = [
    ".bak",
    ".old",
    ".orig",
    ".save",
    ".swp",
    ".swo",
    "~",
    ".sql",
    ".sqlite",
    ".sqlite3",
    ".mdb",
    ".dump",
    ".pem",
    ".key",
    ".p12",
    ".pfx",
    ".ppk",
    ".keystore",
    ".htpasswd",
    ".htaccess",
    ".env",
    ".kdbx",
    ".tfstate",
    ".sql.gz",
    ".sql.zip",
    ".cfg",
];
/// The same by a part of their name.
pub(super) static PRIVATE_PARTS: Words = Words::new(&[
    "wp-config.php",
    "id_rsa",
    "id_ed25519",
    "web.config",
    "docker-compose.y",
    "credentials.json",
    "phpinfo.php",
    "server-status",
    "backup.",
    "passwd",
]);
/// Names with a dot in front that are meant to be served (RFC 8615).
pub(super) const PUBLIC_DOTS: [&str; 1] = [".well-known"];

/// Ways into programs that were used against many hosts: what is asked for there is never an
/// ordinary visit.
pub(super) static EXPLOIT_PATHS: Words = Words::new(&[
    "/vendor/phpunit/",
    "eval-stdin.php",
    "htmlawedtest.php",
    "/cgi-bin/luci",
    "/boaform/",
    "/hnap1",
    "/_ignition/execute-solution",
    "/actuator/gateway",
    "/actuator/heapdump",
    "/actuator/env",
    "/wls-wsat/",
    "/_async/asyncresponseservice",
    "/console/images/",
    "/tmui/",
    "/mgmt/tm/util/bash",
    "/dana-na/",
    "/dana/html5acc",
    "/remote/fgt_lang",
    "/+cscot+/",
    "/vpn/../",
    "/autodiscover/autodiscover.json",
    "/ecp/current/exporttool",
    "/mboximport",
    "/setup/setupadministrator.action",
    "setup-restore.action",
    "/webtools/control/xmlrpc",
    "/solr/admin/cores",
    "/struts2-showcase",
    "/invoker/jmxinvokerservlet",
    "/jmx-console/",
    "/hudson/script",
    "/gponform/",
    "/goform/",
    "/setup.cgi",
    "/shell?",
    "/api/jsonws/invoke",
    "/mifs/",
    "/remote_agent.php",
    "/createremoteappwebsession.php",
    "/ztp_gate.php",
    "/functionrouter",
    "/geoserver/wfs",
    "/userportal/controller",
    "/owa/auth/x.js",
]);

/// Files of operating systems, and steps out of a folder.
pub(super) static TRAVERSAL: Words = Words::new(&[
    "../",
    "..\\",
    "/..;",
    "/etc/passwd",
    "/etc/shadow",
    "/etc/group",
    "/etc/hosts",
    "/proc/self",
    "file://",
    "win.ini",
    "boot.ini",
    "/windows/system32",
    "/.%2e",
    "..%c0%af",
]);

/// Words of SQL that ask for what a form does not.
pub(super) static SQL: Words = Words::new(&[
    "union select",
    "union all select",
    "union distinct select",
    "information_schema",
    "sysobjects",
    "syscolumns",
    "sqlite_master",
    "pg_catalog",
    "xp_cmdshell",
    "sp_executesql",
    "load_file(",
    "into outfile",
    "into dumpfile",
    "benchmark(",
    "sleep(",
    "pg_sleep",
    "waitfor delay",
    "extractvalue(",
    "updatexml(",
    "group_concat(",
    "concat(",
    "concat_ws(",
    "substr(",
    "substring(",
    "char(",
    "chr(",
    "ascii(",
    "unhex(",
    "hex(",
    "null,null",
    "@@version",
    "version()",
    "user()",
    "database()",
    " or 1=1",
    "'or'",
    "' or ",
    "' and ",
    "\" or \"",
    "and 1=1",
    "and 1=2",
    "drop table",
    "insert into",
    "order by 1",
    "having 1=1",
]);

/// What a browser runs; any tag counts as well.
pub(super) static SCRIPT: Words = Words::new(&[
    "javascript:",
    "vbscript:",
    "alert(",
    "prompt(",
    "confirm(",
    "onerror=",
    "onload=",
    "onclick=",
    "onmouseover=",
    "onfocus=",
    "document.cookie",
    "document.domain",
    "document.write",
    "fromcharcode",
    "expression(",
    "eval(",
]);

/// What a shell, an expression language, a template or PHP runs.
pub(super) static CODE: Words = Words::new(&[
    "${",
    "$(",
    "#{",
    "%{(",
    "{{",
    "<%",
    "<?php",
    "<?=",
    "php://",
    "data://",
    "expect://",
    "phar://",
    "gopher://",
    "jndi:",
    "call_user_func",
    "invokefunction",
    "phpinfo(",
    "=phpinfo",
    "system(",
    "passthru(",
    "shell_exec",
    "popen(",
    "proc_open(",
    "exec(",
    "base64_decode",
    "allow_url_include",
    "auto_prepend_file",
    "/bin/sh",
    "/bin/bash",
    "bash -i",
    ";wget ",
    ";curl ",
    "|wget ",
    "|curl ",
    ";cat ",
    "|cat ",
    "| id",
    ";id",
    "cmd.exe",
    "powershell",
    "getruntime",
    "java.lang.",
    "classloader",
]);

/// Words by which scanners of weaknesses name themselves.
pub(super) static SCANNERS: Words = Words::new(&[
    "nikto",
    "sqlmap",
    "nmap",
    "masscan",
    "zgrab",
    "nuclei",
    "acunetix",
    "nessus",
    "openvas",
    "w3af",
    "wpscan",
    "joomscan",
    "dirbuster",
    "gobuster",
    "feroxbuster",
    "ffuf",
    "wfuzz",
    "dirsearch",
    "arachni",
    "skipfish",
    "havij",
    "jorgee",
    "zmeu",
    "morfeus",
    "muieblackcat",
    "whatweb",
    "burpcollaborator",
    "owasp zap",
    "netsparker",
    "appscan",
    "webinspect",
    "vega/",
    "grabber",
    "paros",
    "commix",
    "xsstrike",
    "jaeles",
    "httpx - open-source",
    "interactsh",
    "metasploit",
    "hydra",
    "medusa/",
    "brutus",
    "patator",
    "crowbar/",
    "detectify",
    "l9explore",
    "leakix",
    "wpdiscovery",
    "fimap",
]);

/// Keys of a query whose value is a credential.
pub(super) const CREDENTIAL_KEYS: [&str; 20] = [
    "access_token",
    "api_key",
    "apikey",
    "api-key",
    "auth_token",
    "authtoken",
    "client_secret",
    "id_token",
    "jwt",
    "passwd",
    "password",
    "private_token",
    "pwd",
    "refresh_token",
    "secret",
    "session_id",
    "sessionid",
    "token",
    "user_key",
    "x-amz-security-token",
];
