//! Whether the kernel preempts its own code.
//!
//! In: what it says of itself. Out: the model in force. Where it preempts, it passes over programs
//! at functions that another thread was stopped in on the same processor.

use std::fs;

/// How the kernel preempts its own code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Preemption {
    /// `none`, `voluntary`, `full`, `lazy`, `rt`, or that it is not known.
    pub(super) model: String,
    /// Whether a program may be stopped for another thread.
    pub(super) of_programs: bool,
}

impl Preemption {
    /// Of the kernel that runs.
    pub(super) fn of_this_kernel() -> Self {
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        Self::told(
            &read("/proc/sys/kernel/version"),
            &read("/sys/kernel/debug/sched/preempt"),
            &read("/proc/cmdline"),
        )
    }

    /// `version` is how the kernel was built (`scripts/mkcompile_h`, later `init/Makefile`); where
    /// that leaves it open, `now` tells the model in force in brackets (`sched_dynamic_show` of
    /// `kernel/sched/debug.c`), and `words` are the command line.
    fn told(version: &str, now: &str, words: &str) -> Self {
        let built = version
            .split_whitespace()
            .find(|word| word.starts_with("PREEMPT"));
        let model = match built {
            None => "none",
            Some("PREEMPT_RT") => "rt",
            Some("PREEMPT_DYNAMIC") => bracketed(now)
                .or_else(|| {
                    words
                        .split_whitespace()
                        .find_map(|word| word.strip_prefix("preempt="))
                })
                .unwrap_or("not known"),
            Some("PREEMPT_LAZY") => "lazy",
            Some(_) => "full",
        };
        Self {
            model: model.to_owned(),
            of_programs: !matches!(model, "none" | "voluntary"),
        }
    }
}

fn bracketed(text: &str) -> Option<&str> {
    let (_, rest) = text.split_once('(')?;
    rest.split_once(')').map(|(word, _)| word)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(version: &str, now: &str, words: &str) -> (String, bool) {
        let Preemption { model, of_programs } = Preemption::told(version, now, words);
        (model, of_programs)
    }

    #[test]
    fn the_build_says_it_where_there_is_no_choice() {
        let model = |version| told(version, "", "");
        assert_eq!(
            model("#1 SMP Debian 5.10.262-1"),
            ("none".to_owned(), false)
        );
        assert_eq!(model("#1 SMP PREEMPT Mon"), ("full".to_owned(), true));
        assert_eq!(model("#1 SMP PREEMPT_RT Mon"), ("rt".to_owned(), true));
        assert_eq!(model("#1 SMP PREEMPT_LAZY"), ("lazy".to_owned(), true));
    }

    #[test]
    fn the_model_in_force_comes_before_the_command_line() {
        let dynamic = "#1 SMP PREEMPT_DYNAMIC Debian 7.3.4-1";
        let model = |now, words| told(dynamic, now, words);
        let full = ("full".to_owned(), true);
        let voluntary = ("voluntary".to_owned(), false);
        assert_eq!(model("none voluntary (full) lazy\n", "preempt=none"), full);
        assert_eq!(model("none (voluntary) full\n", ""), voluntary);
        assert_eq!(model("", "quiet preempt=voluntary"), voluntary);
        assert_eq!(model("", "quiet"), ("not known".to_owned(), true));
    }
}
