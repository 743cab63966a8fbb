//! The thread that takes checkpoints to the witnesses.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use ed25519_dalek::SigningKey;

use super::conversation::{Reply, reply, submission};
use super::{kept, post::post};
use crate::audit::anchor::{Anchor, Signed};
use crate::audit::durable::replace;
use crate::audit::error::AuditError;
use crate::audit::own_event::OwnEvent;
use crate::audit::seed;
use crate::audit::vkey::Vkey;

/// Times that one checkpoint is sent: a witness may have to tell from where it wants a proof.
const TRIES: usize = 3;
/// Longest time of each step of a request.
const LIMIT: Duration = Duration::from_secs(2);
/// The same at the end of the log, and the time after which no further witness is asked then:
/// whoever stops the agent waits for it.
const LAST_LIMIT: Duration = Duration::from_secs(1);
const LAST_ROUND: Duration = Duration::from_secs(2);

/// A witness and where it listens, written as `name+id+key http://host:port/prefix`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WitnessAddress {
    vkey: Vkey,
    authority: String,
    prefix: String,
}

impl WitnessAddress {
    /// Reads one.
    ///
    /// # Errors
    /// A sentence that says what is wrong.
    pub fn parse(text: &str) -> Result<Self, String> {
        let form = "is not of the form \"NAME+ID+KEY http://host:port/prefix\"";
        let (vkey, url) = text.trim().split_once(' ').ok_or(form)?;
        let rest = url
            .trim()
            .strip_prefix("http://")
            .ok_or_else(|| format!("{form} (for https, use a relay on this host)"))?;
        let (authority, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        if authority.is_empty()
            || authority.contains('@')
            || !rest.bytes().all(|b| b.is_ascii_graphic())
        {
            return Err(form.to_owned());
        }
        Ok(Self {
            vkey: Vkey::parse_witness(vkey)?,
            authority: authority.to_owned(),
            prefix: prefix.trim_end_matches('/').to_owned(),
        })
    }

    fn path(&self) -> String {
        match self.prefix.as_str() {
            "" => "/add-checkpoint".to_owned(),
            prefix => format!("/{prefix}/add-checkpoint"),
        }
    }
}

impl std::fmt::Display for WitnessAddress {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            vkey,
            authority,
            prefix,
        } = self;
        write!(out, "{vkey} http://{authority}/{prefix}")
    }
}

/// What the thread tells the writer of the log.
#[derive(Debug, Default)]
pub(in crate::audit) struct Told {
    /// Alarms that belong in the log.
    alarms: Mutex<Vec<OwnEvent>>,
    pub(in crate::audit) cosigned: AtomicU64,
    pub(in crate::audit) failed: AtomicU64,
}

impl Told {
    /// Takes what is to be written.
    pub(in crate::audit) fn alarms(&self) -> Vec<OwnEvent> {
        std::mem::take(&mut *self.alarms.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn alarm(&self, event: OwnEvent) {
        let mut alarms = self.alarms.lock().unwrap_or_else(PoisonError::into_inner);
        alarms.push(event);
    }
}

/// One witness at work.
struct Visit {
    to: WitnessAddress,
    /// Size of the last checkpoint that it signed.
    size: u64,
    /// What it could not do was told already.
    told: bool,
    /// Size at which it saw another log.
    fork: Option<u64>,
}

struct Work {
    dir: PathBuf,
    anchor: Anchor,
    key: SigningKey,
    told: Arc<Told>,
    visits: Vec<Visit>,
}

/// The key that witnesses know the log `origin` by; made if there is none.
pub(in crate::audit) fn log_key(dir: &Path, origin: &str) -> Result<SigningKey, AuditError> {
    let path = dir.join("witness.key");
    let key = match seed::read(&path)? {
        Some((name, key)) if name == origin => key,
        Some(_) => return Err(AuditError::bad(&path, "is the key of another log")),
        None => seed::make(origin, &path)?,
    };
    let vkey = format!("{}\n", Vkey::new(origin, &key));
    replace(&dir.join("witness.vkey"), vkey.as_bytes(), 0o644)?;
    Ok(key)
}

/// Starts the thread. `key` is that of [`log_key`].
pub(in crate::audit) fn start(
    dir: &Path,
    key: SigningKey,
    witnesses: &[WitnessAddress],
    every: Duration,
    anchor: Anchor,
    stop: &Arc<AtomicBool>,
) -> Result<(Arc<Told>, JoinHandle<()>), AuditError> {
    let told = Arc::<Told>::default();
    let visits = witnesses
        .iter()
        .map(|to| Visit {
            to: to.clone(),
            size: kept::size(dir, &to.vkey),
            told: false,
            fork: None,
        })
        .collect();
    let mut work = Work {
        dir: dir.to_owned(),
        anchor,
        key,
        told: Arc::clone(&told),
        visits,
    };
    let stop = Arc::clone(stop);
    let thread = thread::Builder::new()
        .name("audit-witness".to_owned())
        .spawn(move || {
            while !stop.load(Ordering::Acquire) {
                work.round(LIMIT, &mut || !stop.load(Ordering::Acquire));
                if !stop.load(Ordering::Acquire) {
                    thread::park_timeout(every);
                }
            }
            // The last word of the log.
            let began = Instant::now();
            work.round(LAST_LIMIT, &mut || began.elapsed() < LAST_ROUND);
        })
        .map_err(|error: io::Error| {
            AuditError::io("start the thread of the witnesses of", dir)(error)
        })?;
    Ok((told, thread))
}

impl Work {
    /// Visits every witness, as long as `going`.
    fn round(&mut self, limit: Duration, going: &mut dyn FnMut() -> bool) {
        let Self {
            dir,
            anchor,
            key,
            told,
            visits,
        } = self;
        let Some(signed) = anchor.signed() else {
            return;
        };
        for visit in visits {
            if visit.size < signed.edge.size() && going() {
                visit.go(dir, &signed, key, told, limit);
            }
        }
    }
}

impl Visit {
    fn go(&mut self, dir: &Path, signed: &Signed, key: &SigningKey, told: &Told, limit: Duration) {
        let mut old = self.size;
        for _ in 0..TRIES {
            let answer = submission(dir, signed, old, key).and_then(|sent| {
                post(&self.to.authority, &self.to.path(), &sent.text(), limit)
                    .map(|(status, body)| reply(&sent, &self.to.vkey, status, &body))
                    .map_err(|error| format!("cannot be reached: {error}"))
            });
            match answer.unwrap_or_else(Reply::Broken) {
                Reply::Cosigned(note) => {
                    self.size = note.checkpoint.size;
                    self.told = false;
                    told.cosigned.fetch_add(1, Ordering::Relaxed);
                    if let Err(error) = kept::keep(dir, &self.to.vkey, &note) {
                        tracing::warn!(%error, "a cosigned checkpoint is not kept");
                    }
                    return;
                }
                Reply::From(size) => old = size,
                Reply::Fork(size) => return self.forked(size, signed.edge.size(), told),
                Reply::Broken(what) => return self.broken(&what, told),
            }
        }
        self.broken("asks for one size after the other", told);
    }

    fn forked(&mut self, size: u64, ours: u64, told: &Told) {
        told.failed.fetch_add(1, Ordering::Relaxed);
        if self.fork == Some(size) {
            return;
        }
        self.fork = Some(size);
        let what = format!(
            "the witness {} has seen another log of this name, of {size} records: this one was put back, or altered",
            self.to.vkey.name()
        );
        tracing::error!(what, "the audit log is not the one that was witnessed");
        told.alarm(OwnEvent::Alarm {
            what,
            checkpoint_size: size,
            found_size: ours,
        });
    }

    fn broken(&mut self, what: &str, told: &Told) {
        told.failed.fetch_add(1, Ordering::Relaxed);
        if !std::mem::replace(&mut self.told, true) {
            let what = what.escape_debug();
            tracing::warn!(
                witness = self.to.vkey.name(),
                "the witness {what}; it is asked again"
            );
        }
    }
}
