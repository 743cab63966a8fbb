//! From arguments to a command with valid settings.

use std::ffi::OsString;
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use clap::{CommandFactory as _, Parser as _};
use clap_complete::Shell;
use thiserror::Error;

use super::alerts_args::{AlertsArgs, AlertsCommandArgs};
use super::args::{
    Args, CheckConfigArgs, CommandArgs, CompletionsArgs, DoctorArgs, InventoryArgs, OpenapiArgs,
    ReplayArgs, RunArgs, UsageArgs,
};
use super::audit_args::AuditCommandArgs;
use super::exit::Exit;
use super::query_args::{QueryArgs, ReportArgs, ReviewCommandArgs};
use crate::config::{ConfigError, RecordSettings, Settings, load};
use crate::kernel::SocketCapture;
use crate::record::Secrets;
use crate::usage::Dimension;

/// What to do, with valid settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Watch this host.
    Run(Settings),
    /// Show the calls in recordings.
    Replay {
        /// The recordings, in this order.
        files: Vec<PathBuf>,
        /// File of secrets of TLS connections.
        keylog: Option<PathBuf>,
        /// Settings; metrics are off.
        settings: Settings,
    },
    /// Tell what works here.
    Doctor {
        /// As JSON.
        json: bool,
        /// Where the bytes of sockets are to be taken.
        sockets: SocketCapture,
        /// Clients are to be turned away.
        blocks: bool,
        /// Where the metrics of an agent are that may run here.
        metrics: SocketAddr,
    },
    /// Name the endpoints of the requests on the standard input.
    Routes,
    /// Print the settings in force ([`crate::config::effective`]).
    CheckConfig(Settings),
    /// Search the audit log.
    Query(QueryArgs),
    /// Show what a reviewer should look at.
    Report(ReportArgs),
    /// What a reviewer does.
    Review(ReviewCommandArgs),
    /// List the alerts that are open, or silence some.
    Alerts {
        /// State folder of the agent.
        dir: PathBuf,
        /// As JSON.
        json: bool,
        /// What to do; `None`: list them.
        command: Option<AlertsCommandArgs>,
    },
    /// Show what was seen.
    Inventory(InventoryCommand),
    /// Show usage.
    Usage(UsageCommand),
    /// Verify the audit log, or prove what is in it.
    Audit(AuditCommandArgs),
    /// Print a completion script ([`completions`]).
    Completions(Shell),
}

/// A look at the inventory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InventoryCommand {
    /// All of it.
    Inventory {
        /// Where it is, and what is documented.
        settings: Settings,
        /// As JSON.
        json: bool,
    },
    /// One service as an OpenAPI document.
    OpenApi {
        /// Where it is.
        settings: Settings,
        /// Name of the service.
        service: String,
    },
}

/// A look at usage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsageCommand {
    /// State folder of the agent.
    pub dir: PathBuf,
    /// As JSON.
    pub json: bool,
    /// Rows of each kind.
    pub top: usize,
    /// One kind only.
    pub by: Option<Dimension>,
}

impl InventoryCommand {
    /// Where the inventory is.
    pub fn settings(&self) -> &Settings {
        match self {
            Self::Inventory { settings, .. } | Self::OpenApi { settings, .. } => settings,
        }
    }
}

/// Why there is no command.
#[derive(Debug, Error)]
pub enum CliError {
    /// The arguments are wrong, or ask for help or the version.
    #[error(transparent)]
    Arguments(#[from] clap::Error),
    /// The settings file is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
}

impl CliError {
    /// Says what is wrong on the standard error; help and version on the standard output.
    /// Returns how the program ends.
    pub fn report(&self) -> Exit {
        match self {
            Self::Arguments(error) => {
                // Nothing is left to be done if the terminal is gone.
                drop(error.print());
                if error.use_stderr() {
                    Exit::Usage
                } else {
                    Exit::Done
                }
            }
            Self::Config(error) => {
                drop(writeln!(std::io::stderr(), "observer: {error}"));
                Exit::Usage
            }
        }
    }
}

/// The command that the program was started with.
///
/// # Errors
/// See [`CliError`].
pub fn parse() -> Result<Command, CliError> {
    parse_from(std::env::args_os())
}

/// The command in `args`, the first of which is the program's name.
///
/// # Errors
/// See [`CliError`].
pub fn parse_from(
    args: impl IntoIterator<Item = impl Into<OsString> + Clone>,
) -> Result<Command, CliError> {
    let Args { command } = Args::try_parse_from(args)?;
    Ok(match command {
        CommandArgs::Run(args) => Command::Run(run(args)?),
        CommandArgs::Replay(ReplayArgs {
            files,
            config,
            keylog,
            format,
        }) => {
            let mut settings = from_file(config.as_deref())?;
            settings.format = format.unwrap_or(settings.format);
            settings.metrics = None;
            Command::Replay {
                files,
                keylog,
                settings,
            }
        }
        CommandArgs::Doctor(DoctorArgs {
            json,
            config,
            metrics,
        }) => {
            let Settings { capture, block, .. } = from_file(config.as_deref())?;
            Command::Doctor {
                json,
                sockets: capture.sockets,
                blocks: block.enabled && !block.dry_run,
                metrics,
            }
        }
        CommandArgs::Routes => Command::Routes,
        CommandArgs::CheckConfig(CheckConfigArgs { file }) => {
            Command::CheckConfig(from_file(file.as_deref())?)
        }
        CommandArgs::Query(args) => Command::Query(args),
        CommandArgs::Report(args) => Command::Report(args),
        CommandArgs::Review(args) => Command::Review(args.command),
        CommandArgs::Alerts(AlertsArgs {
            json,
            config,
            state_dir,
            command,
        }) => Command::Alerts {
            dir: stored(config.as_deref(), state_dir)?.state_dir,
            json,
            command,
        },
        CommandArgs::Inventory(InventoryArgs {
            json,
            config,
            state_dir,
        }) => Command::Inventory(InventoryCommand::Inventory {
            settings: stored(config.as_deref(), state_dir)?,
            json,
        }),
        CommandArgs::Usage(UsageArgs {
            json,
            top,
            by,
            config,
            state_dir,
        }) => Command::Usage(UsageCommand {
            dir: stored(config.as_deref(), state_dir)?.state_dir,
            json,
            top: usize::try_from(top).unwrap_or(usize::MAX),
            by,
        }),
        CommandArgs::Openapi(OpenapiArgs {
            service,
            config,
            state_dir,
        }) => Command::Inventory(InventoryCommand::OpenApi {
            settings: stored(config.as_deref(), state_dir)?,
            service,
        }),
        CommandArgs::Audit(args) => Command::Audit(args.command),
        CommandArgs::Completions(CompletionsArgs { shell }) => Command::Completions(shell),
    })
}

fn run(args: RunArgs) -> Result<Settings, ConfigError> {
    let RunArgs {
        config,
        format,
        metrics,
        state_dir,
        duration,
        both_sides,
        audit,
        record,
        record_secrets,
    } = args;
    let mut settings = from_file(config.as_deref())?;
    settings.format = format.unwrap_or(settings.format);
    settings.metrics = metrics.map_or(settings.metrics, Into::into);
    settings.state_dir = state_dir.unwrap_or(settings.state_dir);
    settings.duration = duration.or(settings.duration);
    settings.capture.both_sides |= both_sides;
    settings.audit.enabled |= audit;
    settings.record = record.map(|file| RecordSettings {
        file,
        secrets: match record_secrets {
            true => Secrets::Kept,
            false => Secrets::Redacted,
        },
    });
    Ok(settings)
}

fn stored(config: Option<&Path>, state_dir: Option<PathBuf>) -> Result<Settings, ConfigError> {
    let mut settings = from_file(config)?;
    settings.state_dir = state_dir.unwrap_or(settings.state_dir);
    Ok(settings)
}

fn from_file(path: Option<&Path>) -> Result<Settings, ConfigError> {
    path.map_or_else(|| Ok(Settings::default()), load)
}

/// Writes the completion script for `shell`.
pub fn completions(shell: Shell, out: &mut impl Write) {
    clap_complete::generate(shell, &mut Args::command(), "observer", out);
}

#[cfg(test)]
mod tests {
    use super::{AlertsCommandArgs, Args, CliError, Command, completions, parse_from};
    use crate::cli::SilenceCommandArgs;
    use crate::cli::{Exit, Shell};
    use crate::config::{Format, Settings};
    use crate::kernel::SocketCapture;
    use clap::CommandFactory as _;
    use std::io::Write as _;
    use std::path::PathBuf;
    use std::time::Duration;

    fn command(args: &[&str]) -> Result<Command, CliError> {
        parse_from(["observer"].iter().chain(args))
    }

    #[test]
    fn the_declaration_of_the_arguments_is_sound() {
        Args::command().debug_assert();
    }

    #[test]
    fn flags_win_over_the_file_and_the_file_over_the_defaults() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        write!(
            file,
            "format = \"jsonl\"\nduration = \"9s\"\n[capture]\nboth_sides = true\n"
        )
        .unwrap();
        let path = file.path().to_str().unwrap();
        let args = [
            "run",
            "--config",
            path,
            "--duration",
            "20s",
            "--metrics",
            "off",
        ];
        let mut expected = Settings {
            format: Format::Jsonl,
            duration: Some(Duration::from_secs(20)),
            metrics: None,
            ..Settings::default()
        };
        expected.capture.both_sides = true;
        assert_eq!(command(&args).unwrap(), Command::Run(expected));
        assert_eq!(
            command(&["run"]).unwrap(),
            Command::Run(Settings::default())
        );
    }

    #[test]
    fn every_command_is_understood() {
        assert_eq!(
            command(&["doctor", "--json"]).unwrap(),
            Command::Doctor {
                json: true,
                sockets: SocketCapture::Auto,
                blocks: false,
                metrics: ([127, 0, 0, 1], 9464).into(),
            }
        );
        let silence = [
            "alerts",
            "silence",
            "--rule",
            "crawl",
            "--for",
            "2h",
            "--state-dir",
            "/s",
        ];
        let Command::Alerts {
            dir,
            command: Some(AlertsCommandArgs::Silence(silence)),
            ..
        } = command(&silence).unwrap()
        else {
            panic!("is no silence");
        };
        assert_eq!(dir, PathBuf::from("/s"));
        assert_eq!(silence.new.lasting, Some(Duration::from_secs(7200)));
        let Command::Alerts {
            dir,
            command: Some(AlertsCommandArgs::Silence(silence)),
            ..
        } = command(&["alerts", "silence", "remove", "3", "--state-dir", "/s"]).unwrap()
        else {
            panic!("is no silence");
        };
        assert_eq!(dir, PathBuf::from("/s"));
        assert_eq!(silence.command, Some(SilenceCommandArgs::Remove { id: 3 }));
        assert_eq!(command(&["routes"]).unwrap(), Command::Routes);
        assert_eq!(
            command(&["check-config"]).unwrap(),
            Command::CheckConfig(Settings::default())
        );
        let words = ["replay", "a", "b", "--format", "jsonl", "--keylog", "k"];
        let replay = command(&words).unwrap();
        let settings = Settings {
            format: Format::Jsonl,
            metrics: None,
            ..Settings::default()
        };
        let files = vec![PathBuf::from("a"), PathBuf::from("b")];
        let keylog = Some(PathBuf::from("k"));
        let expected = Command::Replay {
            files,
            keylog,
            settings,
        };
        assert_eq!(replay, expected);
        let mut script = Vec::new();
        completions(Shell::Bash, &mut script);
        assert!(String::from_utf8(script).unwrap().contains("check-config"));
    }

    #[test]
    fn bad_usage_and_bad_settings_end_with_2_and_help_with_0() {
        for args in [
            &["run", "--duration", "soon"][..],
            &["run", "--metrics", "9464"],
            &["run", "--format", "xml"],
            &["run", "--record-secrets"],
            &["replay"],
            &["nonsense"],
            &[],
            &["check-config", "/nonexistent.toml"],
        ] {
            assert_eq!(command(args).unwrap_err().report(), Exit::Usage, "{args:?}");
        }
        for args in [&["--help"][..], &["--version"], &["run", "--help"]] {
            assert_eq!(command(args).unwrap_err().report(), Exit::Done, "{args:?}");
        }
        let said = command(&["run", "--duration", "soon"])
            .unwrap_err()
            .to_string();
        assert!(
            said.contains("--duration") && said.contains("such as 60s"),
            "{said}"
        );
    }

    #[test]
    fn every_command_has_examples() {
        let root = Args::command();
        let audit = root.find_subcommand("audit").unwrap();
        for sub in root.get_subcommands().chain(audit.get_subcommands()) {
            let help = sub
                .get_after_help()
                .map(ToString::to_string)
                .unwrap_or_default();
            assert!(help.contains("Examples:\n"), "{}", sub.get_name());
        }
    }
}
