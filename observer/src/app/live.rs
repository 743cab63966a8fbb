//! `observer run`: from the first check to the last line.

use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};

use super::back_half::BackHalf;
use super::capture_thread::{CaptureThread, Captured};
use super::inventory::InventoryThread;
use super::judging::Judging;
use super::library_thread::LibraryProbes;
use super::probe_watch::ProbeWatch;
use super::rules::{self, RuleWatch};
use super::usage::UsageThread;
use super::{
    audit, blocking, complain, host_key, inventory, open_sockets, output, recording, usage,
};
use crate::admin::{self, AdminError, Bound, Health};
use crate::alert::{self, AlertThread};
use crate::audit::{AuditSink, AuditThread};
use crate::capture::Libraries;
use crate::cli::Exit;
use crate::config::{Format, Settings};
use crate::export::Style;
use crate::inventory::RouteStore;
use crate::kernel::{
    Kernel, KernelError, KernelSettings, ProbeOutcome, forbid_dumps, missing_privileges,
};
use crate::rules::RuleError;
use crate::telemetry::Metrics;
use crate::usage::Limits;

/// How often the main thread looks whether another one failed.
const WATCH: Duration = Duration::from_millis(100);

/// Watches this host until told to stop.
pub(super) fn run(settings: &Settings) -> Exit {
    let missing = missing_privileges();
    if !missing.is_empty() {
        let names: Vec<String> = missing
            .iter()
            .map(|capability| format!("{} ({})", capability.name, capability.purpose))
            .collect();
        let command: Vec<String> = std::env::args().collect();
        let error = KernelError::Privileges {
            missing: names.join(", "),
            command: command.join(" "),
        };
        complain(&error.to_string());
        return Exit::Unsupported;
    }
    let bound = match settings.metrics.map(admin::bind).transpose() {
        Ok(bound) => bound,
        Err(error) => {
            complain(&error.to_string());
            return Exit::Failed;
        }
    };
    match Agent::start(settings, bound) {
        Ok(agent) => agent.run(settings),
        Err(StartError::Kernel(error)) => {
            complain(&error.to_string());
            complain("`observer doctor` tells what works on this host and what does not");
            Exit::Unsupported
        }
        Err(StartError::Admin(error)) => {
            complain(&error.to_string());
            Exit::Failed
        }
        Err(StartError::Thread(error)) => {
            complain(&format!("cannot start a thread: {error}"));
            Exit::Failed
        }
        Err(error @ StartError::Alerts(_)) => {
            complain(&error.to_string());
            Exit::Failed
        }
        Err(StartError::Rules(error)) => {
            complain(&error.to_string());
            Exit::Usage
        }
        Err(StartError::Audit(error)) => {
            complain(&error.to_string());
            Exit::Failed
        }
        Err(StartError::Recording(error)) => {
            complain(&error.to_string());
            Exit::Failed
        }
    }
}

/// Why the agent did not start.
#[derive(Debug, thiserror::Error)]
enum StartError {
    #[error(transparent)]
    Kernel(#[from] KernelError),
    #[error(transparent)]
    Admin(#[from] AdminError),
    #[error(transparent)]
    Thread(#[from] io::Error),
    #[error("alerts cannot be sent: {0}")]
    Alerts(io::Error),
    #[error(transparent)]
    Rules(#[from] RuleError),
    #[error(transparent)]
    Audit(#[from] crate::audit::StartError),
    #[error(transparent)]
    Recording(#[from] recording::RecordingError),
}

/// The agent at work.
struct Agent {
    listener: Option<TcpListener>,
    metrics: Metrics,
    health: Health,
    output: output::Output,
    /// Writes a recording, if there is one.
    recording: Option<output::Output>,
    capture: JoinHandle<Captured>,
    /// Writes the audit log, if there is one.
    audit: Option<AuditThread>,
    /// Delivers alerts.
    alerts: AlertThread,
    inventory: InventoryThread,
    usage: UsageThread,
    /// Reads the rules again when they change.
    rules: RuleWatch,
    libraries: JoinHandle<()>,
    /// Tells the library thread to take all probes off.
    detach: Arc<AtomicBool>,
    /// Tells the capture thread that nothing comes any more.
    stop: Arc<AtomicBool>,
    failed: Arc<AtomicBool>,
}

impl Agent {
    fn start(settings: &Settings, bound: Option<Bound>) -> Result<Self, StartError> {
        forbid_dumps()?;
        let (rule_set, rules, news) = rules::start(settings)?;
        let kernel_settings = KernelSettings {
            ring_bytes: settings.capture.ring_bytes,
            rings: settings.capture.rings,
            both_sides: settings.capture.both_sides,
            sockets: settings.capture.sockets,
            body_peek: settings.capture.body_peek,
            filters: settings.capture.filters.clone(),
        };
        let (kernel, parts) = Kernel::start(&kernel_settings, bound.as_ref())?;
        let listener = bound.map(Bound::listen).transpose()?;
        for probe in kernel.probes() {
            if let ProbeOutcome::Failed(reason) = &probe.outcome {
                tracing::warn!(
                    probe = probe.name,
                    hook = probe.hook,
                    reason,
                    "probe not running: without it, no {}",
                    probe.purpose
                );
            }
        }
        let metrics = Metrics::new();
        metrics.set_probes(kernel.probes());
        let health = Health::default();
        let (detach, stop, failed) =
            <(Arc<AtomicBool>, Arc<AtomicBool>, Arc<AtomicBool>)>::default();
        let numbers = Libraries::default();
        let (lines, output) = output::start()?;
        let record = settings.record.as_ref().map(recording::start).transpose()?;
        let (record, recording) = record.unzip();
        let (sink, audit) = audit::start(settings)?.unzip();
        let anchor = sink.as_ref().map(AuditSink::anchor);
        let mut back = BackHalf::new(settings, &metrics, lines, Style::of_stdout());
        back.set_audit(sink);
        back.set_rules(rule_set, Some(news));
        let (sink, alerts) = alert::start(settings.state_dir.clone(), settings.alert.clone())
            .map_err(StartError::Alerts)?;
        if let Some(anchor) = anchor {
            sink.set_anchor(anchor);
        }
        back.set_alerts(sink);
        let (inventory_sink, inventory) = inventory::start(&settings.state_dir)?;
        back.set_inventory(inventory_sink);
        let mut limits = Limits::new(settings.limits.clone());
        let (usage_sink, usage) = usage::start(&settings.state_dir, &mut limits)?;
        if limits.blocks() && !settings.block.enabled {
            tracing::warn!("limits that block only tell: block.enabled is false");
        }
        back.set_usage(usage_sink, limits);
        back.set_blocking(blocking::start(&settings.block)?);
        back.restore_routes(&RouteStore::new(&settings.state_dir));

        let capture = CaptureThread {
            parts,
            libraries: numbers.clone(),
            calls: Judging::start(back, metrics.clone(), settings.capture.calls)?,
            metrics: metrics.clone(),
            both_sides: settings.capture.both_sides,
            filters: settings.capture.filters.clone(),
            body_peek: settings.capture.body_peek,
            listings: open_sockets::start(!kernel.tells_processes(), Arc::clone(&stop))?,
            proxies: Arc::new(settings.proxies.clone()),
            shown_query_values: Arc::clone(&settings.unsafe_capture.query_values),
            fingerprints: host_key::fingerprints(
                &settings.state_dir,
                settings.identity.key_rotation,
            ),
            record,
            stop: Arc::clone(&stop),
            failed: Arc::clone(&failed),
        };
        let capture = thread::Builder::new()
            .name("capture".to_owned())
            .spawn(move || capture.run())?;

        let tls = settings.capture.tls;
        let watch = ProbeWatch::new(
            settings.capture.cpu_budget,
            settings.capture.error_budget,
            metrics.clone(),
        );
        let mut probes = LibraryProbes::new(kernel, numbers);
        let (for_libraries, ready) = (metrics.clone(), health.clone());
        let told = Arc::clone(&detach);
        let libraries = thread::Builder::new()
            .name("libraries".to_owned())
            .spawn(move || {
                if !tls {
                    ready.ready();
                    probes.run_without_tls(&told, watch);
                    return;
                }
                probes.scan_all();
                probes.run(&told, watch, &mut |report| {
                    for_libraries.set_tls(report);
                    // The first report follows the first scan.
                    ready.ready();
                });
            })?;
        Ok(Self {
            listener,
            metrics,
            health,
            output,
            recording,
            capture,
            audit,
            alerts,
            inventory,
            usage,
            rules,
            libraries,
            detach,
            stop,
            failed,
        })
    }

    fn run(self, settings: &Settings) -> Exit {
        let Self {
            listener,
            metrics,
            health,
            output,
            recording,
            capture,
            audit,
            alerts,
            inventory,
            usage,
            mut rules,
            libraries,
            detach,
            stop,
            failed,
        } = self;
        if settings.format == Format::Table {
            let metrics = settings
                .metrics
                .map_or_else(|| "off".to_owned(), |at| format!("http://{at}/metrics"));
            complain(&format!(
                "watching this host; metrics: {metrics}; stop with Ctrl-C"
            ));
        }
        let waited = wait(
            settings.duration,
            listener,
            metrics,
            health,
            || failed.load(Ordering::Acquire) || capture.is_finished(),
            &mut rules,
        );

        // Off first, so that what is in the ring is all there will be.
        detach.store(true, Ordering::Release);
        let libraries = libraries.join();
        stop.store(true, Ordering::Release);
        let captured = capture.join();
        output.finish();
        if let Some(recording) = recording {
            recording.finish();
        }
        if let Some(audit) = audit {
            audit.finish();
        }
        alerts.finish();
        inventory.finish();
        usage.finish();

        let (Ok(()), Ok(captured)) = (libraries, captured) else {
            complain("a thread of the agent panicked; please report this as a bug");
            return Exit::Failed;
        };
        if settings.format == Format::Table {
            drop(io::Write::write_all(
                &mut io::stderr(),
                captured.summary.as_bytes(),
            ));
        }
        report_losses(&captured);
        match waited {
            Ok(()) if failed.load(Ordering::Acquire) => Exit::Failed,
            Ok(()) => Exit::Done,
            Err(error) => {
                complain(&format!(
                    "cannot serve metrics or wait for signals: {error}"
                ));
                Exit::Failed
            }
        }
    }
}

/// What was missed is said, always.
fn report_losses(captured: &Captured) {
    let lost: u64 = captured
        .ledger
        .iter()
        .flat_map(|source| &source.lost)
        .map(|(_, count)| count.calls)
        .sum();
    if lost > 0 {
        complain(&format!(
            "{lost} segments or library calls were lost (see observer_capture_lost_total); a larger `ring_bytes` helps"
        ));
    }
    if captured.recorded_lost > 0 {
        complain(&format!(
            "{} lines of the recording could not be written: it lacks them",
            captured.recorded_lost
        ));
    }
    if captured.lines_dropped > 0 {
        complain(&format!(
            "{} of {} lines were dropped because their reader was too slow",
            captured.lines_dropped, captured.calls
        ));
    }
}

/// Serves metrics until a signal, the end of the time given, or a failure.
fn wait(
    duration: Option<Duration>,
    listener: Option<TcpListener>,
    metrics: Metrics,
    health: Health,
    has_failed: impl Fn() -> bool,
    rules: &mut RuleWatch,
) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let mut hangup = signal(SignalKind::hangup())?;
        let stop = async {
            let time_is_up = async {
                match duration {
                    Some(duration) => tokio::time::sleep(duration).await,
                    None => std::future::pending().await,
                }
            };
            let failure = async {
                while !has_failed() {
                    tokio::time::sleep(WATCH).await;
                }
            };
            let reload = async {
                let mut look = tokio::time::interval(rules::LOOK);
                loop {
                    tokio::select! {
                        _ = hangup.recv() => rules.read_again(),
                        _ = look.tick() => rules.look(),
                    }
                }
            };
            tokio::select! {
                () = reload => {}
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
                () = time_is_up => {}
                () = failure => {}
            }
        };
        match listener {
            Some(listener) => admin::serve(listener, metrics, health, stop).await,
            None => {
                stop.await;
                Ok(())
            }
        }
    })
}
