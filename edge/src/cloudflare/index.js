// The entry point of the worker. The module that `cargo xtask edge --target workers` generates next to it replaces an
// instance that trapped.
import { fetch } from "./worker.js";

export default { fetch: (request, env, context) => fetch(request, env, context) };
