//! Capabilities that each component imports.

use super::compose::{SpinQueue, imports};
use super::manifest::SpinManifest;
use crate::host::support::component;

/// Imports that cannot leave the process or read secrets.
const HARMLESS: [&str; 6] = [
    "wasi:cli/",
    "wasi:clocks/",
    "wasi:http/types@",
    "wasi:io/",
    "wasi:random/",
    // Only preopened directories are accessible, and there are none.
    "wasi:filesystem/",
];

fn capabilities(component: &[u8]) -> Vec<String> {
    let mut imports = imports(component);
    imports.retain(|import| !HARMLESS.iter().any(|harmless| import.starts_with(harmless)));
    imports.sort_unstable();
    imports
}

#[test]
fn the_edge_imports_only_its_queue_and_its_settings() {
    let edge = component("CHARGEGATE_EDGE_COMPONENT");
    assert_eq!(capabilities(&edge), ["chargegate:edge/queue@0.1.0", "spin:variables/variables@3.0.0"]);
}

#[track_caller]
fn check(queue: SpinQueue, expected: [&str; 2]) {
    assert_eq!(capabilities(&queue.component()), expected);
    assert_eq!(capabilities(queue.composed()), expected, "the composition imports no more");
}

#[test]
fn each_queue_imports_only_its_kind_of_server_and_its_settings() {
    check(SpinQueue::Redis, ["spin:redis/redis@3.0.0", "spin:variables/variables@3.0.0"]);
    check(SpinQueue::Sqs, ["spin:variables/variables@3.0.0", "wasi:http/client@0.3.0"]);
}

#[test]
fn a_queue_inherits_the_configuration_that_it_uses() {
    let manifest = SpinManifest::read();
    let inherited = manifest.edge().dependencies.values().map(|queue| &queue.inherit_configuration);
    assert_eq!(inherited.collect::<Vec<_>>(), [&["allowed_outbound_hosts", "variables"]]);
}
