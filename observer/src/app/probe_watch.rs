//! Watches what the probes cost and what they cannot read, and says which were taken off for it.

use std::time::Instant;

use crate::kernel::{Kernel, ProbeCosts, ProbeErrors};
use crate::telemetry::Metrics;

/// See the module.
pub(super) struct ProbeWatch {
    costs: ProbeCosts,
    errors: ProbeErrors,
    metrics: Metrics,
}

impl ProbeWatch {
    /// Budgets as in the settings `capture.cpu_budget` and `capture.error_budget`.
    pub(super) fn new(cpu_budget: u32, error_budget: u32, metrics: Metrics) -> Self {
        Self {
            costs: ProbeCosts::new(cpu_budget),
            errors: ProbeErrors::new(error_budget),
            metrics,
        }
    }

    /// Wanted a few times a second.
    pub(super) fn tick(&mut self, kernel: &mut Kernel) {
        let now = Instant::now();
        let mut changed = false;
        if let Some((costs, condemned)) = self.costs.tick(kernel, now) {
            self.metrics.set_costs(costs);
            for cost in condemned {
                changed = true;
                tracing::error!(
                    probe = cost.name,
                    processors = cost.processors,
                    "probe taken off until the next start: it used more of a processor than capture.cpu_budget allows; what it saw is not captured"
                );
            }
        }
        let metrics = &self.metrics;
        for condemned in self.errors.tick(kernel, now, || metrics.ledger()) {
            changed = true;
            tracing::error!(
                source = condemned.source,
                share = condemned.share,
                "probes taken off until the next start: they could not read more of what they saw than capture.error_budget allows; what they saw is not captured"
            );
        }
        if changed {
            self.metrics.set_probes(kernel.probes());
        }
    }
}
