//! Somebody guesses passwords at four servers that refuse in four ways; the alert reaches a real
//! Alertmanager and a real rsyslog.

use std::fs::{self, File};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use observer_tests::agent::Launch;
use observer_tests::running::run_ok;
use observer_tests::{Agent, Nginx, Running, curl, live, metrics, port, pypi, wait};
use serde_json::Value;
use tempfile::TempDir;

/// How long anything may take on a busy machine; what it took is printed.
const LIMIT: Duration = Duration::from_secs(30);
/// Guesses: more than any sensible limit.
const GUESSES: usize = 20;

/// Who takes alerts.
struct Takers {
    alertmanager: u16,
    syslog: u16,
    log: PathBuf,
    _running: [Running; 2],
}

impl Takers {
    fn start(folder: &Path) -> Result<Self> {
        let (alertmanager, syslog) = (port::free(), port::free());
        let config = folder.join("alertmanager.yml");
        fs::write(
            &config,
            "route:\n  receiver: none\nreceivers:\n  - name: none\n",
        )?;
        let first = Running::start(
            "Alertmanager",
            Command::new("prometheus-alertmanager")
                .arg(format!("--config.file={}", config.display()))
                .arg(format!("--storage.path={}", folder.display()))
                .arg(format!("--web.listen-address=127.0.0.1:{alertmanager}"))
                .arg("--cluster.listen-address=")
                .stdout(Stdio::null())
                .stderr(File::create(folder.join("alertmanager.err"))?),
        )?;
        let (config, log) = (folder.join("rsyslog.conf"), folder.join("log"));
        fs::write(
            &config,
            format!(
                "module(load=\"imtcp\")\ninput(type=\"imtcp\" port=\"{syslog}\" address=\"127.0.0.1\")\n\
                 template(name=\"t\" type=\"string\" string=\"%timegenerated:::date-unixtimestamp% %structured-data% %msg%\\n\")\n\
                 *.* action(type=\"omfile\" file=\"{}\" template=\"t\")\n",
                log.display()
            ),
        )?;
        let second = Running::start(
            "rsyslogd",
            Command::new("rsyslogd")
                .args(["-n", "-iNONE", "-f"])
                .arg(&config)
                .stdout(Stdio::null())
                .stderr(Stdio::null()),
        )?;
        wait::until("Alertmanager", LIMIT, || {
            metrics::get(alertmanager, "/-/ready")
                .ok()
                .filter(|(code, _)| *code == 200)
        })?;
        wait::until("rsyslog", LIMIT, || {
            TcpStream::connect(("127.0.0.1", syslog)).ok()
        })?;
        Ok(Self {
            alertmanager,
            syslog,
            log,
            _running: [first, second],
        })
    }

    fn settings(&self) -> String {
        format!(
            "[alert]\nalertmanager = \"http://127.0.0.1:{}\"\nsyslog = \"tcp://127.0.0.1:{}\"\n",
            self.alertmanager, self.syslog
        )
    }

    /// The first alert that is about one of these rules and says this; printed is how long after
    /// the deciding call Alertmanager had it.
    fn alert(&self, case: &str, rules: &[&str], says: &str) -> Result<()> {
        let fits = |alert: &Value| {
            rules
                .iter()
                .any(|rule| alert["labels"]["alertname"] == **rule)
                && alert.to_string().contains(says)
        };
        let alert = wait::until(
            &format!("the alert of {case} in Alertmanager"),
            LIMIT,
            || {
                let (_, text) = metrics::get(self.alertmanager, "/api/v2/alerts").ok()?;
                let alerts: Vec<Value> = serde_json::from_str(&text).ok()?;
                alerts.into_iter().find(fits)
            },
        )?;
        let seconds = |key: &str| -> Result<f64> {
            let text = alert[key].as_str().with_context(|| format!("no {key}"))?;
            let text = run_ok(Command::new("date").args(["-d", text, "+%s.%N"]), LIMIT)?;
            Ok(text.trim().parse()?)
        };
        let late = seconds("updatedAt")? - seconds("startsAt")?;
        let rule = alert["labels"]["alertname"].as_str().unwrap_or_default();
        println!("{case}: {rule}, in Alertmanager {late:.3} s after the deciding call");
        ensure!(late < LIMIT.as_secs_f64(), "{alert}");
        let subject = alert["labels"]["subject"].as_str().unwrap_or_default();
        let (wanted, about) = (format!("rule=\"{rule}\""), format!("subject=\"{subject}\""));
        wait::until(
            &format!("the alert of {case} in the log of rsyslog"),
            LIMIT,
            || {
                let log = fs::read_to_string(&self.log).ok()?;
                log.lines()
                    .any(|line| line.contains(&wanted) && line.contains(&about))
                    .then_some(())
            },
        )?;
        Ok(())
    }
}

/// Rules that say that somebody guesses.
const GUESSING: [&str; 4] = [
    "brute_force",
    "auth_failure_burst",
    "login_attempts",
    "token_guessing",
];

#[test]
fn guesses_at_four_kinds_of_servers_are_told_to_alertmanager_and_syslog() -> Result<()> {
    let needs = [
        "nginx",
        "openssl",
        "node",
        "prometheus-alertmanager",
        "rsyslogd",
        "pypi:grpc",
    ];
    let Some(_turn) = live(&needs) else {
        return Ok(());
    };
    let folder = TempDir::new()?;
    let takers = Takers::start(folder.path())?;
    let nginx = Nginx::start_with(
        2,
        "location /private/ { auth_basic 'private'; auth_basic_user_file root/users; try_files /page.txt =404; }",
    )?;
    let hash = run_ok(
        Command::new("openssl").args(["passwd", "-apr1", "right-password"]),
        LIMIT,
    )?;
    fs::write(nginx.root().join("users"), format!("ada:{}\n", hash.trim()))?;
    let programs = Path::new(env!("CARGO_MANIFEST_DIR")).join("programs");
    let start = |name: &str, command: &mut Command| -> Result<(Running, u16)> {
        let port = port::free();
        let running = Running::start(name, command.arg(port.to_string()).stdout(Stdio::null()))?;
        wait::until(name, LIMIT, || TcpStream::connect(("127.0.0.1", port)).ok())?;
        Ok((running, port))
    };
    let (_login, login) = start(
        "the login",
        Command::new("node").arg(programs.join("guarded.js")),
    )?;
    let (_graphql, graphql) = start(
        "GraphQL",
        Command::new("node").arg(programs.join("guarded.js")),
    )?;
    let python = pypi::program("python").context("no python with grpcio")?;
    let guarded = programs.join("guarded_grpc.py");
    let (_grpc, grpc) = start("gRPC", Command::new(&python).arg(&guarded).arg("serve"))?;

    let agent = Agent::launch(Launch {
        settings: Some(takers.settings()),
        ..Launch::default()
    })?;
    for n in 0..GUESSES {
        curl(&[
            "-o",
            "/dev/null",
            "-u",
            &format!("ada:guess{n}"),
            &nginx.url("/private/x"),
        ])?;
    }
    takers
        .alert("Basic at nginx", &GUESSING, "ada")
        .with_context(|| agent.written())?;
    let json = "Content-Type: application/json";
    for n in 0..GUESSES {
        let body = format!("{{\"user\":\"bea\",\"password\":\"guess{n}\"}}");
        curl(&[
            "-o",
            "/dev/null",
            "-H",
            json,
            "-d",
            &body,
            &format!("http://127.0.0.1:{login}/login"),
        ])?;
    }
    takers
        .alert("a login that answers 200", &GUESSING, "bea")
        .with_context(|| agent.written())?;
    for n in 0..GUESSES {
        let body = format!(
            "{{\"query\":\"mutation Login($u: String!, $p: String!) {{ login(user: $u, password: $p) {{ token }} }}\",\
             \"variables\":{{\"username\":\"cora\",\"password\":\"guess{n}\"}}}}"
        );
        curl(&[
            "-o",
            "/dev/null",
            "-H",
            json,
            "-d",
            &body,
            &format!("http://127.0.0.1:{graphql}/graphql"),
        ])?;
    }
    takers
        .alert("GraphQL", &GUESSING, "cora")
        .with_context(|| agent.written())?;
    run_ok(
        Command::new(&python)
            .arg(&guarded)
            .args(["ask", &grpc.to_string()]),
        LIMIT,
    )?;
    takers
        .alert("gRPC", &GUESSING, "python")
        .with_context(|| agent.written())?;
    ensure!(!agent.written().contains("guess1"), "a password was told");
    Ok(())
}

const RULE: &str = "title: Tea asked for\ndetection:\n  selection:\n    path|startswith: /tea\n  condition: selection\n";

/// Waits for a finding of this rule, while asking for this path.
fn found(agent: &Agent, rule: &str, url: &str) -> Result<()> {
    wait::until(&format!("a finding of {rule}"), LIMIT, || {
        curl(&["-o", "/dev/null", url]).ok()?;
        let findings = agent.findings().ok()?;
        findings
            .iter()
            .any(|finding| finding["rule"] == *rule)
            .then_some(())
    })
}

#[test]
fn rules_change_while_the_agent_runs_and_all_that_people_do_is_in_the_audit_log() -> Result<()> {
    let Some(_turn) = live(&["nginx", "openssl"]) else {
        return Ok(());
    };
    let folder = TempDir::new()?;
    let (rules, state) = (folder.path().join("rules"), folder.path().join("state"));
    fs::create_dir(&rules)?;
    fs::write(rules.join("tea.yml"), RULE)?;
    let nginx = Nginx::start(2)?;
    let agent = Agent::launch(Launch {
        settings: Some(format!("[detect]\nrules = \"{}\"\n", rules.display())),
        state: Some(state.clone()),
        arguments: vec!["--audit".to_owned()],
        ..Launch::default()
    })?;
    found(&agent, "tea_asked_for", &nginx.url("/tea/green"))?;
    // By the change of a file alone.
    fs::write(
        rules.join("coffee.yml"),
        RULE.replace("Tea", "Coffee").replace("/tea", "/coffee"),
    )?;
    found(&agent, "coffee_asked_for", &nginx.url("/coffee"))?;
    // What is wrong is told, and those before stay.
    fs::write(
        rules.join("milk.yml"),
        "title: Milk\ndetection:\n  selection:\n    colour: white\n",
    )?;
    agent.signal("HUP")?;
    wait::until("the fault in the agent's log", LIMIT, || {
        agent
            .written()
            .contains("milk.yml:4: there is no field")
            .then_some(())
    })?;
    fs::remove_file(rules.join("milk.yml"))?;
    fs::write(
        rules.join("water.yml"),
        RULE.replace("Tea", "Water").replace("/tea", "/water"),
    )?;
    found(&agent, "water_asked_for", &nginx.url("/water"))?;

    let observer = |arguments: &[&str]| {
        run_ok(
            Command::new(observer_tests::agent::binary()?).args(arguments),
            LIMIT,
        )
    };
    let dir = state.display().to_string();
    let silence = [
        "alerts",
        "silence",
        "--rule",
        "tea_asked_for",
        "--for",
        "1h",
        "--comment",
        "tea time",
    ];
    observer(&[&silence[..], &["--state-dir", &dir]].concat())?;
    ensure!(observer(&["alerts", "silence", "list", "--state-dir", &dir])?.contains("tea time"));
    observer(&["alerts", "silence", "remove", "1", "--state-dir", &dir])?;
    ensure!(observer(&["alerts", "--state-dir", &dir])?.contains("Tea asked for"));
    let ended = agent.stop()?;
    ensure!(ended.status.success(), "{}", ended.stderr);

    let log = state.join("audit").display().to_string();
    for (event, least) in [
        ("start", 1),
        ("rules_change", 3),
        ("rules_refused", 1),
        ("silence", 1),
        ("silence_end", 1),
        ("stop", 1),
    ] {
        let filter = format!("event={event}");
        let count = observer(&["query", &filter, "--log", &log, "--count"])?;
        let count: u64 = count.trim().parse().with_context(|| count.clone())?;
        ensure!(count >= least, "{event}: {count}");
    }
    ensure!(observer(&["audit", "verify", &log]).is_ok());
    Ok(())
}
