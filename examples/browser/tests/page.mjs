// Uses the page in Chromium: FOLDER CHROMIUM MODULES PARROT [SCREENSHOTS], where FOLDER is what build.sh made, MODULES is a folder
// with node_modules/playwright-core, and PARROT is the command, whose answers are the ones that are expected. Of the programs for
// several threads and for WebGPU what build.sh was told to make is tried.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { readFile, readdir } from "node:fs/promises";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { extname, join, normalize } from "node:path";

const [folder, executablePath, modules, parrot, screenshots] = process.argv.slice(2);
const { chromium } = createRequire(`${modules}/`)("playwright-core");
const assets = join(import.meta.dirname, "../../../assets");
const isBuilt = program => existsSync(join(folder, `browser-${program}.js`));

// ---- static files, as any web server gives them, with or without headers; `fault` cuts one of them off, `missing` is not there,
// `late` is waited for at the first time, `edited` changes scripts

const TYPES = { ".html": "text/html", ".js": "text/javascript", ".json": "application/json", ".wasm": "application/wasm", ".png": "image/png" };
const ISOLATED = { "cross-origin-opener-policy": "same-origin", "cross-origin-embedder-policy": "require-corp" };
let fault = null, missing = null, late = null, edited = {}, headers = {};
const server = createServer(async (request, response) => {
  const path = normalize(new URL(request.url, "http://localhost").pathname);
  const file = join(folder, path.endsWith("/") ? `${path}index.html` : path);
  try {
    if (missing && path.endsWith(missing)) throw new Error("missing");
    if (late && path.endsWith(late.file)) {
      const { until } = late;
      late = null;
      await until;
    }
    const edit = edited[path.split("/").at(-1)];
    const content = edit ? Buffer.from(edit(await readFile(file, "utf8"))) : await readFile(file);
    response.writeHead(200, { "content-type": TYPES[extname(file)] ?? "application/octet-stream", "content-length": content.length, ...headers });
    if (fault && path.endsWith(fault)) {
      response.write(content.subarray(0, content.length / 2));
      setTimeout(() => response.destroy(), 200);
    } else response.end(content);
  } catch { response.writeHead(404).end("not there"); }
});
await new Promise(listening => server.listen(0, "127.0.0.1", listening));
const url = `http://127.0.0.1:${server.address().port}/`;

const picture = join(assets, "pictures/rocket.png");
const questions = [["What is in the picture?", "ltr"], ["ماذا في الصورة؟", "rtl"]];
const command = (question, file = picture) =>
  execFileSync(parrot, ["ask", file, question, "--device", "cpu", "--model", join(assets, "parrot-mini")], { encoding: "utf8" }).trim();
const expected = questions.map(([question]) => command(question));
console.log("expected:", expected.join(" | "));

const TIME = 120_000;
async function open(browser, options) {
  const page = await browser.newPage({ serviceWorkers: "block", ...options });
  page.setDefaultTimeout(TIME);
  const errors = [];
  page.on("pageerror", error => errors.push(String(error)));
  page.on("console", message => message.type() === "error" && errors.push(message.text()));
  return { page, errors };
}
const loaded = page => page.waitForFunction(() => /computer/.test(document.getElementById("place")?.textContent));
const where = page => page.innerText("#place");
const complete = page => page.waitForFunction(() => !document.querySelector("[aria-busy=true]"));
const status = page => page.innerText("#status");
const last = page => page.locator(".answer").last();
const says = (page, pattern) => page.waitForFunction(pattern => new RegExp(pattern).test(document.getElementById("status").textContent), pattern);
const drop = async (page, files) => page.dispatchEvent("#composer", "drop", { dataTransfer: await page.evaluateHandle(files => {
  const data = new DataTransfer();
  for (const [name, bytes, type] of files) data.items.add(new File([new Uint8Array(bytes)], name, { type }));
  return data;
}, files) });
/** Files and folders of this computer, as somebody drags them in. */
async function drag(page, paths) {
  const session = await page.context().newCDPSession(page);
  const data = { items: [], files: paths, dragOperationsMask: 1 };
  for (const type of ["dragEnter", "dragOver", "drop"]) await session.send("Input.dispatchDragEvent", { type, x: 300, y: 200, data });
}
/** Gives the page the default model in each of these folders, and other files with their paths. As what the page
 * makes of dropped folders. */
async function give(page, folders, others = []) {
  const tower = (await readdir(join(assets, "parrot-mini/towers")))[0];
  await page.evaluate(async ({ tower, folders, others }) => {
    const read = async (folder, path) => ({ path: `${folder}/${path}`, file: await (await fetch(`model/${path}`)).blob().then(blob => new File([blob], path.split("/").at(-1))) });
    const paths = ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", `towers/${tower}/config.json`, `towers/${tower}/preprocessor_config.json`];
    const found = await Promise.all(folders.flatMap(folder => paths.map(path => read(folder, path))));
    found.push(...others.map(([path, bytes, type]) => ({ path, file: new File([new Uint8Array(bytes)], path.split("/").at(-1), { type }) })));
    await take(found);
  }, { tower, folders, others });
}

/** Asks about the sample in two languages, and returns the answers. */
async function askTwice(page) {
  const answers = [];
  for (const [at, [question, direction]] of questions.entries()) {
    await page.click("#new");
    await page.click("[data-sample=rocket]");
    await page.waitForSelector("#thumbs img");
    await page.fill("#question", question);
    assert.equal(await page.evaluate(() => getComputedStyle(document.getElementById("question")).direction), direction);
    const started = Date.now();
    await page.keyboard.press("Enter");
    await page.waitForFunction(() => document.querySelector(".answer .text")?.textContent);
    if (at === 0) console.log(`first words after ${Date.now() - started} ms`);
    await complete(page);
    assert.equal(await last(page).locator(".router .tube").count(), 6);
    answers.push(await last(page).locator(".text").innerText());
  }
  return answers;
}

// ---- asking

const browser = await chromium.launch({ executablePath, args: ["--no-sandbox", "--disable-gpu"] });
for (const [width, height, colorScheme] of [[1280, 800, "light"], [390, 844, "dark"]]) {
  const { page, errors } = await open(browser, { viewport: { width, height }, colorScheme });
  const shoot = async name => screenshots && page.screenshot({ path: `${screenshots}/browser-${name}-${width}.png` });
  const started = Date.now();
  await page.goto(url);
  await page.waitForSelector("progress:not([hidden])");
  await loaded(page);
  console.log(`${width}: ready after ${Date.now() - started} ms`);
  assert.equal(await where(page), "parrot-mini, on this computer's processor, one thread. This browser offers no WebGPU.");
  assert.deepEqual(await askTwice(page), expected);
  await shoot("asked");

  // All six languages at once.
  await page.click("#new");
  await page.click("[data-sample=rocket]");
  await page.waitForSelector("#thumbs img");
  await page.click("#open-six");
  await page.click("#six button[value=ask]");
  await page.waitForSelector(".answers.six");
  await complete(page);
  for (const text of await page.locator(".answers.six .text").allInnerTexts()) assert.notEqual(text, "");
  assert.equal(await page.locator(".answers.six .router .tube").count(), 36);
  await shoot("six");

  // Another picture begins another conversation where the model knows one at a time, and is what the next question is about.
  await page.click("#new");
  for (const [at, name] of ["rocket.png", "monkey.png"].entries()) {
    const file = join(assets, "pictures", name);
    await drop(page, [[name, [...await readFile(file)], "image/png"]]);
    await page.waitForSelector("#thumbs img");
    await page.fill("#question", questions[0][0]);
    await page.keyboard.press("Enter");
    await page.waitForFunction(count => document.querySelectorAll(".answer").length === count, at + 1);
    await complete(page);
    assert.equal(await last(page).locator(".text").innerText(), command(questions[0][0], file));
  }
  assert.match(await page.locator(".turn").last().innerText(), /^A new conversation: this model has learnt to talk about one picture/);

  // Stopped, and the page can still be used.
  await page.fill("#question", "Describe the picture.");
  await page.keyboard.press("Enter");
  await page.keyboard.press("Escape");
  await complete(page);
  await page.fill("#question", "What is this?");
  await page.keyboard.press("Enter");
  await complete(page);
  assert.match(await last(page).locator(".facts").innerText(), /tokens/);
  const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  assert.ok(overflow <= 0, `${overflow} pixels too wide`);
  assert.deepEqual(errors, []);
  await page.close();
}

// ---- what goes wrong is said, and the page stays usable

{
  const { page } = await open(browser);
  // The network fails half-way through the model.
  fault = "model.safetensors";
  await page.goto(url);
  await page.waitForFunction(() => /network failed after/.test(document.getElementById("status").textContent));
  console.log("half a model:", await status(page));
  // To ask is to try again, where a picture has taken the message's place; so is the button.
  await page.click("[data-sample=rocket]");
  await page.waitForSelector("#thumbs img");
  await page.keyboard.press("Enter");
  await page.waitForSelector(".answer .error");
  fault = null;
  await last(page).getByRole("button", { name: "Retry" }).click();
  await complete(page);
  assert.match(await last(page).locator(".facts").innerText(), /tokens/);
  fault = "model.safetensors";
  await page.evaluate(() => caches.delete("parrot"));
  await page.reload();
  await says(page, "network failed after");
  fault = null;
  await page.getByRole("button", { name: "Try again" }).click();
  await loaded(page);

  // What is no model and no picture, a picture beside a text, half a model, a whole one.
  const text = ["notes.txt", [104, 105], "text/plain"];
  await drop(page, [["notes.pdf", [37, 80, 68, 70]]]);
  await says(page, "notes.pdf is no picture");
  await drop(page, [text, ["rocket.png", [...await readFile(picture)], "image/png"], ["list.json", [123, 125], "application/json"]]);
  await says(page, "^notes.txt is no picture. list.json is no picture.$");
  assert.equal(await page.locator("#thumbs img").count(), 1);
  await page.click("#new");
  await drop(page, [["config.json", [123, 125]]]);
  await says(page, "No weights are among these files");
  await drop(page, [["model.safetensors", [1, 2, 3]]]);
  await says(page, "No config.json is beside these weights.* parrot-mini is still here");
  await drop(page, [["model.safetensors", [1, 2, 3]], ["config.json", [123, 125]]]);
  await says(page, "\\. parrot-mini is still here");
  console.log("half a model dropped:", await status(page));
  await drop(page, [["half.png", [...await readFile(picture)].slice(0, 1000), "image/png"]]);
  await page.waitForSelector("#thumbs img");
  await page.keyboard.press("Enter");
  await page.waitForSelector(".answer .error");
  assert.match(await page.innerText(".answer .error"), /^picture 1: .* Ask about another picture, or save this one anew as PNG or JPEG\.$/);
  await give(page, ["mine"]);
  assert.match(await where(page), /^mine, on/);
  assert.deepEqual(await askTwice(page), expected);

  await page.click("#new");
  await drag(page, [join(assets, "parrot-mini"), picture]);
  await page.waitForFunction(() => /^parrot-mini, on/.test(document.getElementById("place").textContent) && document.querySelector("#thumbs img"));
  assert.equal(await status(page), "");
  await page.click("#new");
  await drag(page, [join(assets, "pictures")]);
  const pictures = (await readdir(join(assets, "pictures"))).filter(name => name.endsWith(".png")).length;
  await page.waitForFunction(count => document.querySelectorAll("#thumbs img").length === count, pictures);

  // Of two models none is taken; a picture beside a model is asked about, one within its folder belongs to it; a folder of pictures.
  await page.click("#new");
  await give(page, ["one", "two"]);
  await says(page, "^2 models are among these files: one, two\\. Drop or choose one at a time\\. parrot-mini is still here\\.$");
  await give(page, ["folder/one", "folder/two"]);
  await says(page, "^2 models are among these files: folder/one, folder/two\\.");
  const rocket = [...await readFile(picture)];
  await give(page, [], [["a.gguf", [1]], ["b.gguf", [1]]]);
  await says(page, "^2 models are among these files: a.gguf, b.gguf\\.");
  await give(page, ["again"], [["again/example.png", rocket, "image/png"], ["rocket.png", rocket, "image/png"], ["notes.txt", [104], "text/plain"]]);
  assert.match(await where(page), /^again, on/);
  assert.equal(await page.locator("#thumbs img").count(), 1);
  await page.click("#new");
  await give(page, [], [["pictures/1.png", rocket, "image/png"], ["pictures/more/2.png", rocket, "image/png"], ["pictures/list.txt", [104], "text/plain"]]);
  await page.waitForFunction(() => document.querySelectorAll("#thumbs img").length === 2);
  assert.equal(await status(page), "");
  await page.keyboard.press("Enter");
  await complete(page);
  assert.match(await page.locator(".turn").last().innerText(), /^This model has learnt to talk about one picture at a time/);
  await give(page, [], [["papers/1.pdf", [37], "application/pdf"]]);
  await says(page, "^Neither a picture nor a model");
  await give(page, [], [["mine/config.json", [...await readFile(join(assets, "parrot-mini/config.json"))]], ["mine/model.safetensors", [1, 2, 3]]]);
  await says(page, "`mm_vision_tower` should be .* drop it as a whole\\. again is still here\\.$");
  // What a file is, its content says; weights of another kind; a GGUF that is none.
  await page.click("#new");
  await drop(page, [["rocket", rocket]]);
  await page.waitForSelector("#thumbs img");
  assert.equal(await status(page), "");
  await drop(page, [["pytorch_model.bin", [1, 2, 3]]]);
  await says(page, "in a form that is not read here: a model needs .safetensors");
  await drop(page, [["words.gguf", [1, 2, 3]]]);
  await says(page, "words.gguf: is a file, and neither a model's folder nor a GGUF\\. again is still here");

  // Settings that no model can take are not taken, nor those of somebody who leaves without Done.
  await page.click("#open-settings");
  await page.fill("#max-tokens", "0");
  await page.click("#settings button[value=done]");
  assert.equal(await page.locator("#settings[open]").count(), 1);
  await page.keyboard.press("Escape");
  await page.waitForFunction(() => document.getElementById("max-tokens").value === "512");
  await page.click("#open-settings");
  await page.fill("#max-tokens", "8");
  await page.click("#settings button[value=done]");
  await page.waitForFunction(() => localStorage.getItem("parrot-max-tokens") === "8");
  await page.evaluate(() => { localStorage.setItem("parrot-temperature", "1e300"); loadSettings(); });
  assert.equal(await page.inputValue("#temperature"), "0");

  // The program ends in the middle of an answer, as it does when there is no memory left.
  await page.fill("#question", "What is this?");
  await page.evaluate(() => {
    worker.postMessage = ({ id }) => setTimeout(() => worker.onmessage({ data: { id, error: "No memory, for the test.", isFatal: true } }));
  });
  await page.keyboard.press("Enter");
  await page.waitForSelector(".answer .error");
  console.log("a failed program:", await page.innerText(".answer .error"));
  await last(page).getByRole("button", { name: "Retry" }).click();
  await complete(page);
  assert.match(await last(page).locator(".facts").innerText(), /tokens/);
  await page.close();
}

// ---- several models, and a model that is not there yet

{
  const { page } = await open(browser);
  let arrive;
  late = { file: "model.safetensors", until: new Promise(resolve => { arrive = resolve; }) };
  await page.goto(`${url}?device=quantum&threads=1e9`);
  // Each takes memory: no address gets more threads than there are processors.
  assert.equal(await page.evaluate("threads"), await page.evaluate("navigator.hardwareConcurrency"));
  await page.waitForFunction(() => /^Loading/.test(document.getElementById("place").textContent));
  // Stopped before it is there.
  await page.fill("#question", "What is this?");
  await page.keyboard.press("Enter");
  await page.keyboard.press("Escape");
  await complete(page);
  assert.equal(await last(page).locator(".facts").innerText(), "stopped");
  // What is no model changes nothing; one's own stays although the default model comes later.
  await drop(page, [["config.json", [123, 125]]]);
  await says(page, "No weights");
  assert.match(await where(page), /^Loading the model/);
  await give(page, ["mine"]);
  arrive();
  await page.waitForFunction(() => !loading.size && bar.hidden);
  assert.match(await where(page), /^mine, on this computer's processor, one thread\. There is no device “quantum”/);
  await page.close();
}

// ---- what is not there at the start, and comes later

for (const [file, said] of [["worker.js", "script cannot be loaded"], ["browser-cpu_bg.wasm", "The program cannot be fetched"],
  ["model/files.json", "not put up whole: its server has no /model/files.json \\(404\\)"]]) {
  const { page } = await open(browser);
  missing = file;
  await page.goto(url);
  await says(page, said);
  console.log("missing:", await status(page));
  // The worker that was started for another try has failed by then, too.
  if (file === "worker.js") await page.waitForFunction(() => !worker);
  missing = null;
  await page.getByRole("button", { name: "Try again" }).click();
  await loaded(page);
  await page.close();
}

{
  const { page } = await open(browser);
  missing = "local.js";
  await page.goto(url);
  await says(page, "^A part of this page, local.js, cannot be loaded\\. Load the page again\\.$");
  await page.fill("#question", "What is this?");
  await page.keyboard.press("Enter");
  await page.waitForSelector(".answer .error");
  assert.match(await page.innerText(".answer .error"), /local\.js/);
  missing = null;
  await page.reload();
  await loaded(page);
  await page.close();
}

// ---- a browser without WebAssembly, and two with little memory

for (const [flag, said] of [["--jitless", "has no WebAssembly"], ["--wasm-max-mem-pages=300", "too little memory"], ["--wasm-max-mem-pages=1500", ""]]) {
  const browser = await chromium.launch({ executablePath, args: ["--no-sandbox", "--disable-gpu", `--js-flags=${flag}`] });
  const { page } = await open(browser);
  await page.goto(`${url}?threads=1`);
  if (said) await says(page, said);
  else {
    await loaded(page);
    await page.evaluate(async () => {
      const canvas = new OffscreenCanvas(6000, 6000);
      canvas.getContext("2d");
      await add([await canvas.convertToBlob()]);
    });
    await page.keyboard.press("Enter");
    await page.waitForSelector(".answer .error");
    assert.match(await page.innerText(".answer .error"), /too little memory.*smaller picture.*then Retry\.$/);
    assert.deepEqual(await askTwice(page), expected);
  }
  await browser.close();
}

// ---- threads, where the page is isolated

if (isBuilt("threads")) {
  const said = "parrot-mini, on this computer's processor, 2 threads. This browser offers no WebGPU.";
  const onThreads = `${url}?threads=2`;
  {
    headers = ISOLATED;
    const { page, errors } = await open(browser);
    const started = Date.now();
    await page.goto(onThreads);
    await loaded(page);
    console.log(`two threads: ready after ${Date.now() - started} ms`);
    assert.equal(await where(page), said);
    assert.deepEqual(await askTwice(page), expected);
    assert.deepEqual(errors, []);

    // A thread fails in the middle of an answer.
    await page.fill("#question", "What is this?");
    await page.evaluate(() => {
      const { port1, port2 } = new MessageChannel();
      watch(port1);
      worker.postMessage = () => port2.postMessage("no memory, for the test");
    });
    await page.keyboard.press("Enter");
    await page.waitForSelector(".answer .error");
    console.log("a failed thread:", await page.innerText(".answer .error"));
    await last(page).getByRole("button", { name: "Retry" }).click();
    await complete(page);
    assert.equal(await where(page), `${said.replace("2 threads", "one thread")} A thread failed: no memory, for the test.`);
    assert.deepEqual(await askTwice(page), expected);
    await page.close();
  }
  // One that fails while the others wait for it; one that cannot be loaded.
  for (const [edit, said] of [
    [script => script.replace("runThread();", "throw new Error('no memory, for the test');"), /processor, one thread\. A thread failed: no memory, for the test\. This browser offers no WebGPU\.$/],
    [script => `${script} no script`, /processor, one thread\. This browser offers no WebGPU\.$/],
  ]) {
    edited = { "thread.js": edit };
    const { page } = await open(browser);
    await page.goto(onThreads);
    await loaded(page);
    assert.match(await where(page), said);
    assert.deepEqual(await askTwice(page), expected);
    await page.close();
  }
  // A server that does not isolate the page.
  edited = headers = {};
  const { page, errors } = await open(browser, { serviceWorkers: "allow" });
  await page.goto(onThreads);
  await loaded(page);
  assert.equal(await where(page), said);
  assert.deepEqual(await askTwice(page), expected);
  assert.deepEqual(errors, []);
  await page.close();
}
await browser.close();

// ---- WebGPU; here with the processor behind it, which the page takes only if told to

if (isBuilt("webgpu")) {
  const args = ["--no-sandbox", "--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader"];
  const browser = await chromium.launch({ executablePath, args });
  const start = async address => {
    const { page, errors } = await open(browser);
    const started = Date.now();
    await page.goto(address);
    await loaded(page);
    console.log(`${address}: ready after ${Date.now() - started} ms; ${await where(page)}`);
    return { page, errors };
  };
  const onGpu = `${url}?device=webgpu`;
  {
    const { page, errors } = await start(onGpu);
    assert.equal(await where(page), "parrot-mini, on this computer's GPU.");
    assert.deepEqual(await askTwice(page), expected);
    // All six languages.
    await page.click("#new");
    await page.click("[data-sample=rocket]");
    await page.waitForSelector("#thumbs img");
    await page.click("#open-six");
    const asked = await page.locator("#wordings input").evaluateAll(inputs => inputs.map(input => input.value.trim()));
    await page.click("#six button[value=ask]");
    await page.waitForSelector(".answers.six");
    await complete(page);
    assert.deepEqual(await page.locator(".answers.six .text").allInnerTexts(), asked.map(question => command(question)));
    assert.deepEqual(errors, []);

    // The GPU is lost in the middle of an answer, as in a tab that slept or when its driver is reset.
    await page.click("#new");
    await page.fill("#question", "What is this?");
    await page.keyboard.press("Enter");
    await page.workers()[0].evaluate(async () => (await import("./gpu.js")).device.destroy());
    await page.waitForSelector(".answer .error");
    console.log("a lost GPU:", await page.innerText(".answer .error"));
    assert.match(await page.innerText(".answer .error"), /The GPU failed: it was lost/);
    await last(page).getByRole("button", { name: "Retry" }).click();
    await complete(page);
    assert.match(await where(page), /^parrot-mini, on this computer's processor, one thread\. The GPU failed: it was lost/);
    assert.deepEqual(await askTwice(page), expected);
    await page.close();
  }
  // A processor behind WebGPU, untold: the program for processors is faster.
  {
    const { page } = await start(url);
    assert.equal(await where(page), "parrot-mini, on this computer's processor, one thread. Behind this browser's WebGPU is no GPU.");
    await page.close();
  }
  // A GPU whose compiler refuses some kernels, and one that computes something else.
  for (const [fault, said] of [
    ["code => code.includes('exp(') ? `${code} not WGSL` : code", /The GPU failed: it refused something/],
    ["code => code.replaceAll(' * ', ' + ')", /The GPU failed: .*self-test/],
  ]) {
    edited = { "gpu.js": script => `${script}
      const { createShaderModule } = GPUDevice.prototype;
      GPUDevice.prototype.createShaderModule = function (shader) {
        return createShaderModule.call(this, { ...shader, code: (${fault})(shader.code) });
      };` };
    const { page } = await start(onGpu);
    assert.match(await where(page), /^parrot-mini, on this computer's processor/);
    assert.match(await where(page), said);
    assert.deepEqual(await askTwice(page), expected);
    await page.close();
  }
  await browser.close();
}

server.close();
