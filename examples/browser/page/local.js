// The page of `parrot serve` without a server: what it asks of one, a worker in this browser does. Loaded behind the page's own
// script, of which it replaces `loadModels`, `mostImages`, `stream` and `add`.
"use strict";

/** The most that files of a model may be: a tab has 4 GB, and a weight may take twice what it takes in its file. */
const MAX_MODEL = 1.5e9;
/** The most files of dropped folders that are looked at, and the most pictures that are taken of them. */
const MAX_FILES = 10_000, MAX_PICTURES = 20;

let worker = null;        // holds the model
let model = null;         // { name, files }: what the worker holds; files are [path, Blob]
/** `auto`, `webgpu` or `cpu`, as the page's address says; the processor once the GPU has failed. */
let device = new URLSearchParams(location.search).get("device") ?? "auto";
/** How many threads the processor may compute on; one once another has failed. Each takes memory: an address asks for no more than
 * there are processors. */
const processors = navigator.hardwareConcurrency ?? 1;
let threads = Math.min(Math.trunc(new URLSearchParams(location.search).get("threads") ?? processors), processors);
const notices = [];       // why it is the processor, or one thread
const loading = new Set(); // AbortControllers of the loads under way, in the order in which they were asked for
let ready = null;         // settled once the worker has answered to the model
let asked = 0;            // numbers the questions
const answering = new Map(); // number → what becomes of the answer
if (!["auto", "webgpu", "cpu"].includes(device)) {
  notices.push(`There is no device “${device}”, but auto, webgpu and cpu.`);
  device = "auto";
}

const bar = element("progress", { max: 1, hidden: true, ariaLabel: "Loading the model" });
const place = element("p", { className: "status", id: "place" });
let stands = "";          // what `place` says once nothing is loading
$("status").before(bar, place);
const megabytes = bytes => (bytes / 1e6).toFixed(1);
const sentence = text => text.replace(/[.\s]*$/, ".");

// ---- the model's files

/** The shipped model, from beside the page or from this browser's cache, unless `signal` says that it is not wanted any more. */
async function shipped(signal) {
  const { files } = await (await get("model/files.json", { cache: "no-cache", signal })).json()
    .catch(() => { throw new Error("The network failed at the list of the model's files."); });
  const total = files.reduce((sum, file) => sum + file.bytes, 0);
  const cache = await globalThis.caches?.open("parrot").catch(() => null);
  const urls = files.map(({ name, version }) => new URL(`model/${name}?${version}`, location).href);
  let done = 0;
  const progress = bytes => {
    signal.throwIfAborted();
    done += bytes;
    bar.value = done / total;
    place.textContent = `Loading the model: ${megabytes(done)} of ${megabytes(total)} MB`;
  };
  const found = [];
  for (const [at, { name, bytes }] of files.entries()) {
    const kept = await cache?.match(urls[at]).catch(() => null);
    const content = await readAll(kept ?? await get(urls[at], { signal }), progress)
      .catch(() => { throw new Error(`The network failed after ${megabytes(done)} of ${megabytes(total)} MB of the model.`); });
    if (content.size !== bytes) throw new Error(`${name} has ${content.size} bytes and should have ${bytes}: it was cut off, or is of another version.`);
    if (!kept) await cache?.put(urls[at], new Response(content)).catch(() => {});
    found.push([name, content]);
  }
  // Of earlier versions nothing is kept.
  for (const { url } of await cache?.keys().catch(() => []) ?? []) if (!urls.includes(url)) await cache.delete(url);
  return { name: "parrot-mini", files: found };
}
async function get(url, options) {
  const response = await fetch(url, options).catch(() => { throw new Error("The network cannot be reached."); });
  if (!response.ok) throw new Error(`This page was not put up whole: its server has no ${new URL(url, location).pathname} (${response.status}). Whoever runs it has to copy all of its folder.`);
  return response;
}
async function readAll(response, progress) {
  const parts = [];
  const reader = response.body.getReader();
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return new Blob(parts);
    parts.push(value);
    progress(value.length);
  }
}
/** What a model is made of; weights of other kinds are only told about. */
const isOfModel = ({ path }) => /\.(safetensors|gguf|json|jinja|txt|model)$/i.test(path);
const isWeights = ({ path }) => /\.(safetensors|gguf|bin|pt|pth|ckpt)$/i.test(path);
const isSafetensors = ({ path }) => /\.safetensors$/i.test(path);
const isGguf = ({ path }) => /\.gguf$/i.test(path);
const folderOf = path => path.split("/").slice(0, -1).join("/");
const isWithin = (path, folder) => folder === "" || path.startsWith(`${folder}/`);
/** Whether files are meant as a model. A text or a list beside pictures is not, nor is a text alone. */
const areModel = found => found.some(isWeights)
  || found.some(({ path }) => /\.(json|jinja|model)$/i.test(path)) && !found.some(({ file }) => isPicture(file));
/** The topmost folders with a model's files, which go on below them with its vision tower. */
function modelFolders(found) {
  const marks = found.filter(each => /(^|\/)config\.json$/.test(each.path) || isSafetensors(each));
  const folders = [...new Set(marks.map(({ path }) => folderOf(path)))];
  // Beside a GGUF, a config.json without other weights only describes where it comes from.
  const hasOnlyGguf = folder => {
    const within = found.filter(({ path }) => isWithin(path, folder));
    return within.some(isGguf) && !within.some(isSafetensors);
  };
  return folders.filter(folder => !folders.some(other => other !== folder && isWithin(folder, other)) && !hasOnlyGguf(folder));
}
/** The one model among files, each of them with its path below the model's folder. */
function given(found) {
  const folders = modelFolders(found);
  // In a model's folder a GGUF is another form of it. Of a text model in several parts the first is named.
  const ggufs = found.filter(each => isGguf(each) && !folders.some(folder => folder && isWithin(each.path, folder))
    && !/-(?!00001)\d{5}-of-\d{5}\.gguf$/i.test(each.path));
  const names = [...folders.map(folder => folder || "files without a folder"), ...ggufs.map(({ path }) => path)];
  if (names.length > 1) throw new Error(`${names.length} models are among these files: ${names.slice(0, 5).join(", ")}${names.length > 5 ? " …" : ""}. Drop or choose one at a time.`);
  const [gguf] = ggufs;
  const folder = gguf ? folderOf(gguf.path) : folders[0] ?? "";
  const own = gguf ? [gguf] : found.filter(each => isWithin(each.path, folder) && isOfModel(each) && !isGguf(each));
  const files = own.map(({ path, file }) => [folder ? path.slice(folder.length + 1) : path, file]);
  if (!own.some(each => isGguf(each) || isSafetensors(each))) {
    throw new Error(found.some(isWeights) ? "These weights are in a form that is not read here: a model needs .safetensors or .gguf files."
      : "No weights are among these files. Drop a model's whole folder, or a text model's GGUF.");
  }
  if (!gguf && !files.some(([path]) => path === "config.json")) throw new Error("No config.json is beside these weights. Drop a model's whole folder.");
  const total = own.reduce((sum, { file }) => sum + file.size, 0);
  if (total > MAX_MODEL) throw new Error(`This model is ${(total / 1e9).toFixed(1)} GB; a browser's tab holds models of up to ${MAX_MODEL / 1e9} GB.`);
  return { name: gguf?.file.name ?? (folder.split("/").at(-1) || own.find(isWeights).file.name), files };
}

// ---- the worker

function restart() {
  worker?.terminate();
  for (const on of [...answering.values()]) on({ error: "The program ended at another question: then Retry.", isFatal: false });
  const made = worker = new Worker("worker.js", { type: "module" });
  worker.onmessage = ({ data }) => data.thread ? watch(data.thread) : answering.get(data.id)?.(data);
  worker.onerror = event => {
    event.preventDefault();
    // Whether or not somebody waits for it now: what is asked next needs another.
    made.terminate();
    if (worker === made) worker = null;
    const error = sentence(`The worker failed: ${event.message ?? "its script cannot be loaded"}`);
    for (const on of [...answering.values()]) on({ error });
  };
}
/** Hears of a thread that fails. The worker waits for it, and hears nothing any more. */
function watch(thread) {
  thread.onmessage = ({ data }) => {
    for (const on of [...answering.values()]) on({ error: sentence(`A thread failed: ${data}`), isOfThreads: true });
  };
}
/** Sends a question to the worker; `on` gets what it says until that is `done` or an `error`. */
function call(message, on) {
  const id = ++asked;
  return { id, over: new Promise((resolve, reject) => {
    answering.set(id, data => {
      if (data.error !== undefined) { answering.delete(id); reject(Object.assign(new Error(data.error), { isFatal: data.isFatal ?? true, isOfGpu: data.isOfGpu, isOfThreads: data.isOfThreads })); }
      else if (data.done) { answering.delete(id); resolve(data.done); }
      else on(data);
    });
    worker.postMessage({ id, ...message });
  }) };
}
/** Loads a model; if it cannot be loaded, the one before stays. */
async function load(find) {
  const own = new AbortController();
  loading.add(own);
  bar.hidden = false;
  bar.removeAttribute("value");
  // What is told meanwhile, of a wrong file say, stays: how far loading has come stands elsewhere.
  say("");
  try {
    if (!globalThis.WebAssembly) throw new Error("This browser has no WebAssembly, or it is switched off. The model runs on it: open the page in another browser.");
    const found = await find(own.signal);
    own.signal.throwIfAborted();
    // The one that was asked for last stays, not the one that comes last.
    for (const earlier of loading) {
      if (earlier === own) break;
      earlier.abort();
    }
    if (!worker) restart();
    place.textContent = `Starting ${found.name} …`;
    await hand(found);
    model = found;
  } catch (error) {
    if (!own.signal.aborted) {
      // Beside what was said meanwhile of a wrong file. While another model is loading, none is still here.
      const stays = model && loading.size === 1 ? `${model.name} is still here.` : "";
      const advice = /mm_vision_tower/.test(error.message) ? "A model's folder has its vision tower's folder in it: drop it as a whole." : "";
      say([$("status").textContent, sentence(error.message), advice, stays].filter(part => part).join(" "));
      if (!model && loading.size === 1 && globalThis.WebAssembly) $("status").append(" ", element("button", { type: "button", className: "small", textContent: "Try again", onclick: () => loadModels() }));
    }
    if (error.isFatal) await revive();
    throw error;
  } finally {
    loading.delete(own);
    bar.hidden = !loading.size;
    if (!loading.size) place.textContent = stands;
  }
}
/** A new worker, with the model that the old one had. */
async function revive() {
  restart();
  if (model) await hand(model);
}
/** Hands a model over to the worker, and says where it computes. */
async function hand({ name, files }) {
  const on = await call({ load: files, device, threads }).over.catch(error => {
    if (!error.isOfThreads) throw error;
    learn(error);
    restart();
    return call({ load: files, device, threads }).over;
  });
  mostImages = () => on.maxImages ?? Infinity;
  if (on.notice) learn({ message: on.notice, isOfGpu: true });
  const where = on.device === "webgpu" ? "GPU" : `processor, ${on.threads === 1 ? "one thread" : `${on.threads} threads`}`;
  stands = place.textContent = [`${name}, on this computer's ${where}.`, ...notices].join(" ");
}
/** What a failure means for the next start. */
function learn({ message, isOfGpu, isOfThreads }) {
  if (isOfGpu) device = "cpu";
  if (isOfThreads) threads = 1;
  if (isOfGpu || isOfThreads) notices.push(message);
}
function begin(find) {
  const before = ready;
  const own = load(find);
  // Where a file was no model, what was loading before goes on.
  ready = own.catch(error => before ? before.catch(() => { throw error; }) : Promise.reject(error));
  ready.catch(() => {});
  return own;
}

// ---- what the page asks

loadModels = () => { if (!model && bar.hidden) begin(async signal => { await globalThis.isolation; return shipped(signal); }).catch(() => {}); };

stream = async (messages, signal, on) => {
  const aborted = new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
  aborted.catch(() => {});
  // The network may be back.
  loadModels();
  await Promise.race([aborted, ready.catch(error => { if (!model) throw error; })]);
  if (!worker) {
    ready = revive();
    await Promise.race([aborted, ready]);
  }
  const images = [];
  const said = await Promise.all(request(messages).messages.map(async ({ role, content }) => {
    const parts = typeof content === "string" ? [{ type: "text", text: content }] : content;
    const urls = parts.filter(part => part.type === "image_url").map(part => part.image_url.url);
    images.push(...urls);
    return { role, text: parts.filter(part => part.type === "text").map(part => part.text).join("\n"), images: urls.length };
  }));
  const files = await Promise.all(images.map(async url => new Uint8Array(await (await fetch(url)).arrayBuffer())));
  signal.throwIfAborted();
  const { temperature, max_tokens } = request(messages);
  const { id, over } = call({ ask: JSON.stringify({ messages: said, temperature, max_tokens }), images: files }, ({ event }) => {
    if (event.routing) on({ choices: [], parrot: { routing: event.routing } });
    if (event.text) on({ choices: [{ delta: { content: event.text } }] });
  });
  signal.addEventListener("abort", () => worker.postMessage({ id, stop: true }));
  let end;
  try { end = await over; }
  catch (error) {
    learn(error);
    if (error.isFatal) {
      ready = revive();
      ready.catch(() => {});
      const where = error.isOfGpu ? " on the processor" : error.isOfThreads ? " on one thread" : "";
      error.message = `${sentence(error.message)} The model is being started again${where}: then Retry.`;
    }
    throw error;
  }
  if (signal.aborted) throw new DOMException("stopped", "AbortError");
  on({ choices: [{ delta: {}, finish_reason: end.finish_reason === "length" ? "length" : "stop" }], usage: { completion_tokens: end.tokens } });
};

const addPictures = add;
add = files => take(files.map(file => ({ path: file.webkitRelativePath || file.name, file })));
/** Pictures are asked about, and of a model's files a model is made. What lies in a model's folder besides belongs to it. */
async function take(found) {
  found = await Promise.all(found.map(async ({ path, file }) => ({ path, file: await recognised(file) })));
  const isModel = areModel(found);
  const folders = isModel ? modelFolders(found) : [];
  const beside = found.filter(each => !folders.some(folder => folder && isWithin(each.path, folder)) && !isWeights(each) && !(isModel && isOfModel(each)));
  // Of folders only the pictures are wanted; a file that was chosen by itself is told about.
  const wanted = beside.filter(({ path, file }) => isPicture(file) || !path.includes("/")).map(({ file }) => file);
  const loads = isModel ? begin(async () => given(found)).catch(() => {}) : null;
  if (wanted.length) {
    await addPictures(wanted.slice(0, MAX_PICTURES));
    if (wanted.length > MAX_PICTURES) say(`${$("status").textContent} Of ${wanted.length} files the first ${MAX_PICTURES} were taken.`.trim());
  } else if (!isModel) say("Neither a picture nor a model is in this folder.");
  await loads;
}
/** What was dropped, folders with all that is in them. */
async function entries(items) {
  const found = [];
  const visit = async (entry, path) => {
    if (found.length >= MAX_FILES) throw new Error(`More than ${MAX_FILES} files are in these folders. Drop the model's folder, or the pictures.`);
    if (entry.isFile) found.push({ path: path + entry.name, file: await new Promise((resolve, reject) => entry.file(resolve, reject)) });
    else {
      const reader = entry.createReader();
      for (let some; (some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject))).length;) {
        for (const each of some) await visit(each, `${path}${entry.name}/`);
      }
    }
  };
  for (const entry of items) await visit(entry, "");
  return found;
}
document.ondrop = event => {
  event.preventDefault();
  document.body.classList.remove("dragging");
  const items = [...event.dataTransfer.items].map(item => item.webkitGetAsEntry?.()).filter(entry => entry);
  if (items.some(entry => entry.isDirectory)) entries(items).then(take).catch(error => say(sentence(error.message ?? String(error))));
  else add([...event.dataTransfer.files]);
};

// ---- settings: no key, but another model

$("key").closest("label").hidden = true;
const choose = (id, text, properties) => {
  const input = element("input", { id, type: "file", multiple: true, onchange: event => {
    const files = [...event.target.files];
    event.target.value = "";
    if (files.length) { $("settings").close(); add(files); }
  }, ...properties });
  input.style.cssText = "position: static; width: 100%; height: auto; opacity: 1";
  return element("label", {}, text, input);
};
$("max-tokens").closest("label").after(
  choose("model-folder", "Another model: its folder, as from Hugging Face; it stays on this computer", { webkitdirectory: true }),
  choose("model-files", "… or a text model's GGUF", {}),
);
