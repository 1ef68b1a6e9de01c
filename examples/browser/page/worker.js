// Holds the model, so that the page stays usable while it computes.

import { absence, refusal } from "./gpu.js";

let model = null;
let device = "cpu";       // where it computes: `cpu` or `webgpu`
let panic = "";
const stopped = new Set();
let queue = Promise.resolve();

/** What a panic says comes here before the trap that ends the program. */
globalThis.parrotPanicked = text => { panic = text; };

/** In words, why something failed on a device, whether the program has ended, and whether the GPU is why. */
async function reason(error, device) {
  const isFatal = error instanceof WebAssembly.RuntimeError;
  // A program that gets no memory ends without a word.
  const said = isFatal ? panic || "the browser has too little memory for it" : error.message ?? String(error);
  panic = "";
  if (device === "cpu") return { error: said, isFatal };
  await breathe();
  const refused = await refusal();
  const isOfGpu = isFatal || Boolean(refused);
  return { error: isOfGpu ? `The GPU failed: ${refused ?? said}.` : said, isFatal: isOfGpu, isOfGpu };
}
const breathe = () => new Promise(resolve => setTimeout(resolve));

/** A model on a device, in the program for it. */
async function start(files, device) {
  const names = files.map(([name]) => name), contents = [];
  for (const [, file] of files) contents.push(new Uint8Array(await file.arrayBuffer()));
  const { default: init, Model } = await import(`./browser-${device}.js`);
  await init();
  const loaded = await Model.load(device, names, contents);
  if (device === "webgpu" && await refusal()) throw new Error("the browser's GPU refuses what it was asked for");
  return loaded;
}

/** A model on the GPU if there is one that computes what it should, else on the processor; and what there is to say about it. */
async function load(files, wanted) {
  let notice = "";
  if (wanted !== "cpu") {
    notice = await absence({ evenSoftware: wanted === "webgpu" });
    if (!notice) {
      try { return { loaded: await start(files, "webgpu"), on: "webgpu", notice: "" }; }
      catch (error) {
        const { error: said, isOfGpu } = await reason(error, "webgpu");
        notice = isOfGpu ? said : `The GPU failed: ${said}.`;
      }
    }
  }
  return { loaded: await start(files, "cpu"), on: "cpu", notice };
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
  const end = await model.ask(ask, images, onEvent);
  if (await isRefused()) throw new Error("the answer was not computed");
  return JSON.parse(end);
}

onmessage = ({ data }) => {
  if (data.stop) return stopped.add(data.id);
  queue = queue.then(async () => {
    try {
      if (data.load) {
        const { loaded, on, notice } = await load(data.load, data.device);
        model?.free();
        [model, device] = [loaded, on];
        postMessage({ id: data.id, done: { device, notice } });
      } else postMessage({ id: data.id, done: await ask(data) });
    } catch (error) { postMessage({ id: data.id, ...await reason(error, data.load ? "cpu" : device) }); }
    stopped.delete(data.id);
  });
};
