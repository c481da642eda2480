//! The program as a shell sees it, up to where it needs servers.
//!
//! It stands here because cargo builds a program for the tests of its own package only; with it, the tests of the
//! workspace leave a current program.

#![expect(clippy::unwrap_used, reason = "a test fails by it")]

use std::process::Command;

fn run(flags: &[&str]) -> (bool, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_chargegate-load"));
    for variable in ["CHARGEGATE_PROGRAM", "CHARGEGATE_EDGE_COMPONENT", "REDIS_URL", "DATABASE_URL"] {
        command.env_remove(variable);
    }
    let output = command.args(flags).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.success(), text(output.stdout), text(output.stderr))
}

const GIVEN: [&str; 4] = [
    "--program=nowhere",
    "--edge-component=nowhere",
    "--redis-url=redis://127.0.0.1:1",
    "--database-url=postgres://x",
];

#[test]
fn help_tells_every_mode() {
    let (success, help, _) = run(&["--help"]);
    assert!(success);
    for flag in ["--rate", "--find-peak", "--drain", "--soak", "--json"] {
        assert!(help.contains(flag), "{flag}");
    }
}

#[test]
fn a_flag_that_does_not_fit_is_named() {
    for (flags, named) in [
        (vec!["--rate", "none"], "--rate"),
        (vec!["--drain", "5", "--soak", "1m"], "--soak"),
        (vec!["--window", "1"], "--window"),
    ] {
        let (success, out, error) = run(&[&GIVEN[..], &flags].concat());
        assert!(!success && error.contains(named), "{flags:?}: {error}");
        assert_eq!(out, "", "nothing but a report goes to standard output");
    }
}

#[test]
fn a_server_that_is_not_there_is_named() {
    let (success, _, error) = run(&GIVEN);
    assert!(!success && error.contains("REDIS_URL"), "{error}");
}
