//! What the program says to a person who uses it wrongly, or without the rights it needs. None of
//! these needs root, but dropping root's rights does.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::Duration;

use anyhow::{Result, ensure};
use observer_tests::agent::binary;
use observer_tests::requires;
use observer_tests::running::run;
use tempfile::TempDir;

const LIMIT: Duration = Duration::from_secs(15);

fn observer(arguments: &[&str]) -> Result<Output> {
    run(Command::new(binary()?).args(arguments), LIMIT)
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn the_version_is_told() -> Result<()> {
    let Some(_turn) = requires(&[]) else {
        return Ok(());
    };
    let output = observer(&["--version"])?;
    ensure!(output.status.success());
    ensure!(
        String::from_utf8_lossy(&output.stdout).starts_with("observer "),
        "{output:?}"
    );
    Ok(())
}

#[test]
fn shell_completions_are_those_of_the_shell() -> Result<()> {
    let Some(_turn) = requires(&["bash"]) else {
        return Ok(());
    };
    let output = observer(&["completions", "bash"])?;
    ensure!(output.status.success(), "{}", said(&output));
    let script = String::from_utf8(output.stdout)?;
    ensure!(script.contains("replay") && script.contains("doctor"));
    let file = TempDir::new()?;
    let path = file.path().join("completions");
    fs::write(&path, script)?;
    ensure!(
        run(Command::new("bash").arg("-n").arg(&path), LIMIT)?
            .status
            .success()
    );
    Ok(())
}

#[test]
fn an_unknown_command_is_a_usage_error() -> Result<()> {
    let Some(_turn) = requires(&[]) else {
        return Ok(());
    };
    for arguments in [
        &["frobnicate"][..],
        &["run", "--frobnicate"],
        &["run", "--format", "xml"],
    ] {
        let output = observer(arguments)?;
        ensure!(output.status.code() == Some(2), "{arguments:?}: {output:?}");
        ensure!(!said(&output).is_empty());
    }
    Ok(())
}

#[test]
fn an_unknown_setting_is_named_with_its_line() -> Result<()> {
    let Some(_turn) = requires(&[]) else {
        return Ok(());
    };
    let folder = TempDir::new()?;
    let file = folder.path().join("observer.toml");
    fs::write(&file, "# settings\n\nno_such_setting = 1\n")?;
    let file = file.display().to_string();
    for arguments in [
        &["check-config", &file][..],
        &["run", "--duration", "1s", "--config", &file],
    ] {
        let output = observer(arguments)?;
        let said = said(&output);
        ensure!(
            output.status.code() == Some(2),
            "{arguments:?}: {}: {said}",
            output.status
        );
        ensure!(
            said.contains("no_such_setting"),
            "the key is not named: {said}"
        );
        ensure!(said.contains('3'), "the line is not named: {said}");
        ensure!(!said.contains("panicked"), "{said}");
    }
    Ok(())
}

#[test]
fn a_missing_settings_file_is_named() -> Result<()> {
    let Some(_turn) = requires(&[]) else {
        return Ok(());
    };
    let output = observer(&[
        "run",
        "--duration",
        "1s",
        "--config",
        "/no/such/observer.toml",
    ])?;
    ensure!(output.status.code() == Some(2), "{output:?}");
    ensure!(
        said(&output).contains("/no/such/observer.toml"),
        "{output:?}"
    );
    Ok(())
}

/// The built program where everybody may run it.
fn for_everybody() -> Result<(TempDir, PathBuf)> {
    let folder = TempDir::new()?;
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755))?;
    let path = folder.path().join("observer");
    fs::copy(binary()?, &path)?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
    Ok((folder, path))
}

#[test]
fn without_privileges_the_missing_capability_and_a_command_are_named() -> Result<()> {
    let Some(_turn) = requires(&["root", "setpriv"]) else {
        return Ok(());
    };
    let (folder, program) = for_everybody()?;
    let state = folder.path().join("state");
    fs::create_dir(&state)?;
    fs::set_permissions(&state, fs::Permissions::from_mode(0o777))?;
    let output = run(
        Command::new("setpriv")
            .args([
                "--reuid=65534",
                "--regid=65534",
                "--clear-groups",
                "--inh-caps=-all",
            ])
            .arg(&program)
            .args(["run", "--format", "jsonl", "--duration", "1s", "--metrics"])
            .arg(format!("127.0.0.1:{}", observer_tests::port::free()))
            .arg("--state-dir")
            .arg(&state),
        LIMIT,
    )?;
    let said = said(&output);
    ensure!(output.status.code() == Some(3), "{}: {said}", output.status);
    ensure!(
        said.contains("CAP_BPF") || said.contains("CAP_SYS_ADMIN"),
        "no capability: {said}"
    );
    ensure!(
        said.contains("sudo ") || said.contains("setcap "),
        "no command: {said}"
    );
    ensure!(!said.contains("panicked"), "{said}");
    Ok(())
}
