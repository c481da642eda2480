//! What one instance of the component has.

use std::sync::Arc;

use chargegate_storage::queue::Producer;
use wasmtime::component::ResourceTable;
use wasmtime::{StoreLimits, StoreLimitsBuilder};
use wasmtime_wasi::{WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};
use wasmtime_wasi_http::{
    Error, RequestOptions, WasiBody, WasiHttpCtx, WasiHttpCtxView, WasiHttpHooks, WasiHttpView,
};

use crate::settings::Settings;

/// The data of one instance's store.
pub(crate) struct State {
    pub(crate) queue: Arc<dyn Producer>,
    pub(crate) limits: StoreLimits,
    table: ResourceTable,
    wasi: WasiCtx,
    http: WasiHttpCtx,
    hooks: NoOutgoingHttp,
}

impl State {
    pub(crate) fn new(settings: &Settings, queue: Arc<dyn Producer>) -> Self {
        Self {
            queue,
            limits: StoreLimitsBuilder::new().memory_size(settings.limits.memory).build(),
            table: ResourceTable::new(),
            // Beyond the variables a context grants nothing by itself: no directory, no address, no output.
            wasi: WasiCtxBuilder::new()
                .envs(&settings.variables)
                .allow_tcp(false)
                .allow_udp(false)
                .allow_ip_name_lookup(false)
                .build(),
            http: WasiHttpCtx::new(),
            hooks: NoOutgoingHttp,
        }
    }

    /// Gives wasmtime-wasi-http its part of the state.
    pub(crate) fn view(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView { hooks: &mut self.hooks, table: &mut self.table, ctx: &mut self.http }
    }
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl WasiHttpView for State {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        self.view()
    }
}

/// Refuses every request the component would send.
struct NoOutgoingHttp;

type Io = Box<dyn Future<Output = Result<(), Error>> + Send>;
type Sent = Result<(http::Response<WasiBody>, Io), Error>;

impl WasiHttpHooks for NoOutgoingHttp {
    fn send_request(
        &mut self,
        _request: http::Request<WasiBody>,
        _options: Option<RequestOptions>,
        _io: Io,
    ) -> Box<dyn Future<Output = Sent> + Send> {
        Box::new(async { Err(Error::HttpRequestDenied) })
    }
}
