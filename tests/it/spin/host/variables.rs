//! `spin:variables`.

use std::sync::Arc;

use wasmtime::component::{Accessor, HasSelf, Linker};

use super::SpinState;

mod bindings {
    wasmtime::component::bindgen!({
        inline: "package test:variables; world host { import spin:variables/variables@3.0.0; }",
        path: "../wit/deps/spin-variables-3.0.0",
        imports: { default: async | trappable },
    });
}

use bindings::spin::variables::variables;

pub(super) fn add_to_linker(linker: &mut Linker<SpinState>) {
    variables::add_to_linker::<_, HasSelf<SpinState>>(linker, |state| state).unwrap();
}

impl variables::Host for SpinState {}

impl<T: Send> variables::HostWithStore<T> for HasSelf<SpinState> {
    async fn get(
        accessor: &Accessor<T, Self>,
        name: String,
    ) -> wasmtime::Result<Result<String, variables::Error>> {
        let grants = accessor.with(|mut access| Arc::clone(&access.get().grants));
        Ok(grants.variables.get(&name).cloned().ok_or(variables::Error::Undefined(name)))
    }
}
