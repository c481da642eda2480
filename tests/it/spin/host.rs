//! A stand-in for Spin: WASI, outgoing HTTP, `spin:redis`, `spin:variables`, and instance reuse.

mod outgoing;
mod redis;
mod serve;
mod variables;

use std::sync::{Arc, LazyLock};

use wasmtime::component::{Component, Linker, ResourceTable};
use wasmtime::{Config, Engine};
use wasmtime_wasi::{WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};
use wasmtime_wasi_http::p3::bindings::ServicePre;
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

pub(super) use serve::SpinHost;

use self::outgoing::{ConnectionPool, OutgoingHttp};
use super::compose::SpinQueue;
use super::manifest::ComponentGrants;

/// Returns the composed component, compiled once for all tests.
fn loaded(queue: SpinQueue) -> &'static ServicePre<SpinState> {
    static REDIS: LazyLock<ServicePre<SpinState>> = LazyLock::new(|| load(SpinQueue::Redis));
    static SQS: LazyLock<ServicePre<SpinState>> = LazyLock::new(|| load(SpinQueue::Sqs));
    match queue {
        SpinQueue::Redis => &REDIS,
        SpinQueue::Sqs => &SQS,
    }
}

fn load(queue: SpinQueue) -> ServicePre<SpinState> {
    let mut config = Config::new();
    config.wasm_component_model_async(true);
    let engine = Engine::new(&config).unwrap();
    let mut linker = Linker::new(&engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker).unwrap();
    wasmtime_wasi::p3::add_to_linker(&mut linker).unwrap();
    wasmtime_wasi_http::p3::add_to_linker(&mut linker).unwrap();
    redis::add_to_linker(&mut linker);
    variables::add_to_linker(&mut linker);
    let component = Component::new(&engine, queue.composed()).unwrap();
    ServicePre::new(linker.instantiate_pre(&component).unwrap()).unwrap()
}

/// Host state of one instance.
struct SpinState {
    grants: Arc<ComponentGrants>,
    table: ResourceTable,
    wasi: WasiCtx,
    http: WasiHttpCtx,
    outgoing: OutgoingHttp,
}

impl SpinState {
    fn new(grants: Arc<ComponentGrants>, pool: ConnectionPool) -> Self {
        Self {
            outgoing: OutgoingHttp { grants: Arc::clone(&grants), pool },
            grants,
            table: ResourceTable::new(),
            wasi: WasiCtxBuilder::new().inherit_stderr().build(),
            http: WasiHttpCtx::new(),
        }
    }

    fn view(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView { hooks: &mut self.outgoing, table: &mut self.table, ctx: &mut self.http }
    }
}

impl WasiView for SpinState {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl WasiHttpView for SpinState {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        self.view()
    }
}
