//! Composition by the manifest's dependency table, with the library that Spin uses.

use std::sync::LazyLock;

use wac_graph::types::Package;
use wac_graph::{CompositionGraph, EncodeOptions};

use super::manifest::SpinManifest;
use crate::host::support::component;

/// Queue component of the edge.
#[derive(Clone, Copy, Debug)]
pub(super) enum SpinQueue {
    /// The component in the manifest.
    Redis,
    /// The alternative in the manifest's comment.
    Sqs,
}

impl SpinQueue {
    /// Returns the queue component alone.
    pub(super) fn component(self) -> Vec<u8> {
        component(match self {
            Self::Redis => "CHARGEGATE_QUEUE_REDIS_COMPONENT",
            Self::Sqs => "CHARGEGATE_QUEUE_SQS_COMPONENT",
        })
    }

    /// Returns the edge composed with the queue component.
    pub(super) fn composed(self) -> &'static [u8] {
        static REDIS: LazyLock<Vec<u8>> = LazyLock::new(|| compose(SpinQueue::Redis));
        static SQS: LazyLock<Vec<u8>> = LazyLock::new(|| compose(SpinQueue::Sqs));
        match self {
            Self::Redis => &REDIS,
            Self::Sqs => &SQS,
        }
    }
}

fn compose(engine: SpinQueue) -> Vec<u8> {
    let mut graph = CompositionGraph::new();
    let edge = Package::from_bytes(
        "chargegate:edge",
        None,
        component("CHARGEGATE_EDGE_COMPONENT"),
        graph.types_mut(),
    );
    let edge = graph.register_package(edge.unwrap()).unwrap();
    let instance = graph.instantiate(edge);
    for import in SpinManifest::read().edge().dependencies.keys() {
        let dependency = Package::from_bytes(import, None, engine.component(), graph.types_mut()).unwrap();
        let dependency = graph.register_package(dependency).unwrap();
        let dependency = graph.instantiate(dependency);
        let export = graph.alias_instance_export(dependency, import).unwrap();
        graph.set_instantiation_argument(instance, import, export).unwrap();
    }
    let exports: Vec<_> = graph.types()[graph[edge].ty()].exports.keys().cloned().collect();
    for name in exports {
        let export = graph.alias_instance_export(instance, &name).unwrap();
        graph.export(export, name).unwrap();
    }
    graph.encode(EncodeOptions::default()).unwrap()
}

/// Returns the names of a component's imports.
pub(super) fn imports(bytes: &[u8]) -> Vec<String> {
    let mut graph = CompositionGraph::new();
    let package = Package::from_bytes("test:component", None, bytes.to_vec(), graph.types_mut()).unwrap();
    graph.types()[package.ty()].imports.keys().cloned().collect()
}
