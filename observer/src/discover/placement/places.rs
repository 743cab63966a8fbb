//! Instructions of a function where a probe is cheap and sees what it needs.

use std::collections::BTreeSet;

use iced_x86::{FlowControl, InstructionInfoFactory, Register};

use super::flow::{Exit, Flow};
use super::instruction::written;

/// `ret`s of a function that probes go on: `SSL_read` has up to three.
const MAX_RETURNS: usize = 8;

/// The first instruction that the kernel emulates and that is reached, once a call, with the
/// registers in `keep` as the caller left them; else the first such one that it takes a probe on
/// at all. It lies in the first basic block.
pub(super) fn entry(flow: &Flow, keep: &[Register]) -> Option<u64> {
    let mut factory = InstructionInfoFactory::new();
    let mut address = flow.start;
    let mut stepped = None;
    loop {
        let Some(step) = flow.steps.get(&address) else {
            return stepped;
        };
        // A place that is jumped to may be passed more than once a call, or with other registers.
        if flow.targets.contains(&address) {
            return stepped;
        }
        if step.emulated {
            return Some(address);
        }
        if stepped.is_none() && !step.refused {
            stepped = Some(address);
        }
        let changed = written(&mut factory, &step.instruction)
            .iter()
            .any(|register| keep.contains(register));
        if changed || step.instruction.flow_control() != FlowControl::Next {
            return stepped;
        }
        address = step.instruction.next_ip();
    }
}

/// Every `ret`, if the function ends nowhere else.
pub(super) fn returns(flow: &Flow) -> Option<Vec<u64>> {
    let ends = flow.steps.iter().filter(|it| it.1.exit == Exit::Return);
    let found: Vec<u64> = ends.map(|(address, _)| *address).collect();
    let taken = |address: &u64| flow.steps.get(address).is_some_and(|step| !step.refused);
    let good = flow.whole && !found.is_empty() && found.len() <= MAX_RETURNS;
    (good && found.iter().all(taken)).then_some(found)
}

/// A branch that the kernel emulates, that every path from the start to a `ret` passes exactly
/// once, and after which nothing writes `rax`: there `eax` is the result.
pub(super) fn result(flow: &Flow) -> Option<u64> {
    if !flow.whole {
        return None;
    }
    let returning = returning(flow);
    let mut factory = InstructionInfoFactory::new();
    flow.steps
        .iter()
        .filter(|(_, step)| step.emulated && is_branch(step.instruction.flow_control()))
        .map(|(address, _)| *address)
        .find(|branch| {
            returning.contains(branch)
                && all_returns_pass(flow, *branch)
                && result_is_final(flow, *branch, &returning, &mut factory)
        })
}

fn is_branch(kind: FlowControl) -> bool {
    matches!(
        kind,
        FlowControl::ConditionalBranch | FlowControl::UnconditionalBranch
    )
}

/// Addresses from which a `ret` can be reached.
fn returning(flow: &Flow) -> BTreeSet<u64> {
    let mut before: std::collections::BTreeMap<u64, Vec<u64>> = std::collections::BTreeMap::new();
    for (address, step) in &flow.steps {
        for next in &step.next {
            before.entry(*next).or_default().push(*address);
        }
    }
    let mut waiting: Vec<u64> = flow
        .steps
        .iter()
        .filter(|(_, step)| step.exit == Exit::Return)
        .map(|(address, _)| *address)
        .collect();
    let mut found = BTreeSet::new();
    while let Some(address) = waiting.pop() {
        if found.insert(address) {
            waiting.extend(before.get(&address).into_iter().flatten());
        }
    }
    found
}

/// Addresses reached from `from`, not going on after `barrier`.
fn reached(flow: &Flow, from: &[u64], barrier: Option<u64>) -> BTreeSet<u64> {
    let mut waiting = from.to_vec();
    let mut found = BTreeSet::new();
    while let Some(address) = waiting.pop() {
        if !found.insert(address) || barrier == Some(address) {
            continue;
        }
        if let Some(step) = flow.steps.get(&address) {
            waiting.extend(&step.next);
        }
    }
    found
}

fn all_returns_pass(flow: &Flow, branch: u64) -> bool {
    let around = reached(flow, &[flow.start], Some(branch));
    !around.iter().any(|address| {
        flow.steps
            .get(address)
            .is_some_and(|step| step.exit == Exit::Return)
    })
}

fn result_is_final(
    flow: &Flow,
    branch: u64,
    returning: &BTreeSet<u64>,
    factory: &mut InstructionInfoFactory,
) -> bool {
    let Some(step) = flow.steps.get(&branch) else {
        return false;
    };
    reached(flow, &step.next, None)
        .iter()
        .filter(|address| returning.contains(address))
        .all(|address| {
            let Some(step) = flow.steps.get(address) else {
                return false;
            };
            let calls = matches!(
                step.instruction.flow_control(),
                FlowControl::Call | FlowControl::IndirectCall
            );
            // Coming by again would count the call twice.
            *address != branch
                && !calls
                && !written(factory, &step.instruction).contains(&Register::RAX)
        })
}
