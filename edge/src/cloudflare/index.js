// The entry of the worker. What `cargo xtask edge --target workers` generates beside it replaces a module that trapped.
import { fetch } from "./worker.js";

export default { fetch: (request, env, context) => fetch(request, env, context) };
