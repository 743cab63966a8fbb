//! Clients over a limit are turned away, those on the allow-list never, and everybody is let in again
//! when the agent is gone.

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use observer_tests::agent::Launch;
use observer_tests::namespace::Namespace;
use observer_tests::running::{run, run_ok};
use observer_tests::{Agent, Script, requires, wait};

const LIMIT: Duration = Duration::from_secs(30);
/// What a minute may have.
const CALLS: u32 = 10;

/// Clients in a network namespace: one with its own address, one with a further one.
struct Clients {
    namespace: Namespace,
    /// The further address.
    friend: String,
    url: String,
}

impl Clients {
    fn new(port: u16) -> Result<Self> {
        let namespace = Namespace::new()?;
        let friend = namespace.inside.replacen("198.18.", "198.19.", 1);
        let Namespace { name, inside, .. } = &namespace;
        for line in [
            format!("-n {name} addr add {friend}/32 dev lo"),
            format!("route add {friend}/32 via {inside}"),
        ] {
            run_ok(Command::new("ip").args(line.split(' ')), LIMIT)?;
        }
        let url = format!("http://{}:{port}/bytes/10", namespace.outside);
        Ok(Self {
            namespace,
            friend,
            url,
        })
    }

    /// One call from an address; whether it was answered.
    fn call(&self, from: &str) -> Result<bool> {
        let mut command = Command::new("ip");
        command
            .args(&self.namespace.prefix()[1..])
            .args([
                "curl",
                "-sS",
                "--noproxy",
                "*",
                "--max-time",
                "3",
                "-o",
                "/dev/null",
            ])
            .args(["--interface", from, &self.url]);
        Ok(run(&mut command, LIMIT)?.status.success())
    }
}

fn agent(clients: &Clients, dry_run: bool) -> Result<Agent> {
    let (inside, friend) = (&clients.namespace.inside, &clients.friend);
    // Each by name: others on this machine have no limit.
    let limits: String = [inside, friend]
        .iter()
        .map(|key| {
            format!(
                "[[limit]]\nkey = \"{key}\"\nper = \"client\"\nlimit = {CALLS}\nwindow = \"1h\"\naction = \"block\"\n"
            )
        })
        .collect();
    Agent::launch(Launch {
        settings: Some(format!(
            "{limits}[capture]\ntls = false\n[block]\nenabled = true\ndry_run = {dry_run}\nallow = [\"{friend}\"]\n"
        )),
        ..Launch::default()
    })
}

/// The agent says that the client is, or would be, dropped.
fn wait_for_block(agent: &Agent, client: &str) -> Result<String> {
    wait::until("a finding that the client is blocked", LIMIT, || {
        agent
            .findings()
            .ok()?
            .into_iter()
            .filter(|finding| finding["rule"] == "client_blocked")
            .filter_map(|finding| finding["message"].as_str().map(str::to_owned))
            .find(|message| message.starts_with(client))
    })
    .with_context(|| agent.diagnostics())
}

#[test]
fn a_client_over_its_limit_is_cut_off_and_let_in_when_the_agent_is_killed() -> Result<()> {
    let needs = ["root", "cgroup2", "netns", "ip", "curl", "python3"];
    let Some(_turn) = requires(&needs) else {
        return Ok(());
    };
    let server = Script::python().on("0.0.0.0").start()?;
    let clients = Clients::new(server.port)?;
    let (stranger, friend) = (clients.namespace.inside.clone(), clients.friend.clone());

    // A dry run tells, and turns nobody away.
    let dry = agent(&clients, true)?;
    for _ in 0..=CALLS {
        ensure!(clients.call(&stranger)?);
    }
    let said = wait_for_block(&dry, &stranger)?;
    ensure!(said.contains("would be dropped"), "{said}");
    for _ in 0..3 {
        ensure!(clients.call(&stranger)?, "a dry run turned a client away");
    }
    dry.stop()?;

    let agent = agent(&clients, false)?;
    let began = Instant::now();
    let mut answered = 0;
    let mut over = None;
    let cut_off = loop {
        let started = Instant::now();
        if !clients.call(&stranger)? {
            break over.map_or(Duration::ZERO, |over| started.duration_since(over));
        }
        answered += 1;
        if answered > CALLS && over.is_none() {
            over = Some(Instant::now());
        }
        if began.elapsed() > LIMIT {
            bail!("{answered} calls and not cut off: {}", agent.diagnostics());
        }
    };
    println!(
        "cut off after {answered} calls, {:.3} s after the one that was too many",
        cut_off.as_secs_f64()
    );
    ensure!(answered > CALLS, "cut off within its limit: {answered}");
    let said = wait_for_block(&agent, &stranger)?;
    ensure!(said.contains("is dropped for 600 s"), "{said}");
    for _ in 0..CALLS * 3 {
        ensure!(
            clients.call(&friend)?,
            "one of the allow-list was turned away"
        );
    }
    ensure!(!clients.call(&stranger)?, "it is let in too early");
    wait::until("dropped packets in the metrics", LIMIT, || {
        let metrics = agent.metrics().ok()?;
        let labels = [("stage", "blocking"), ("event", "packets_dropped")];
        (metrics.sum("observer_pipeline_events_total", &labels) > 0.0).then_some(())
    })?;

    agent.kill9()?;
    let killed = Instant::now();
    wait::until("the client to be let in", LIMIT, || {
        clients.call(&stranger).ok()?.then_some(())
    })?;
    println!(
        "let in {:.3} s after SIGKILL",
        killed.elapsed().as_secs_f64()
    );
    Ok(())
}
