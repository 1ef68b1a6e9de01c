// Uses the page in Chromium: URL CHROMIUM MODULES [FOLDER], where MODULES is a folder with node_modules/playwright-core and
// FOLDER is for screenshots.

import assert from "node:assert/strict";
import { createRequire } from "node:module";

const [url, executablePath, modules, folder] = process.argv.slice(2);
const { chromium } = createRequire(`${modules}/`)("playwright-core");
const browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });

for (const [width, height, colorScheme] of [[1280, 800, "light"], [390, 844, "dark"]]) {
  const page = await browser.newPage({ viewport: { width, height }, colorScheme });
  const errors = [];
  page.on("pageerror", error => errors.push(String(error)));
  page.on("console", message => message.type() === "error" && errors.push(message.text()));
  const shoot = async name => folder && page.screenshot({ path: `${folder}/${name}-${width}.png` });
  const complete = () => page.waitForFunction(() => !document.querySelector("[aria-busy=true]"), null, { timeout: 60_000 });

  await page.goto(url);
  await shoot("welcome");

  // A picture is dropped, and asked about in Arabic.
  const png = await page.evaluate(async () => [...new Uint8Array(await (await fetch("samples/rocket.png")).arrayBuffer())]);
  const dropped = await page.evaluateHandle(bytes => {
    const data = new DataTransfer();
    data.items.add(new File([new Uint8Array(bytes)], "rocket.png", { type: "image/png" }));
    return data;
  }, png);
  await page.dispatchEvent("#composer", "drop", { dataTransfer: dropped });
  await page.waitForSelector("#thumbs img");
  await page.fill("#question", "ما هذا؟");
  assert.equal(await page.evaluate(() => getComputedStyle(document.getElementById("question")).direction), "rtl");
  await page.keyboard.press("Enter");
  await page.waitForSelector(".answer .router:not([hidden])");
  await complete();
  assert.notEqual(await page.innerText(".answer .text"), "");
  assert.equal(await page.locator(".answer .router .tube").count(), 6);
  assert.match(await page.innerText(".answer .facts"), /tokens/);

  // The conversation goes on, by keyboard alone.
  await page.keyboard.type("What is this?");
  await page.keyboard.press("Enter");
  await page.waitForFunction(() => document.querySelectorAll(".answer").length === 2);
  await complete();
  await shoot("conversation");

  // A new conversation, about a sample, in all six languages at once.
  await page.click("#new");
  await page.click("[data-sample=rocket]");
  await page.waitForSelector("#thumbs img");
  await page.click("#open-six");
  await shoot("six-questions");
  await page.click("#six button[value=ask]");
  await page.waitForSelector(".answers.six");
  await complete();
  assert.equal(await page.locator(".answers.six .answer").count(), 6);
  for (const text of await page.locator(".answers.six .text").allInnerTexts()) assert.notEqual(text, "");
  assert.equal(await page.locator(".answers.six .router .tube").count(), 36);
  await shoot("six");

  // An answer is stopped half-way, and asked for again.
  await page.fill("#question", "Describe the picture.");
  await page.route("**/v1/chat/completions", async route => {
    await new Promise(resolve => setTimeout(resolve, 500));
    await route.continue().catch(() => {});
  });
  await page.keyboard.press("Enter");
  await page.waitForSelector("#stop:not([hidden])");
  await page.keyboard.press("Escape");
  await complete();
  const last = page.locator(".answer").last();
  assert.equal(await last.locator(".facts").innerText(), "stopped");
  await page.unroute("**/v1/chat/completions");
  await last.getByText("Retry").click();
  await complete();
  assert.match(await last.locator(".facts").innerText(), /tokens/);

  // A question that is too long is refused, and those that follow are answered.
  await page.click("#new");
  await page.fill("#question", "long ".repeat(2000));
  await page.keyboard.press("Enter");
  await page.waitForSelector(".answer .error");
  assert.match(errors.splice(0).join(), /400/);
  await page.fill("#question", "Hm?");
  await page.keyboard.press("Enter");
  await page.waitForFunction(() => document.querySelectorAll(".answer").length === 2);
  await complete();
  assert.match(await page.locator(".answer").last().locator(".facts").innerText(), /tokens/);

  // What is no picture is named, even where a picture follows it; a question of one's own in six languages; no network.
  await page.click("#new");
  await page.evaluate(async () => {
    const png = await (await fetch("samples/rocket.png")).blob();
    await add([new File(["%PDF"], "notes.pdf", { type: "application/pdf" }), new File(["?"], "photo.heic", { type: "image/heic" }), png]);
  });
  assert.match(await page.innerText("#status"), /^notes.pdf is no picture. photo.heic cannot be read here: .*PNG/);
  assert.equal(await page.locator("#thumbs img").count(), 1);
  await page.fill("#question", "Mine?");
  await page.click("#open-six");
  assert.equal(await page.evaluate(() => document.getElementById("preset").selectedOptions[0]?.textContent), "Your own");
  await page.keyboard.press("Escape");
  await page.click("#new");
  await page.route("**/samples/*", route => route.abort());
  await page.click("[data-sample=rocket]");
  await page.waitForFunction(() => /cannot be fetched/.test(document.getElementById("status").textContent));
  await page.unroute("**/samples/*");
  assert.match(errors.splice(0).join(), /ERR_FAILED/);

  // Large pictures are made smaller, but for those whose colours beneath transparency would be lost.
  const kept = await page.evaluate(async () => {
    const made = [];
    for (const alpha of [255, 0]) {
      const image = new ImageData(1800, 1600);
      for (let at = 0; at < image.data.length; at += 65536) crypto.getRandomValues(image.data.subarray(at, at + 65536));
      for (let at = 3; at < image.data.length; at += 4) image.data[at] = at < image.data.length / 2 ? 255 : alpha || image.data[at];
      const canvas = new OffscreenCanvas(image.width, image.height);
      canvas.getContext("2d").putImageData(image, 0, 0);
      const file = await canvas.convertToBlob();
      const url = await picture(file);
      made.push([file.size > MAX_FILE, url.slice(0, 15), url === await read(file)]);
    }
    return made;
  });
  assert.deepEqual(kept, [[true, "data:image/jpeg", false], [true, "data:image/png;", true]]);

  // Nothing is wider than the window.
  const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  assert.ok(overflow <= 0, `${overflow} pixels too wide`);

  await page.reload();
  await page.waitForSelector("#welcome:not([hidden])");
  assert.equal(await page.locator(".turn").count(), 0);
  assert.deepEqual(errors, []);
  await page.close();
}

// On a phone, which has a camera, all that is asked with fits into a row.
const phone = await browser.newPage({ viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true });
await phone.goto(url);
const tops = await phone.locator("footer .row > :is(button, .button):visible").evaluateAll(all => all.map(({ offsetTop }) => offsetTop));
assert.equal(tops.length, 4);
assert.equal(new Set(tops).size, 1);
await browser.close();
