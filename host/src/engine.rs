//! Loading: compiling the component and linking it to its imports.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use wasmtime::component::{Component, Linker};
use wasmtime::{
    Cache, CacheConfig, Config, Engine, EngineWeak, InstanceAllocationStrategy, PoolingAllocationConfig,
};
use wasmtime_wasi_http::p3::bindings::ServicePre;

use crate::queue;
use crate::settings::HostSettings;
use crate::state::InstanceState;

/// Interval of the epochs at which a busy guest yields.
const EPOCH_INTERVAL: Duration = Duration::from_millis(10);

/// The edge component, compiled and ready to serve.
pub struct EdgeComponentHost {
    pub(crate) loaded: Arc<LoadedComponent>,
}

impl std::fmt::Debug for EdgeComponentHost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EdgeComponentHost")
            .field("limits", &self.loaded.settings.limits)
            .finish_non_exhaustive()
    }
}

impl EdgeComponentHost {
    /// Compiles the component, or reads it from the cache, and links it to its imports.
    ///
    /// This call blocks: compiling a component of a few hundred kilobytes takes a fraction of a second.
    ///
    /// # Errors
    /// Returns a [`ComponentLoadError`] if the settings do not describe a component that can run here.
    pub fn load(settings: HostSettings) -> Result<Self, ComponentLoadError> {
        let engine = Engine::new(&config(&settings)?).map_err(ComponentLoadError::Engine)?;
        let component =
            Component::new(&engine, &settings.component).map_err(ComponentLoadError::Component)?;
        let component = link(&engine, &component).map_err(ComponentLoadError::Link)?;
        spawn_epoch_thread(engine.weak()).map_err(ComponentLoadError::Thread)?;
        let settings = HostSettings { component: Vec::new(), ..settings };
        Ok(Self { loaded: Arc::new(LoadedComponent { component, settings }) })
    }
}

/// The reason why a component cannot be loaded.
#[derive(Debug, thiserror::Error)]
pub enum ComponentLoadError {
    /// The cache folder cannot be used.
    #[error("the cache of compiled components cannot be used")]
    Cache(#[source] wasmtime::Error),
    /// The engine cannot be set up on this machine.
    #[error("the WebAssembly engine cannot be set up")]
    Engine(#[source] wasmtime::Error),
    /// The bytes are not a valid component.
    #[error("the edge component cannot be compiled")]
    Component(#[source] wasmtime::Error),
    /// The component has an import that the host does not provide, or does not export an HTTP handler.
    #[error("the edge component does not fit this host")]
    Link(#[source] wasmtime::Error),
    /// The thread that advances the epoch cannot be started.
    #[error("the epoch thread cannot be started")]
    Thread(#[source] std::io::Error),
}

/// A compiled and linked component with its settings.
pub(crate) struct LoadedComponent {
    pub(crate) component: ServicePre<InstanceState>,
    pub(crate) settings: HostSettings,
}

impl LoadedComponent {
    pub(crate) fn engine(&self) -> &Engine {
        self.component.engine()
    }
}

fn config(settings: &HostSettings) -> Result<Config, ComponentLoadError> {
    let limits = &settings.limits;
    // In the worst case each request has its own instance, and as many instances are being dropped.
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
        config.cache(Some(Cache::new(cache).map_err(ComponentLoadError::Cache)?));
    }
    Ok(config)
}

fn link(engine: &Engine, component: &Component) -> wasmtime::Result<ServicePre<InstanceState>> {
    let mut linker = Linker::new(engine);
    // The standard library of wasm32-wasip2 imports WASI 0.2, the SDK imports WASI 0.3.
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    wasmtime_wasi::p3::add_to_linker(&mut linker)?;
    wasmtime_wasi_http::p3::add_to_linker(&mut linker)?;
    queue::add_to_linker(&mut linker)?;
    ServicePre::new(linker.instantiate_pre(component)?)
}

/// Spawns a thread that advances the engine's epoch until the engine is dropped.
///
/// A task would not do: guests that never yield may occupy every thread of the runtime.
fn spawn_epoch_thread(engine: EngineWeak) -> std::io::Result<()> {
    thread::Builder::new().name("edge-epoch".into()).spawn(move || {
        while let Some(engine) = engine.upgrade() {
            engine.increment_epoch();
            drop(engine);
            thread::sleep(EPOCH_INTERVAL);
        }
    })?;
    Ok(())
}
