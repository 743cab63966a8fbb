//! The folder of rules: read at the start, and again when it changes or on SIGHUP.

use std::path::PathBuf;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use crate::config::Settings;
use crate::rules::{FolderState, RuleError, RuleSet};

/// How often the folder is looked at.
pub(super) const LOOK: Duration = Duration::from_secs(1);

/// What happened to the rules.
#[derive(Debug)]
pub(super) enum RuleNews {
    /// These are in force from now on.
    Changed(RuleSet),
    /// What is in the folder now is wrong: those before stay in force.
    Refused(String),
}

/// Watches the folder.
#[derive(Debug)]
pub(super) struct RuleWatch {
    folder: Option<PathBuf>,
    /// Of the rules that were read last, taken or not.
    read: FolderState,
    /// At the look before this one.
    seen: FolderState,
    news: Sender<RuleNews>,
}

/// The rules that the settings name; none if they name none.
pub(super) fn load(settings: &Settings) -> Result<RuleSet, RuleError> {
    settings
        .rules
        .as_deref()
        .map_or_else(|| Ok(RuleSet::default()), RuleSet::load)
}

/// Reads the rules; returns what watches them, and where it tells of others.
pub(super) fn start(
    settings: &Settings,
) -> Result<(RuleSet, RuleWatch, Receiver<RuleNews>), RuleError> {
    let (news, told) = channel();
    let state = settings
        .rules
        .as_deref()
        .map(FolderState::of)
        .unwrap_or_default();
    let watch = RuleWatch {
        folder: settings.rules.clone(),
        read: state.clone(),
        seen: state,
        news,
    };
    Ok((load(settings)?, watch, told))
}

impl RuleWatch {
    /// Looks whether the folder is another than the one that was read, and stays as it is: who
    /// writes a file needs a moment.
    pub(super) fn look(&mut self) {
        let Some(folder) = &self.folder else { return };
        let now = FolderState::of(folder);
        let settled = now == self.seen;
        self.seen = now;
        if settled && self.seen != self.read {
            self.read_again();
        }
    }

    /// Reads the rules, whether they changed or not.
    pub(super) fn read_again(&mut self) {
        let Some(folder) = &self.folder else {
            tracing::info!("there are no rules to read again: the settings name no folder of them");
            return;
        };
        self.read = FolderState::of(folder);
        let news = match RuleSet::load(folder) {
            Ok(set) => {
                tracing::info!(
                    rules = set.len(),
                    "the rules were read again and are in force"
                );
                RuleNews::Changed(set)
            }
            Err(error) => {
                tracing::error!(%error, "the rules were read again and are wrong: those before stay in force");
                RuleNews::Refused(error.to_string())
            }
        };
        // Nobody listens any more while the agent ends.
        drop(self.news.send(news));
    }
}

#[cfg(test)]
mod tests {
    use super::{RuleNews, start};
    use crate::config::Settings;
    use std::fs;

    const RULE: &str = "title: a\ndetection:\n  s: {method: GET}\n  condition: s\n";

    #[test]
    fn a_changed_folder_is_read_once_it_rests_and_a_wrong_one_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.yml");
        fs::write(&file, RULE).unwrap();
        let settings = Settings {
            rules: Some(folder.path().to_owned()),
            ..Settings::default()
        };
        let (set, mut watch, news) = start(&settings).unwrap();
        assert_eq!(set.len(), 1);
        watch.look();
        watch.look();
        assert!(news.try_recv().is_err(), "nothing changed");

        fs::write(folder.path().join("b.yaml"), RULE.replace('a', "b")).unwrap();
        fs::write(folder.path().join(".c.yml.swp"), "no rule").unwrap();
        watch.look();
        assert!(news.try_recv().is_err(), "it may still be written");
        watch.look();
        assert!(matches!(news.try_recv(), Ok(RuleNews::Changed(set)) if set.len() == 2));

        fs::write(&file, "title: nothing else\n").unwrap();
        watch.look();
        watch.look();
        assert!(matches!(news.try_recv(), Ok(RuleNews::Refused(_))));
        watch.look();
        assert!(news.try_recv().is_err(), "the same fault is told once");

        fs::write(&file, RULE).unwrap();
        watch.read_again();
        assert!(matches!(news.try_recv(), Ok(RuleNews::Changed(set)) if set.len() == 2));
    }

    #[test]
    fn a_folder_that_is_not_there_is_an_error_at_the_start() {
        let settings = Settings {
            rules: Some("/nonexistent/rules".into()),
            ..Settings::default()
        };
        let error = start(&settings).unwrap_err().to_string();
        assert!(error.contains("/nonexistent/rules"), "{error}");
    }
}
