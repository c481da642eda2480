// The entry of the worker: hands each request to the module, and replaces a module that trapped.
import { WorkerEntrypoint } from "cloudflare:workers";
import * as edge from "./worker.js";

const state = edge.__worker_init_state();

function note(error) {
  if (error instanceof WebAssembly.RuntimeError) state.criticalError = true;
}

// A trap while the module goes on with a request that waited shows nowhere else.
addEventListener("error", (event) => note(event.error));

export default class extends WorkerEntrypoint {
  async fetch(request) {
    if (state.criticalError) {
      edge.__wbg_reset_state();
      state.criticalError = false;
    }
    try {
      return await edge.fetch(request, this.env, this.ctx);
    } catch (error) {
      note(error);
      throw error;
    }
  }
}
