// A thread of the program that worker.js runs: the same program on the same memory.

import init, { runThread } from "./browser-threads.js";

let panic = "";
/** What a panic says comes here before the trap that ends the thread. */
globalThis.parrotPanicked = text => { panic = text; };

onmessage = async ({ data: { module, memory, port } }) => {
  try {
    await init({ module_or_path: module, memory });
    postMessage("started");
    runThread();
  } catch (error) {
    // To the page, for the worker waits for this thread. One that gets no memory ends without a word.
    const isOfMemory = error instanceof WebAssembly.RuntimeError;
    port.postMessage(panic || (isOfMemory ? "the browser has too little memory for it" : error.message ?? String(error)));
  }
};
