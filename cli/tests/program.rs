//! The program as a shell sees it: output, errors and exit statuses.
//!
//! These tests are not with the other integration tests because cargo builds a program only for the tests of its own
//! package. Because they are here, `cargo test --workspace` leaves a current program for all other tests.

#![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

use std::fs;
use std::io::{BufRead as _, BufReader, Read};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

/// Deadline of a wait for a process, generous enough for a slow and busy machine.
const TEST_DEADLINE: Duration = Duration::from_mins(1);

fn chargegate(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_chargegate"));
    command.args(args);
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("CHARGEGATE_")) {
        command.env_remove(name);
    }
    command
}

fn texts(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (text(&output.stdout), text(&output.stderr))
}

/// A running `chargegate` process, killed when dropped.
struct ChargegateProcess(Child);

impl Drop for ChargegateProcess {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts the reference authorization service on a free port and returns its base URL.
fn acl() -> (ChargegateProcess, String) {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/acl.sample.toml");
    let mut command = chargegate(&["acl", "--listen", "127.0.0.1:0"]);
    let mut child = command.env("CHARGEGATE_ACL_FILE", file).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let url = line.split_whitespace().find(|word| word.starts_with("http://")).unwrap().to_owned();
    (ChargegateProcess(child), url)
}

#[test]
fn a_failure_is_one_line_that_names_the_remedy() {
    let output = chargegate(&["acl", "--file", "no-such-file.toml"]).output().unwrap();
    let (stdout, stderr) = texts(&output);
    assert_eq!((output.status.code(), stdout.as_str()), (Some(1), ""));
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    assert!(stderr.starts_with("error: ") && stderr.contains("CHARGEGATE_ACL_FILE"), "{stderr}");
}

#[test]
fn unknown_flags_and_values_are_refused() {
    for args in [
        &["send", "--speed", "1"][..],
        &["send", "--rate", "0"],
        &["send", "--duration", "1"],
        &["send", "--duration", "1s"],
    ] {
        assert_eq!(chargegate(args).output().unwrap().status.code(), Some(2), "{args:?}");
    }
}

#[test]
fn a_refused_request_prints_its_problem_and_fails() {
    let (_acl, url) = acl();
    let output = chargegate(&["send", "--url", &url]).output().unwrap();
    let (stdout, stderr) = texts(&output);
    assert_eq!((output.status.code(), stdout.as_str()), (Some(1), ""));
    assert!(stderr.starts_with("error: refused with 404: Not Found: "), "{stderr}");
}

#[test]
fn standard_output_is_only_the_json_object() {
    let (_acl, url) = acl();
    let args = ["send", "--url", &url, "--rate", "100", "--duration", "100ms", "--json"];
    let output = chargegate(&args).output().unwrap();
    let (stdout, _) = texts(&output);
    assert_eq!((output.status.code(), stdout.lines().count()), (Some(0), 1));
    let report: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!((&report["sent"], &report["refused"]), (&10.into(), &10.into()));
}

/// Returns the lines of a stream as they arrive.
fn lines(stream: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, lines) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            let _ = sender.send(line);
        }
    });
    lines
}

#[test]
fn the_authorization_service_loads_its_file_again_when_it_changes() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("acl.toml");
    // Renamed into place, so that no half-written file is ever read.
    let replace = |content: &str| {
        let new = folder.path().join("new.toml");
        fs::write(&new, content).unwrap();
        fs::rename(&new, &file).unwrap();
    };
    replace("");
    let mut command = chargegate(&["acl", "--listen", "127.0.0.1:0"]);
    command.env("CHARGEGATE_ACL_FILE", &file).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut process = ChargegateProcess(command.spawn().unwrap());
    let (stdout, stderr) = (process.0.stdout.take().unwrap(), process.0.stderr.take().unwrap());
    let (stdout, stderr) = (lines(stdout), lines(stderr));
    assert!(stdout.recv_timeout(TEST_DEADLINE).unwrap().ends_with("(0 tokens)"));
    replace("[[token]]\ntoken = 7\n");
    let warning = stderr.recv_timeout(TEST_DEADLINE).unwrap();
    assert!(warning.starts_with("warning: the table in use is kept: "), "{warning}");
    assert!(warning.contains("acl.toml, line 2: "), "{warning}");
    replace("[[token]]\ntoken = \"a-token\"\naccess = \"all\"\n");
    let reloaded = stdout.recv_timeout(TEST_DEADLINE).unwrap();
    assert!(reloaded.starts_with("acl reloaded ") && reloaded.ends_with("(1 tokens)"), "{reloaded}");
}

#[test]
fn flags_of_the_simulation_that_do_not_fit_together_are_refused() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/acl.sample.toml");
    for (flags, code, named) in [
        (&["--contention"][..], 2, "--capacity"),
        (&["--fail-rate", "1.1"], 2, "--fail-rate"),
        (&["--delay", "2s,1s"], 2, "99th percentile"),
        (&["--retry-after", "86401"], 2, "--retry-after"),
        (&["--retry-after", "1"], 1, "CHARGEGATE_ACL_RETRY_AFTER"),
        (&["--fail-rate", "0.6", "--hang-rate", "0.6"], 1, "CHARGEGATE_ACL_HANG_RATE"),
    ] {
        let output = chargegate(&[&["acl", "--file", file], flags].concat()).output().unwrap();
        let (_, stderr) = texts(&output);
        assert_eq!(output.status.code(), Some(code), "{flags:?}: {stderr}");
        assert!(stderr.contains(named), "{flags:?}: {stderr}");
    }
}
