//! What may come before HTTP on a connection: the openings of the PROXY protocol and of SOCKS.

use super::Message;
use super::http::{Http, opposite};
use super::proxy::{Proxy, proxy};
use super::shared::ProtocolShared;
use super::socks::{Socks, socks};
use crate::stream::Direction;

impl Http {
    /// Takes bytes that are, or may become, the opening of the PROXY protocol. What comes after
    /// it; `None`: nothing has come yet.
    pub(super) fn pass_proxy<'a>(
        &mut self,
        direction: Direction,
        time_ns: u64,
        bytes: &'a [u8],
        shared: &mut ProtocolShared,
        out: &mut impl FnMut(Message<'_>),
    ) -> Option<&'a [u8]> {
        let side = self.side(direction);
        let kept = side.head.len();
        let seen = if kept == 0 {
            proxy(bytes)
        } else {
            proxy(&[&side.head, bytes].concat())
        };
        match seen {
            Proxy::No => {
                side.proxied = true;
                Some(bytes)
            }
            Proxy::Incomplete => {
                if kept == 0 {
                    side.start_ns = time_ns;
                }
                if let Err(refused) = side.keep(bytes, shared) {
                    refused.count(&mut shared.counts);
                    side.drop_head(shared);
                    self.set_midway(time_ns);
                }
                None
            }
            Proxy::Opening(len, client) => {
                side.proxied = true;
                side.drop_head(shared);
                shared.counts.proxied += 1;
                if let Some(client) = client {
                    out(Message::Proxied { client });
                }
                let rest = bytes.get(len.saturating_sub(kept)..).unwrap_or_default();
                (!rest.is_empty()).then_some(rest)
            }
        }
    }

    /// Takes bytes that are, or may become, the opening of SOCKS; what follows one is kept.
    pub(super) fn pass_socks(
        &mut self,
        direction: Direction,
        bytes: &[u8],
        shared: &mut ProtocolShared,
    ) -> bool {
        let asked = self.side(opposite(direction)).socks;
        let side = self.side(direction);
        let first = side.head.first().or(bytes.first());
        let possible = matches!(first, Some(4 | 5)) || asked && first == Some(&0);
        if side.socks || !possible {
            return false;
        }
        let text = [&side.head, bytes].concat();
        let rest = match socks(&text) {
            Socks::No => return false,
            Socks::Incomplete => bytes,
            Socks::Opening(len) => {
                side.socks = true;
                side.drop_head(shared);
                text.get(len..).unwrap_or_default()
            }
        };
        // A few hundred bytes at most, or the start of a head.
        if let Err(refused) = side.keep(rest, shared) {
            refused.count(&mut shared.counts);
            side.drop_head(shared);
        }
        true
    }
}
