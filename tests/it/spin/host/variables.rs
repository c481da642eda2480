//! `spin:variables`.

use std::sync::Arc;

use wasmtime::component::{Accessor, HasSelf, Linker};

use super::State;

mod bindings {
    wasmtime::component::bindgen!({
        inline: "package test:variables; world host { import spin:variables/variables@3.0.0; }",
        path: "../wit/deps/spin-variables-3.0.0",
        imports: { default: async | trappable },
    });
}

use bindings::spin::variables::variables;

pub(super) fn add_to_linker(linker: &mut Linker<State>) {
    variables::add_to_linker::<_, HasSelf<State>>(linker, |state| state).unwrap();
}

impl variables::Host for State {}

impl<T: Send> variables::HostWithStore<T> for HasSelf<State> {
    async fn get(
        accessor: &Accessor<T, Self>,
        name: String,
    ) -> wasmtime::Result<Result<String, variables::Error>> {
        let grants = accessor.with(|mut access| Arc::clone(&access.get().grants));
        Ok(grants.variables.get(&name).cloned().ok_or(variables::Error::Undefined(name)))
    }
}
