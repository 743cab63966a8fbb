//! A probe that takes more of a processor than it may is taken off, and that is said.

use std::time::Duration;

use anyhow::{Result, ensure};
use observer_tests::agent::Launch;
use observer_tests::wrk::wrk;
use observer_tests::{Agent, Nginx, live, wait};

fn attached(agent: &Agent, probe: &str) -> Result<bool> {
    let metrics = agent.metrics()?;
    Ok(metrics.sum("observer_probe_attached", &[("probe", probe)]) > 0.0)
}

#[test]
fn a_probe_over_its_budget_is_taken_off_and_the_agent_goes_on() -> Result<()> {
    let Some(_turn) = live(&["nginx", "openssl", "wrk"]) else {
        return Ok(());
    };
    let nginx = Nginx::start(1)?;
    let mut agent = Agent::launch(Launch {
        settings: Some("[capture]\ncpu_budget = 1\n".to_owned()),
        ..Launch::default()
    })?;
    ensure!(attached(&agent, "packets_in")? && attached(&agent, "packets_out")?);
    let url = nginx.url("/status/200");
    let load = std::thread::spawn(move || wrk(&url, 12, 25));
    wait::until("a probe to be taken off", Duration::from_secs(30), || {
        let gone = |probe| attached(&agent, probe).is_ok_and(|attached| !attached);
        (gone("packets_in") || gone("packets_out")).then_some(())
    })?;
    load.join().map_err(|_| anyhow::anyhow!("wrk"))??;
    let cost = agent
        .metrics()?
        .sum("observer_probe_run_seconds", &[("probe", "packets_in")]);
    ensure!(cost < 1e-3, "{cost} s a run");
    ensure!(agent.is_alive());
    let ended = agent.stop()?;
    ensure!(ended.status.success(), "{}", ended.stderr);
    ensure!(ended.stderr.contains("probe taken off"), "{}", ended.stderr);
    Ok(())
}
