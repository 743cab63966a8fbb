//! Turns clients away that exceeded a limit, where settings ask for it.
//!
//! In: calls beyond a limit. Out: clients dropped for a time, connections closed, and a finding for
//! each. Never: anything if it was not asked for; a client of the allow-list or of this host; an
//! address that several callers share, for what one of them did, or a trusted proxy.

use std::collections::HashMap;
use std::net::IpAddr;

use super::limits;
use crate::call::ApiCall;
use crate::config::BlockSettings;
use crate::detect::{Finding, Severity, rule};
use crate::kernel::{Blocker, ConnectionCloser, KernelError, Network, monotonic_ns};
use crate::usage::{Action, Dimension, Excess, Limit};

/// Name of the rule.
const RULE: &str = "client_blocked";

/// What was done, in numbers.
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    blocked: u64,
    spared: u64,
    shared: u64,
    no_room: u64,
    failed: u64,
    closed: u64,
}

/// Who is turned away now.
#[derive(Debug)]
pub(super) struct Blocking {
    settings: BlockSettings,
    /// `None`: it is only told what would be done.
    kernel: Option<(Blocker, Option<ConnectionCloser>)>,
    /// With the time of the kernel's clock until which they are, nanoseconds.
    blocked: HashMap<Network, u64>,
    counts: Counts,
}

/// Starts it; `None` if settings do not ask for it.
pub(super) fn start(settings: &BlockSettings) -> Result<Option<Blocking>, KernelError> {
    if !settings.enabled {
        return Ok(None);
    }
    let kernel = if settings.dry_run {
        None
    } else {
        let blocker = Blocker::start(&settings.allow)?;
        let closer = ConnectionCloser::open()
            .inspect_err(|error| tracing::warn!(%error, "open connections are not closed"));
        Some((blocker, closer.ok()))
    };
    Ok(Some(Blocking {
        settings: settings.clone(),
        kernel,
        blocked: HashMap::new(),
        counts: Counts::default(),
    }))
}

impl Blocking {
    /// Does what a limit asks for about a call beyond it. `callers`: how many callers the client's
    /// address is known to be shared by.
    pub(super) fn excess(
        &mut self,
        limit: &Limit,
        excess: &Excess,
        call: &ApiCall,
        callers: usize,
        out: &mut impl FnMut(Finding),
    ) {
        let Some((address, prefix)) = excess.client.filter(|_| limit.action == Action::Block)
        else {
            return;
        };
        let client = Network::new(address, prefix);
        if is_own(address) || self.settings.allow.iter().any(|one| one.overlaps(&client)) {
            self.counts.spared += 1;
            return;
        }
        let now = monotonic_ns();
        if self.blocked.get(&client).is_some_and(|until| *until > now) {
            return;
        }
        let beyond = limits::sentence(limit, excess);
        let mut tell = |what: String| {
            out(Finding {
                rule: RULE.into(),
                severity: rule(RULE).map_or(Severity::High, |rule| rule.severity),
                mitre: rule(RULE).map_or("", |rule| rule.mitre).into(),
                client: Some(address),
                client_prefix: prefix,
                message: format!("{what}: {beyond}").into(),
                ..limits::finding(limit, excess, call)
            });
        };
        if let Some(proxy) = call.peer {
            // Its packets are the proxy's, which are everybody's.
            self.counts.shared += 1;
            if excess.telling {
                tell(format!(
                    "{client} is not dropped, because it comes through the proxy {}; set the limit there",
                    proxy.ip()
                ));
            }
            return;
        }
        if limit.per == Dimension::Identity && callers > 1 {
            self.counts.shared += 1;
            self.close(call);
            if excess.telling {
                tell(format!(
                    "{client} is not dropped, because other callers share it; set a limit for this caller in the gateway, by the header that carries its credential"
                ));
            }
            return;
        }
        if self.blocked.len() >= self.settings.max_entries as usize {
            self.counts.no_room += 1;
            if excess.telling {
                tell(format!(
                    "{client} is not dropped, because {} clients are already (block.max_entries)",
                    self.blocked.len()
                ));
            }
            return;
        }
        let time = self.settings.time;
        let done = match &mut self.kernel {
            Some((blocker, _)) => blocker.block(client, time).map(|()| "is dropped"),
            None => Ok("would be dropped (block.dry_run)"),
        };
        match done {
            Ok(done) => {
                self.counts.blocked += 1;
                let length = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
                self.blocked.insert(client, now.saturating_add(length));
                self.close(call);
                tell(format!("{client} {done} for {} s", time.as_secs()));
            }
            Err(error) => {
                self.counts.failed += 1;
                tracing::warn!(%error, %client, "a client cannot be dropped");
            }
        }
    }

    /// Closes the connection of a call, where the kernel can.
    fn close(&mut self, call: &ApiCall) {
        if let Some((_, Some(closer))) = &self.kernel
            && let (Some(local), Some(remote)) = (call.server, call.client)
        {
            match closer.close(local, remote) {
                Ok(closed) => self.counts.closed += u64::from(closed),
                Err(error) => {
                    tracing::warn!(%error, "this kernel does not close connections");
                    if let Some((_, closer)) = &mut self.kernel {
                        *closer = None;
                    }
                }
            }
        }
    }

    /// Forgets whom to let in again; the kernel does so on its own, this makes room.
    pub(super) fn tick(&mut self) {
        let now = monotonic_ns();
        let over = self.blocked.extract_if(|_, until| *until <= now);
        for (client, _) in over {
            if let Some((blocker, _)) = &mut self.kernel
                && let Err(error) = blocker.unblock(client)
            {
                tracing::warn!(%error, %client, "the entry of a client that is let in again stays");
            }
        }
    }

    /// Names and values for the metrics.
    pub(super) fn named(&self) -> [(&'static str, u64); 8] {
        let Counts {
            blocked,
            spared,
            shared,
            no_room,
            failed,
            closed,
        } = self.counts;
        let dropped = self
            .kernel
            .as_ref()
            .map_or(0, |(blocker, _)| blocker.dropped());
        [
            ("clients_blocked", blocked),
            ("clients_allowed", spared),
            ("addresses_shared", shared),
            ("no_room", no_room),
            ("failed", failed),
            ("connections_closed", closed),
            ("packets_dropped", dropped),
            ("blocked_now", self.blocked.len() as u64),
        ]
    }
}

/// This host itself: its own programs and the probes of its service manager.
fn is_own(address: IpAddr) -> bool {
    address.is_loopback() || address.is_unspecified()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Blocking, start};
    use crate::catalog::sample;
    use crate::config::BlockSettings;
    use crate::usage::{Action, Counted, Dimension, Excess, Limit, LimitWindow};

    fn limit(per: Dimension) -> Limit {
        Limit {
            key: "*".to_owned(),
            per,
            count: Counted::Calls,
            limit: 5,
            window: LimitWindow::Sliding(Duration::from_secs(60)),
            action: Action::Block,
        }
    }

    fn blocking(max_entries: u32) -> Blocking {
        let settings = BlockSettings {
            enabled: true,
            dry_run: true,
            allow: vec!["192.0.2.128/25".parse().unwrap()],
            max_entries,
            ..BlockSettings::default()
        };
        start(&settings).unwrap().unwrap()
    }

    /// What is said of a client beyond its limit.
    fn said(
        blocking: &mut Blocking,
        per: Dimension,
        client: [u8; 4],
        callers: usize,
    ) -> Vec<String> {
        let mut call = sample::call("GET", "/", Some(200));
        call.client = Some((client, 4000).into());
        let excess = Excess {
            limit: 0,
            name: "basic:ana".into(),
            used: 6,
            client: Some((client.into(), 32)),
            telling: true,
        };
        let mut found = Vec::new();
        blocking.excess(&limit(per), &excess, &call, callers, &mut |finding| {
            assert_eq!(finding.rule, "client_blocked");
            found.push(finding.message.to_string());
        });
        found
    }

    #[test]
    fn nothing_is_done_unless_it_is_asked_for() {
        assert!(start(&BlockSettings::default()).unwrap().is_none());
    }

    #[test]
    fn a_client_is_dropped_once_and_those_of_the_allow_list_never() {
        let mut blocking = blocking(2);
        let first = said(&mut blocking, Dimension::Client, [192, 0, 2, 7], 3);
        assert!(first[0].starts_with("192.0.2.7/32 would be dropped (block.dry_run) for 600 s: the client basic:ana used 6 calls within 60 s"), "{first:?}");
        for client in [[192, 0, 2, 7], [192, 0, 2, 200], [127, 0, 0, 1]] {
            assert!(said(&mut blocking, Dimension::Client, client, 1).is_empty());
        }
        assert_eq!(
            said(&mut blocking, Dimension::Client, [192, 0, 2, 8], 1).len(),
            1
        );
        let full = said(&mut blocking, Dimension::Client, [192, 0, 2, 9], 1);
        assert!(full[0].contains("max_entries"), "{full:?}");
        blocking.tick();
        let named = blocking.named();
        assert!(named.contains(&("clients_blocked", 2)), "{named:?}");
        assert!(named.contains(&("clients_allowed", 2)), "{named:?}");
    }

    #[test]
    fn an_address_that_callers_share_is_not_dropped_for_one_of_them() {
        let mut blocking = blocking(8);
        let shared = said(&mut blocking, Dimension::Identity, [192, 0, 2, 7], 2);
        assert!(shared[0].contains("in the gateway"), "{shared:?}");
        let mut proxied = sample::call("GET", "/", Some(200));
        proxied.peer = Some(([192, 0, 2, 99], 4000).into());
        let excess = Excess {
            limit: 0,
            name: "192.0.2.8".into(),
            used: 6,
            client: Some(([192, 0, 2, 8].into(), 32)),
            telling: true,
        };
        let mut found = Vec::new();
        blocking.excess(&limit(Dimension::Client), &excess, &proxied, 1, &mut |it| {
            found.push(it);
        });
        assert!(
            found[0].message.contains("the proxy 192.0.2.99"),
            "{found:?}"
        );
        let alone = said(&mut blocking, Dimension::Identity, [192, 0, 2, 7], 1);
        assert!(alone[0].contains("would be dropped"), "{alone:?}");
    }
}
