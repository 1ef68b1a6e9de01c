// Holds the model, so that the page stays usable while it computes.

import init, { Model } from "./browser.js";

let model = null;
let panic = "";
const stopped = new Set();
let queue = Promise.resolve();

/** What a panic says comes here before the trap that ends the program. */
globalThis.parrotPanicked = text => { panic = text; };

/** In words, why something failed, and whether the program has ended. */
function reason(error) {
  if (!(error instanceof WebAssembly.RuntimeError)) return { error: error.message ?? String(error), isFatal: false };
  // A program that gets no memory ends without a word.
  const said = panic || "the browser has too little memory for it";
  panic = "";
  return { error: said, isFatal: true };
}
const breathe = () => new Promise(resolve => setTimeout(resolve));

async function load(files) {
  const names = files.map(([name]) => name), contents = [];
  for (const [, file] of files) contents.push(new Uint8Array(await file.arrayBuffer()));
  await init();
  return Model.load(names, contents);
}

async function ask({ id, ask, images }) {
  if (stopped.has(id)) return { finish_reason: "cancelled", tokens: 0 };
  let breathed = performance.now();
  const onEvent = async event => {
    postMessage({ id, event: JSON.parse(event) });
    // Now and then the browser gets to deliver what the page has to say.
    if (performance.now() - breathed > 30) {
      await breathe();
      breathed = performance.now();
    }
    return !stopped.has(id);
  };
  return JSON.parse(await model.ask(ask, images, onEvent));
}

onmessage = ({ data }) => {
  if (data.stop) return stopped.add(data.id);
  queue = queue.then(async () => {
    try {
      if (data.load) {
        const loaded = await load(data.load);
        model?.free();
        model = loaded;
        postMessage({ id: data.id, done: true });
      } else postMessage({ id: data.id, done: await ask(data) });
    } catch (error) { postMessage({ id: data.id, ...reason(error) }); }
    stopped.delete(data.id);
  });
};
