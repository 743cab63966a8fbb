//! The inventory: kept beside capture, and the commands that read it.
//!
//! Who judges calls sums them up and hands the sums over twice a second; this thread adds them
//! to the inventory, looks up what the programs are from, and replaces the file. A slow disk delays
//! the file and nothing else: sums wait in the tally, which has a bound.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use super::{complain, print};
use crate::call::ApiCall;
use crate::catalog::{Catalog, RouteRule};
use crate::cli::{Exit, InventoryCommand};
use crate::inventory::{
    Credential, Document, Inventory, Owners, RouteStore, Store, StoreError, Sum, Tally,
    credential_findings, documents, findings, listening, open_api, orphans, plaintext_share,
    states, table,
};

/// How long what was called may be missing from the file.
const SAVE: Duration = Duration::from_secs(1);
/// Saving takes at most one part in so many of the time.
const SAVE_SHARE: u32 = 20;
/// Batches of sums under way.
const UNDER_WAY: usize = 4;
/// How often old entries are looked for.
const FORGET: Duration = Duration::from_secs(3600);
/// Templates of all documents together: some 20 MiB.
const MOST_DECLARED: usize = 100_000;
/// Width of the table where it goes to no terminal.
const FILE_WIDTH: usize = 140;

/// What the thread is handed.
#[derive(Debug)]
struct Batch {
    sums: Vec<Sum>,
    credentials: Vec<(String, Credential)>,
    /// Service, old route, new route.
    renames: Vec<(String, String, String)>,
    /// A service, and what was learned of its routes.
    routes: Option<(Arc<str>, String)>,
}

/// The end of who judges calls.
#[derive(Debug)]
pub(super) struct InventorySink {
    tally: Tally,
    sender: SyncSender<Batch>,
    waiting: Option<Batch>,
}

/// The thread that keeps the file.
#[derive(Debug)]
pub(super) struct InventoryThread(JoinHandle<()>);

/// Starts it.
pub(super) fn start(state_dir: &Path) -> io::Result<(InventorySink, InventoryThread)> {
    let (sender, receiver) = sync_channel(UNDER_WAY);
    let store = Store::new(state_dir);
    let routes = RouteStore::new(state_dir);
    let thread = thread::Builder::new()
        .name("inventory".to_owned())
        .spawn(move || keep(&store, &routes, &receiver))?;
    let sink = InventorySink {
        tally: Tally::default(),
        sender,
        waiting: None,
    };
    Ok((sink, InventoryThread(thread)))
}

impl InventorySink {
    pub(super) fn push(&mut self, call: &ApiCall) {
        self.tally.push(call);
    }

    /// Hands over what was summed up, if the thread is ready for it.
    pub(super) fn flush(&mut self, catalog: &mut Catalog) {
        let batch = self.waiting.take().or_else(|| {
            let batch = Batch {
                sums: self.tally.take(),
                credentials: self.tally.take_credentials(),
                renames: catalog.take_renames(),
                routes: catalog.take_record(),
            };
            let any = !batch.sums.is_empty() || !batch.renames.is_empty();
            (any || batch.routes.is_some()).then_some(batch)
        });
        if let Some(batch) = batch
            && let Err(TrySendError::Full(batch)) = self.sender.try_send(batch)
        {
            self.waiting = Some(batch);
        }
    }

    /// Hands over the last of it.
    pub(super) fn finish(mut self) {
        let last = Batch {
            sums: self.tally.take(),
            credentials: self.tally.take_credentials(),
            renames: Vec::new(),
            routes: None,
        };
        for batch in self.waiting.take().into_iter().chain([last]) {
            // A thread that is gone has said why.
            let _ = self.sender.send(batch);
        }
    }

    /// Calls that found no room.
    pub(super) fn dropped(&self) -> u64 {
        self.tally.dropped()
    }
}

impl InventoryThread {
    /// Waits for the last save; the sink must be gone.
    pub(super) fn finish(self) {
        if self.0.join().is_err() {
            complain("the inventory was not saved at the end");
        }
    }
}

/// The templates of the documents in a folder, as rules for their services. What is no document is
/// said.
pub(super) fn declared(folder: &Path) -> Vec<RouteRule> {
    let (documents, bad) = documents(folder).unwrap_or_else(|error| {
        complain(&format!("cannot read {}: {error}", folder.display()));
        Default::default()
    });
    for path in bad {
        complain(&format!("{path} is no OpenAPI document in JSON"));
    }
    let rules = documents.into_iter().flat_map(|document| {
        let Document {
            service,
            operations,
        } = document;
        operations.into_iter().filter_map(move |operation| {
            let (_, template) = operation.name.split_once(' ')?;
            Some(RouteRule {
                service: Some(service.as_str().into()),
                template: template.into(),
            })
        })
    });
    rules.take(MOST_DECLARED).collect()
}

fn now_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    u64::try_from(now.unwrap_or_default().as_millis()).unwrap_or(u64::MAX)
}

fn keep(store: &Store, kept_routes: &RouteStore, batches: &Receiver<Batch>) {
    let mut inventory = store.open();
    let mut owners = Owners::default();
    let (mut changed, mut said) = (false, false);
    let (mut due, mut forget) = (Instant::now(), Instant::now());
    loop {
        let ended = match batches.recv_timeout(SAVE) {
            Ok(Batch {
                sums,
                credentials,
                renames,
                routes,
            }) => {
                inventory.merge_credentials(credentials);
                for (service, pid, exe) in inventory.merge(&sums) {
                    let package = exe.as_deref().and_then(|exe| owners.package(exe));
                    let listens = listening(Path::new("/proc"), pid);
                    inventory.describe(&service, exe.as_deref(), package, listens);
                }
                for (service, old, new) in renames {
                    inventory.rename(&service, &old, &new, now_ms());
                }
                if let Some((service, record)) = routes
                    && let Err(error) = kept_routes.save(&service, &record)
                    && !said
                {
                    said = true;
                    tracing::warn!(%error, "what was learned of routes is not saved");
                }
                changed = true;
                false
            }
            Err(RecvTimeoutError::Timeout) => false,
            Err(RecvTimeoutError::Disconnected) => true,
        };
        let now = Instant::now();
        if now >= forget {
            forget = now + FORGET;
            inventory.forget(now_ms());
        }
        if changed && (ended || now >= due) {
            match store.save(&inventory) {
                Ok(()) => {
                    changed = false;
                    said = false;
                }
                Err(error) if !said => {
                    said = true;
                    tracing::warn!(%error, "the inventory is not saved; it is tried again");
                }
                Err(_) => {}
            }
            due = now + SAVE.max(now.elapsed() * SAVE_SHARE);
        }
        if ended {
            return;
        }
    }
}

/// `observer inventory` and `observer openapi`.
pub(super) fn run(command: &InventoryCommand) -> Exit {
    match read(command) {
        Ok(text) => print(&text),
        Err(Fault::Store(error)) => {
            complain(&error.to_string());
            Exit::Failed
        }
        Err(Fault::Said(text)) => {
            complain(&text);
            Exit::Failed
        }
    }
}

enum Fault {
    Store(StoreError),
    Said(String),
}

fn read(command: &InventoryCommand) -> Result<String, Fault> {
    let settings = command.settings();
    let store = Store::new(&settings.state_dir);
    let inventory = store.load().map_err(Fault::Store)?.ok_or_else(|| {
        Fault::Said(format!(
            "there is no inventory in {}: it is made by `observer run`; --state-dir names the folder",
            settings.state_dir.display()
        ))
    })?;
    match command {
        InventoryCommand::Inventory { settings, json } => {
            let documents = match &settings.openapi_documents {
                Some(folder) => documented(folder)?,
                None => Vec::new(),
            };
            let now_ms = now_ms();
            if *json {
                Ok(format!("{:#}\n", to_json(&inventory, &documents, now_ms)))
            } else {
                let width = terminal_size::terminal_size();
                let width = width.map_or(FILE_WIDTH, |(width, _)| usize::from(width.0));
                Ok(table(&inventory, &documents, now_ms, width))
            }
        }
        InventoryCommand::OpenApi { service, .. } => match inventory.services.get(service) {
            Some(found) => Ok(format!("{:#}\n", open_api(service, found))),
            None => {
                let names: Vec<&str> = inventory.services.keys().map(String::as_str).collect();
                Err(Fault::Said(format!(
                    "there is no service {service:?}; there are: {}",
                    names.join(", ")
                )))
            }
        },
    }
}

fn documented(folder: &Path) -> Result<Vec<Document>, Fault> {
    let (documents, bad) = documents(folder)
        .map_err(|error| Fault::Said(format!("cannot read {}: {error}", folder.display())))?;
    for path in bad {
        complain(&format!("{path} is no OpenAPI document in JSON"));
    }
    Ok(documents)
}

/// As the file has it, with what is derived from it.
fn to_json(inventory: &Inventory, documents: &[Document], now_ms: u64) -> Value {
    let services = inventory.services.iter().map(|(name, service)| {
        let document = documents.iter().find(|document| document.service == *name);
        let mut told = json!(service);
        told["findings"] = json!(findings(service));
        told["plaintext_per_cent"] = json!(plaintext_share(service));
        told["orphans"] = json!(orphans(service, document));
        for (endpoint_name, endpoint) in &service.endpoints {
            told["endpoints"][endpoint_name]["states"] =
                json!(states(endpoint_name, endpoint, document, now_ms));
        }
        (name.clone(), told)
    });
    let credentials = inventory.credentials.iter().map(|(key, credential)| {
        let mut told = json!(credential);
        told["findings"] = json!(credential_findings(inventory, key, credential, now_ms));
        (key.clone(), told)
    });
    json!({
        "credentials": credentials.collect::<serde_json::Map<_, _>>(),
        "services": services.collect::<serde_json::Map<_, _>>(),
        "folded": inventory.folded,
    })
}
