//! A network namespace of its own, joined to this one by a pair of virtual interfaces.

use std::process::Command;
use std::time::Duration;

use anyhow::Result;

use crate::running::{run, run_ok};

const LIMIT: Duration = Duration::from_secs(5);

/// The namespace; removed when dropped.
#[derive(Debug)]
pub struct Namespace {
    /// Its name, for `ip netns exec`.
    pub name: String,
    /// Address of the end inside.
    pub inside: String,
    /// Address of the end outside.
    pub outside: String,
    outer: String,
}

impl Namespace {
    /// Makes one. The addresses are of the benchmarking range (RFC 2544), which no host uses.
    pub fn new() -> Result<Self> {
        let id = std::process::id();
        let (third, fourth) = (id / 60 % 250, id % 60 * 4);
        let namespace = Self {
            name: format!("observer-test-{id}"),
            inside: format!("198.18.{third}.{}", fourth + 2),
            outside: format!("198.18.{third}.{}", fourth + 1),
            outer: format!("obs{id}a"),
        };
        let inner = format!("obs{id}b");
        let Self {
            name,
            inside,
            outside,
            outer,
        } = &namespace;
        for line in [
            format!("netns add {name}"),
            format!("link add {outer} type veth peer name {inner}"),
            format!("link set {inner} netns {name}"),
            format!("addr add {outside}/30 dev {outer}"),
            format!("link set {outer} up"),
            format!("-n {name} addr add {inside}/30 dev {inner}"),
            format!("-n {name} link set {inner} up"),
            format!("-n {name} link set lo up"),
        ] {
            ip(&line)?;
        }
        Ok(namespace)
    }

    /// The words in front of a command that put it in here.
    pub fn prefix(&self) -> [&str; 4] {
        ["ip", "netns", "exec", &self.name]
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let Self {
            name,
            inside: _,
            outside: _,
            outer,
        } = self;
        let _ = run(Command::new("ip").args(["link", "del", outer]), LIMIT);
        let _ = run(Command::new("ip").args(["netns", "del", name]), LIMIT);
    }
}

fn ip(line: &str) -> Result<String> {
    run_ok(Command::new("ip").args(line.split(' ')), LIMIT)
}
