//! The store data of one instance.

use std::sync::Arc;

use chargegate_storage::queue::Producer;
use wasmtime::component::ResourceTable;
use wasmtime::{StoreLimits, StoreLimitsBuilder};
use wasmtime_wasi::{WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};
use wasmtime_wasi_http::{
    Error, RequestOptions, WasiBody, WasiHttpCtx, WasiHttpCtxView, WasiHttpHooks, WasiHttpView,
};

use crate::settings::HostSettings;

/// The data of one instance's store.
pub(crate) struct InstanceState {
    pub(crate) queue: Arc<dyn Producer>,
    pub(crate) limits: StoreLimits,
    table: ResourceTable,
    wasi: WasiCtx,
    http: WasiHttpCtx,
    hooks: NoOutgoingHttp,
}

impl InstanceState {
    pub(crate) fn new(settings: &HostSettings, queue: Arc<dyn Producer>) -> Self {
        Self {
            queue,
            limits: StoreLimitsBuilder::new().memory_size(settings.limits.memory).build(),
            table: ResourceTable::new(),
            // Besides the variables the context grants nothing: no directory, no address, no output.
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

    /// Returns the part of the state that wasmtime-wasi-http uses.
    pub(crate) fn view(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView { hooks: &mut self.hooks, table: &mut self.table, ctx: &mut self.http }
    }
}

impl WasiView for InstanceState {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl WasiHttpView for InstanceState {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        self.view()
    }
}

/// Refuses every outgoing request of the component.
struct NoOutgoingHttp;

type TransmitFuture = Box<dyn Future<Output = Result<(), Error>> + Send>;
type SendResult = Result<(http::Response<WasiBody>, TransmitFuture), Error>;

impl WasiHttpHooks for NoOutgoingHttp {
    fn send_request(
        &mut self,
        _request: http::Request<WasiBody>,
        _options: Option<RequestOptions>,
        _io: TransmitFuture,
    ) -> Box<dyn Future<Output = SendResult> + Send> {
        Box::new(async { Err(Error::HttpRequestDenied) })
    }
}
