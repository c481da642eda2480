//! What the SDK does not give of the platform.

use worker::Env;
use worker::js_sys::{Reflect, Uint8Array};
use worker::wasm_bindgen::{self, prelude::*};

#[wasm_bindgen]
extern "C" {
    /// Fills `bytes`; it refuses only more than 64 KiB.
    #[wasm_bindgen(js_namespace = crypto, js_name = getRandomValues)]
    pub(super) fn fill_random(bytes: &mut [u8]);

    /// What a read of a stream brings.
    pub(super) type Chunk;

    /// The bytes, or nothing at the end.
    #[wasm_bindgen(method, getter)]
    pub(super) fn value(this: &Chunk) -> Option<Uint8Array>;
}

/// A variable as text, if it is set.
///
/// `wrangler.toml` may have it as a number.
pub(super) fn variable(env: &Env, name: &str) -> Option<String> {
    let value = Reflect::get(env, &name.into()).ok().filter(|value| !value.is_undefined())?;
    let number = || value.as_f64().map(|number| number.to_string());
    // What is neither cannot be read by anyone, and is as malformed as this.
    Some(value.as_string().or_else(number).unwrap_or_else(|| "?".to_owned()))
}
