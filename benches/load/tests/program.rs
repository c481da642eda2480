//! Tests of the program's command line that need no servers.
//!
//! Cargo builds a program for the integration tests of its own package only, so these tests also make `cargo test` build
//! the current program for the other packages.

#![expect(clippy::unwrap_used, reason = "a panic fails the test")]

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

const TARGET_FLAGS: [&str; 4] = [
    "--program=nowhere",
    "--redis-url=redis://127.0.0.1:1",
    "--database-url=postgres://x",
    "--edge-component=nowhere",
];
/// The same for `overload`, which uses no edge.
const OVERLOAD_FLAGS: [&str; 4] = ["overload", TARGET_FLAGS[0], TARGET_FLAGS[1], TARGET_FLAGS[2]];

#[test]
fn help_lists_every_mode() {
    let (success, help, _) = run(&["--help"]);
    assert!(success);
    for flag in ["--rate", "--find-peak", "--drain", "--soak", "--json"] {
        assert!(help.contains(flag), "{flag}");
    }
}

#[test]
fn an_invalid_flag_is_named_in_the_error() {
    for (flags, named) in [
        (vec!["--rate", "none"], "--rate"),
        (vec!["--drain", "5", "--soak", "1m"], "--soak"),
        (vec!["--window", "1"], "--window"),
    ] {
        let (success, out, error) = run(&[&TARGET_FLAGS[..], &flags].concat());
        assert!(!success && error.contains(named), "{flags:?}: {error}");
        assert_eq!(out, "", "nothing but a report goes to standard output");
    }
}

#[test]
fn an_unreachable_server_is_named_in_the_error() {
    let (success, _, error) = run(&TARGET_FLAGS);
    assert!(!success && error.contains("REDIS_URL"), "{error}");
}

#[test]
fn an_overload_test_has_flags_of_its_own() {
    let (success, help, _) = run(&["overload", "--help"]);
    assert!(success && help.contains("cargo xtask bench overload"), "{help}");
    for flag in ["--workers", "--slots", "--seconds", "--disturb", "--short", "--assert", "--json"] {
        assert!(help.contains(flag), "{flag}");
    }
    for (flags, named) in [
        (["--seconds", "241"], "--seconds"),
        (["--capacity", "1000000"], "--capacity"),
        (["--rate", "5"], "--rate"),
    ] {
        let (success, out, error) = run(&[&OVERLOAD_FLAGS[..], &flags].concat());
        assert!(!success && out.is_empty() && error.contains(named), "{flags:?}: {error}");
    }
    let (success, _, error) = run(&[&OVERLOAD_FLAGS[..], &["--json"]].concat());
    assert!(!success && error.contains("REDIS_URL"), "{error}");
}
