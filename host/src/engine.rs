//! The component, compiled and ready to be instantiated.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use wasmtime::component::{Component, Linker};
use wasmtime::{
    Cache, CacheConfig, Config, Engine, EngineWeak, InstanceAllocationStrategy, PoolingAllocationConfig,
};
use wasmtime_wasi_http::p3::bindings::ServicePre;

use crate::queue;
use crate::settings::Settings;
use crate::state::State;

/// How often a busy guest is made to yield.
const TICK: Duration = Duration::from_millis(10);

/// The edge component, ready to serve.
pub struct Host {
    pub(crate) loaded: Arc<Loaded>,
}

impl std::fmt::Debug for Host {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Host").field("limits", &self.loaded.settings.limits).finish_non_exhaustive()
    }
}

impl Host {
    /// Compiles the component, or takes it from the cache, and links it to what it may use.
    ///
    /// It blocks: a component of a few hundred kilobytes takes a fraction of a second to compile.
    ///
    /// # Errors
    /// [`LoadError`], when the settings do not describe a component that can be run here.
    pub fn load(settings: Settings) -> Result<Self, LoadError> {
        let engine = Engine::new(&config(&settings)?).map_err(LoadError::Engine)?;
        let component = Component::new(&engine, &settings.component).map_err(LoadError::Component)?;
        let component = link(&engine, &component).map_err(LoadError::Link)?;
        keep_time(engine.weak()).map_err(LoadError::Thread)?;
        let settings = Settings { component: Vec::new(), ..settings };
        Ok(Self { loaded: Arc::new(Loaded { component, settings }) })
    }
}

/// Why a component cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The cache folder cannot be used.
    #[error("the cache of compiled components cannot be used")]
    Cache(#[source] wasmtime::Error),
    /// The engine cannot be set up on this machine.
    #[error("the WebAssembly engine cannot be set up")]
    Engine(#[source] wasmtime::Error),
    /// The bytes are no component.
    #[error("the edge component cannot be compiled")]
    Component(#[source] wasmtime::Error),
    /// The component imports what is not given to it, or exports no HTTP handler.
    #[error("the edge component does not fit this host")]
    Link(#[source] wasmtime::Error),
    /// The thread that keeps the guest's time cannot be started.
    #[error("a thread cannot be started")]
    Thread(#[source] std::io::Error),
}

/// A component that is compiled and linked.
pub(crate) struct Loaded {
    pub(crate) component: ServicePre<State>,
    pub(crate) settings: Settings,
}

impl Loaded {
    pub(crate) fn engine(&self) -> &Engine {
        self.component.engine()
    }
}

fn config(settings: &Settings) -> Result<Config, LoadError> {
    let limits = &settings.limits;
    // A request has at worst an instance of its own; the others are ending ones.
    let instances = u32::try_from(limits.requests.saturating_mul(2)).unwrap_or(u32::MAX);
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(instances)
        .total_memories(instances)
        .total_stacks(instances.saturating_mul(2))
        .max_memory_size(limits.memory)
        .max_memories_per_component(1);
    let mut config = Config::new();
    config
        .wasm_component_model_async(true)
        .epoch_interruption(true)
        .allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    if let Some(folder) = &settings.cache {
        let mut cache = CacheConfig::new();
        cache.with_directory(folder);
        config.cache(Some(Cache::new(cache).map_err(LoadError::Cache)?));
    }
    Ok(config)
}

fn link(engine: &Engine, component: &Component) -> wasmtime::Result<ServicePre<State>> {
    let mut linker = Linker::new(engine);
    // The standard library of a component for wasm32-wasip2 speaks WASI 0.2, the SDK speaks 0.3.
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    wasmtime_wasi::p3::add_to_linker(&mut linker)?;
    wasmtime_wasi_http::p3::add_to_linker(&mut linker)?;
    queue::add_to_linker(&mut linker)?;
    ServicePre::new(linker.instantiate_pre(component)?)
}

/// Advances the engine's epoch for as long as the engine lives.
///
/// A thread of its own, since guests that never yield may hold every thread of the runtime.
fn keep_time(engine: EngineWeak) -> std::io::Result<()> {
    thread::Builder::new().name("edge-epoch".into()).spawn(move || {
        while let Some(engine) = engine.upgrade() {
            engine.increment_epoch();
            drop(engine);
            thread::sleep(TICK);
        }
    })?;
    Ok(())
}
