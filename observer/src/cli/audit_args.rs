//! Arguments of the commands on the audit log, as they are typed.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Subcommand;

use super::query_args::ExportArgs;

/// The commands on the audit log as they are typed.
#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
pub enum AuditCommandArgs {
    /// Verify every record, checkpoint and hash tile; needs public keys only
    #[command(after_help = "Examples:
  observer audit verify /var/lib/observer/audit
  observer audit verify DIR --vkey KEY --anchor kept-elsewhere.checkpoint --json
  observer audit verify DIR --vkey KEY --witness witness.example+1a2b3c4d+BX…

Exit code 0 if the log is good, 1 if not.")]
    Verify {
        /// Folder of the log
        #[arg(value_name = "DIR")]
        dir: PathBuf,
        /// Public key of the first epoch, as `vkey` had it when the log was made
        #[arg(long, value_name = "KEY")]
        vkey: Option<String>,
        /// Checkpoint that was kept elsewhere; can be given several times
        #[arg(long, value_name = "FILE")]
        anchor: Vec<PathBuf>,
        /// Key of a witness that must have signed the log; can be given several times
        #[arg(long, value_name = "KEY")]
        witness: Vec<String>,
        /// JSON instead of text
        #[arg(long)]
        json: bool,
    },
    /// Print the proof that a record is in the log
    #[command(after_help = "Examples:
  observer audit prove 4711 /var/lib/observer/audit > call.tlog-proof")]
    Prove {
        /// Index of the record (`metadata.sequence`)
        index: u64,
        /// Folder of the log
        #[arg(value_name = "DIR")]
        dir: PathBuf,
    },
    /// Check such a proof, and print the record
    #[command(after_help = "Examples:
  observer audit check-proof call.tlog-proof --vkey host.example/audit+1a2b3c4d+AX…")]
    CheckProof {
        /// The proof
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// Public key of the epoch that signed the checkpoint in it
        #[arg(long, value_name = "KEY")]
        vkey: String,
    },
    /// Print the records in a form that other systems read
    #[command(after_help = "Examples:
  observer audit export --since 24h > day.ocsf.jsonl
  observer audit export --since 2026-11-01 --format csv --filter 'status>=400' > failed.csv
  observer audit export --since 7d --format parquet > week.parquet
  observer audit export --follow --cursor /var/lib/siem/cursor --anchors | siem-forwarder")]
    Export(ExportArgs),
    /// Write the log as plain files that any web server can offer (C2SP tlog-tiles)
    #[command(
        after_help = "The folder gets `checkpoint`, hash tiles, and bundles of the records. \
Again: what is new is added.\n\nExamples:
  observer audit publish /var/lib/observer/audit /srv/www/log"
    )]
    Publish {
        /// Folder of the log
        #[arg(value_name = "DIR")]
        dir: PathBuf,
        /// Folder that is offered
        #[arg(value_name = "OUT")]
        out: PathBuf,
    },
    /// Replace the signing key now, whether an agent writes the log or not
    #[command(after_help = "Examples:
  observer audit rotate-key /var/lib/observer/audit    after somebody could have read the key")]
    RotateKey {
        /// Folder of the log
        #[arg(value_name = "DIR")]
        dir: PathBuf,
    },
    /// Make a key for a reader of sealed records, and print its public half
    #[command(
        after_help = "With audit.readers = [\"KEY\"] the agent seals records to that key; it cannot \
read them back.\n\nExamples:
  observer audit keygen reader.key                     on the host of the reader, not on this one
  observer query 'status>=400' --key reader.key"
    )]
    Keygen {
        /// Where the private key is put
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// Be a witness for the logs of other hosts: sign which checkpoint was seen last
    #[command(
        after_help = "The agent names it in its settings: audit.witnesses = [\"KEY URL\"], with the \
key that is printed at\nthe start. The key of a log is in the file `witness.vkey` of its folder. \
Stop it with Ctrl-C.\n\nExamples:
  observer audit witness --dir /var/lib/observer-witness       makes and prints the key of the witness
  observer audit witness --dir /var/lib/observer-witness --listen 0.0.0.0:7380 \\
      --log host.example/audit+1a2b3c4d+AX…
  observer audit verify DIR --anchor /var/lib/observer-witness/logs/….checkpoint    what it saw"
    )]
    Witness(WitnessArgs),
    /// Print the last checkpoint, to be kept elsewhere
    #[command(after_help = "Examples:
  observer audit checkpoint /var/lib/observer/audit | ssh backup tee -a checkpoints")]
    Checkpoint {
        /// Folder of the log
        #[arg(value_name = "DIR")]
        dir: PathBuf,
    },
}

/// Arguments of `audit witness`.
#[derive(Clone, Debug, PartialEq, Eq, clap::Args)]
pub struct WitnessArgs {
    /// Folder for its key and for what it saw
    #[arg(long, value_name = "DIR", default_value = "/var/lib/observer-witness")]
    pub dir: PathBuf,
    /// Where it listens
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:7380")]
    pub listen: SocketAddr,
    /// Name of a new witness [default: after the host]
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// Key of a log that it signs for; can be given several times. Without: print the key of the
    /// witness and end
    #[arg(long, value_name = "KEY")]
    pub log: Vec<String>,
}
