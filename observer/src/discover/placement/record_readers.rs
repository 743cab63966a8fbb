//! The functions inside GnuTLS that its reads go on to.
//!
//! `gnutls_record_recv(session, data, size)` and `gnutls_record_recv_seq` do nothing but call
//! `_gnutls_recv_int(session, type, data, size, …)`, or `_gnutls_ktls_recv_int`, with 23 for
//! application data, and return what that returns (lib/record.c, 3.6 and newer). Those begin with
//! instructions that the kernel emulates, where the exported ones begin with a change of the stack
//! pointer. A compiler may have put them inside: then nothing is found here.

use super::arguments::{FirstCall, Registers, Value, first_calls};
use super::code::Code;
use super::flow::{Exit, Flow, is_stub};
use crate::discover::elf_image::Function;

/// What stands for application data.
const APPLICATION_DATA: Value = Value::Number(observer_common::tls::APPLICATION_DATA);
/// Functions that the reads go on to: one for the library's own records, one for the kernel's.
const MAX_FOUND: usize = 4;

/// The functions that get what the caller gave to `reads`: all that get anything of it.
pub(in crate::discover) fn record_readers(
    code: &impl Code,
    reads: &[Function],
) -> Option<Vec<Function>> {
    let mut found: Vec<u64> = Vec::new();
    for read in reads {
        let flow = Flow::of(code, *read);
        let calls = first_calls(&flow, Registers::at_entry());
        // What lies behind another call is not followed: nothing but what goes to other libraries,
        // such as a word for the log, may be there.
        let leaves = flow.steps.values().filter_map(|step| match step.exit {
            Exit::Leaves(target) => Some(target),
            _ if step.through_pointer() => Some(None),
            _ => step.call_target().map(Some),
        });
        let followed = |target: u64| calls.iter().any(|call| call.target == target);
        let clear = leaves
            .into_iter()
            .all(|target| target.is_some_and(|target| followed(target) || is_stub(code, target)));
        if !clear {
            return None;
        }
        let before = found.len();
        for call in &calls {
            if passes_on(call) {
                found.push(call.target);
            } else if !is_stub(code, call.target) {
                return None;
            }
        }
        if found.len() == before {
            return None;
        }
    }
    found.sort_unstable();
    found.dedup();
    let functions = found
        .iter()
        .map(|address| Function {
            address: *address,
            size: 0,
        })
        .collect();
    (!found.is_empty() && found.len() <= MAX_FOUND).then_some(functions)
}

/// Does it pass session, buffer and length on, as those of application data?
fn passes_on(call: &FirstCall) -> bool {
    call.argument(0) == Value::Argument(0)
        && call.argument(1) == APPLICATION_DATA
        && call.argument(2) == Value::Argument(1)
        && call.argument(3) == Value::Argument(2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::discover::placement::code::fixture::Fixture;

    /// `gnutls_record_recv` as 3.7 compiles it, in short: to the kernel's TLS at 0x2300, or on to
    /// 0x2200.
    const RECV: &str = "4883ec08 80bfb806000000 4889d1 7438 f6876811000001 7414 4889f2 be17000000
        e8da020000 4898 4883c408 c3 448b8f70070000 4889f2 4531c0 be17000000 4883c408 e9b8010000
        48c7c068feffff ebd7";
    /// `gnutls_record_recv_seq`.
    const SEQ: &str = "448b8f70070000 4989c8 4889d1 4889f2 be17000000 e9e6000000";

    fn found(recv: &str) -> Option<Vec<u64>> {
        let code = Fixture::default()
            .with(0x2000, recv)
            .with(0x2100, SEQ)
            .with(0x2200, "4157c3")
            .with(0x2300, "55c3");
        let function = |address| {
            let (_, bytes) = code.stretches.iter().find(|it| it.0 == address)?;
            let size = bytes.len() as u64;
            Some(Function { address, size })
        };
        let readers = record_readers(&code, &[function(0x2000)?, function(0x2100)?])?;
        Some(readers.into_iter().map(|it| it.address).collect())
    }

    #[test]
    fn reads_of_gnutls_go_on_to_one_function_for_each_kind_of_record() {
        assert_eq!(found(RECV), Some(vec![0x2200, 0x2300]));
    }

    #[test]
    fn a_read_that_does_anything_else_with_the_buffer_is_probed_itself() {
        let changed = |from: &str, to: &str| {
            assert!(RECV.contains(from), "{from}");
            RECV.replacen(from, to, 1)
        };
        for (what, code) in [
            ("another type", changed("be17000000", "be16000000")),
            ("another length", changed("4889d1", "4889c1")),
            (
                "a call through a pointer",
                changed("e8da020000", "ffd0909090"),
            ),
            (
                "a second call",
                changed("4898 4883c408 c3", "e8d8020000 90 c3"),
            ),
        ] {
            assert_eq!(found(&code), None, "{what}");
        }
    }
}
