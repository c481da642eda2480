//! What each component asks for, and so what it can use of what is granted.

use super::compose::{COMPOSED, imports};
use super::manifest::Manifest;
use crate::host::support::component;

/// What lets nothing out of the process and no secret in.
const HARMLESS: [&str; 6] = [
    "wasi:cli/",
    "wasi:clocks/",
    "wasi:http/types@",
    "wasi:io/",
    "wasi:random/",
    // Only what is opened before, and nothing is.
    "wasi:filesystem/",
];

fn capabilities(component: &[u8]) -> Vec<String> {
    let mut imports = imports(component);
    imports.retain(|import| !HARMLESS.iter().any(|harmless| import.starts_with(harmless)));
    imports.sort_unstable();
    imports
}

#[test]
fn the_edge_itself_can_reach_nothing_but_its_queue_and_its_settings() {
    let edge = component("CHARGEGATE_EDGE_COMPONENT");
    assert_eq!(capabilities(&edge), ["chargegate:edge/queue@0.1.0", "spin:variables/variables@3.0.0"]);
}

#[test]
fn the_queue_inherits_what_it_uses_and_no_more() {
    let queue = component("CHARGEGATE_QUEUE_REDIS_COMPONENT");
    assert_eq!(capabilities(&queue), ["spin:redis/redis@3.0.0", "spin:variables/variables@3.0.0"]);
    let manifest = Manifest::read();
    let inherited = manifest.edge().dependencies.values().map(|queue| &queue.inherit_configuration);
    assert_eq!(inherited.collect::<Vec<_>>(), [&["allowed_outbound_hosts", "variables"]]);
}

#[test]
fn the_whole_asks_spin_for_redis_and_variables() {
    assert_eq!(capabilities(&COMPOSED), ["spin:redis/redis@3.0.0", "spin:variables/variables@3.0.0"]);
}
