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

  // Nothing is wider than the window.
  const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  assert.ok(overflow <= 0, `${overflow} pixels too wide`);

  await page.reload();
  await page.waitForSelector("#welcome:not([hidden])");
  assert.equal(await page.locator(".turn").count(), 0);
  assert.deepEqual(errors, []);
  await page.close();
}
await browser.close();
