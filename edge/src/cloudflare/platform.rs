//! Functions of the platform that the SDK does not provide.

use worker::Env;
use worker::js_sys::{Reflect, Uint8Array};
use worker::wasm_bindgen::{self, prelude::*};

#[wasm_bindgen]
extern "C" {
    /// Fills `bytes` with random bytes; fails only for more than 64 KiB.
    #[wasm_bindgen(js_namespace = crypto, js_name = getRandomValues)]
    pub(super) fn fill_random(bytes: &mut [u8]);

    /// The result of reading a stream.
    pub(super) type StreamChunk;

    /// Returns the bytes, or `None` at the end.
    #[wasm_bindgen(method, getter)]
    pub(super) fn value(this: &StreamChunk) -> Option<Uint8Array>;
}

/// Returns a variable as text, if it is set.
///
/// In `wrangler.toml` it may be a number, `true` or `false`.
pub(super) fn variable(env: &Env, name: &str) -> Option<String> {
    let value = Reflect::get(env, &name.into()).ok().filter(|value| !value.is_undefined())?;
    let number = || value.as_f64().map(|number| number.to_string());
    let switch = || value.as_bool().map(|switch| switch.to_string());
    // A value of another type is as invalid as this text.
    Some(value.as_string().or_else(number).or_else(switch).unwrap_or_else(|| "?".to_owned()))
}
