// Holds the model, so that the page stays usable while it computes.

import { absence, refusal } from "./gpu.js";

let model = null;
let device = "cpu";       // where it computes: `cpu` or `webgpu`
let running = null;       // { device, threads, program }: the program that was started last
let panic = "";
const stopped = new Set();
let queue = Promise.resolve();

/** What a panic says comes here before the trap that ends the program. */
globalThis.parrotPanicked = text => { panic = text; };

let trapped = null;       // rejects what the program promised last
/** What the program promises. A trap ends it, and comes as an error of nobody's: the promise would be waited for for ever. */
const orTrap = promise => Promise.race([promise, new Promise((_, reject) => { trapped = reject; })])
  .finally(() => { trapped = null; });
addEventListener("error", event => {
  if (!trapped || !(event.error instanceof WebAssembly.RuntimeError)) return;
  event.preventDefault();
  trapped(event.error);
});

/** In words, why something failed on a device, whether the program has ended, and whether the GPU is why. */
async function reason(error, device) {
  const isTrap = error instanceof WebAssembly.RuntimeError;
  const isFatal = isTrap || Boolean(error.isFatal);
  // A program that gets no memory ends without a word; what the browser does not allocate is a RangeError.
  const isOfMemory = isTrap && !panic || error instanceof RangeError;
  const said = isOfMemory ? "The browser has too little memory for it. Close other tabs, or take a smaller picture or model"
    : isTrap ? panic : error.message ?? String(error);
  panic = "";
  if (device === "cpu") return { error: said, isFatal };
  await breathe();
  const refused = await refusal();
  const isOfGpu = isFatal || Boolean(refused);
  return { error: isOfGpu ? `The GPU failed: ${refused ?? said}.` : said, isFatal: isOfGpu, isOfGpu };
}
const breathe = () => new Promise(resolve => setTimeout(resolve));

/** The program for several threads, with that many. */
async function startThreads(count) {
  const program = await import("./browser-threads.js");
  const module = await WebAssembly.compileStreaming(fetch("browser-threads_bg.wasm"));
  const { memory } = await program.default({ module_or_path: module });
  // This worker is one of them.
  const others = Array.from({ length: count - 1 }, () => new Worker("thread.js", { type: "module" }));
  try {
    await Promise.all(others.map(thread => new Promise((started, failed) => {
      thread.onmessage = started;
      thread.onerror = failed;
      // While it computes, nothing is heard here; so the page is told if it fails.
      const { port1, port2 } = new MessageChannel();
      postMessage({ thread: port1 }, [port1]);
      thread.postMessage({ module, memory, port: port2 }, [port2]);
    })));
    program.startThreads(count);
  } catch (error) {
    others.forEach(thread => thread.terminate());
    throw error;
  }
  return { device: "cpu", threads: count, program };
}

/** The program for a device, started. */
async function fetched(device) {
  try {
    const program = await import(`./browser-${device}.js`);
    await program.default();
    return program;
  } catch (error) {
    if (error instanceof WebAssembly.RuntimeError || error instanceof RangeError) throw error;
    const why = error instanceof WebAssembly.CompileError ? "This browser cannot compile the program: it is too old for it, or the program was cut off"
      : "The program cannot be fetched from the server";
    // What a worker could not import, it does not fetch again.
    throw Object.assign(new Error(`${why} (${error.message})`), { isFatal: true });
  }
}

/** The program for a device; for the processor with as many threads as are wanted, if the browser gives any. */
async function start(device, wanted) {
  if (running?.device === device) return running;
  if (device === "cpu" && wanted > 1 && crossOriginIsolated && Atomics.waitAsync) {
    try { return running = await startThreads(wanted); }
    catch (error) { console.warn("There are no threads:", error); }
  }
  const program = await fetched(device);
  return running = { device, threads: 1, program };
}

/** A model on a device. */
async function open(files, device, wanted) {
  const names = files.map(([name]) => name), contents = [];
  for (const [, file] of files) contents.push(new Uint8Array(await file.arrayBuffer()));
  const { program, threads } = await start(device, wanted);
  const loaded = await orTrap(program.Model.load(device, names, contents));
  if (device === "webgpu" && await refusal()) throw new Error("the browser's GPU refuses what it was asked for");
  return { loaded, on: { device, threads, maxImages: loaded.max_images } };
}

/** A model on the GPU if there is one that computes what it should, else on the processor; and what there is to say about it. */
async function load({ load: files, device: wanted, threads }) {
  let notice = "";
  if (wanted !== "cpu") {
    notice = await absence({ evenSoftware: wanted === "webgpu" });
    if (!notice) {
      try { return { ...await open(files, "webgpu", threads), notice }; }
      catch (error) {
        const { error: said, isOfGpu } = await reason(error, "webgpu");
        notice = isOfGpu ? said : `The GPU failed: ${said}.`;
      }
    }
  }
  return { ...await open(files, "cpu", threads), notice };
}

async function ask({ id, ask, images }) {
  if (stopped.has(id)) return { finish_reason: "cancelled", tokens: 0 };
  let breathed = performance.now();
  const isRefused = async () => device === "webgpu" && await refusal() !== null;
  const onEvent = async event => {
    if (await isRefused()) return false;
    postMessage({ id, event: JSON.parse(event) });
    // Now and then the browser gets to deliver what the page has to say.
    if (performance.now() - breathed > 30) {
      await breathe();
      breathed = performance.now();
    }
    return !stopped.has(id);
  };
  const end = await orTrap(model.ask(ask, images, onEvent));
  if (await isRefused()) throw new Error("the answer was not computed");
  return JSON.parse(end);
}

onmessage = ({ data }) => {
  if (data.stop) return stopped.add(data.id);
  queue = queue.then(async () => {
    try {
      if (data.load) {
        const { loaded, on, notice } = await load(data);
        model?.free();
        [model, device] = [loaded, on.device];
        postMessage({ id: data.id, done: { ...on, notice } });
      } else postMessage({ id: data.id, done: await ask(data) });
    } catch (error) { postMessage({ id: data.id, ...await reason(error, data.load ? "cpu" : device) }); }
    stopped.delete(data.id);
  });
};
