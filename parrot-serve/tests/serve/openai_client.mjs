// Asks a server through the official package: URL KEY DATA_URL MODULES, where MODULES is a folder with node_modules/openai.

import assert from "node:assert/strict";
import { createRequire } from "node:module";

const [baseURL, apiKey, image, modules] = process.argv.slice(2);
const { default: OpenAI } = createRequire(`${modules}/`)("openai");
const client = new OpenAI({ baseURL, apiKey, maxRetries: 0 });

const models = await client.models.list();
assert.deepEqual(models.data.map(model => model.id), ["parrot", "org/other"]);

const content = [{ type: "text", text: "What is this?" }, { type: "image_url", image_url: { url: image } }];
const request = { model: "parrot", messages: [{ role: "user", content }], max_tokens: 8 };
const whole = await client.chat.completions.create(request);
assert.equal(whole.parrot[0].routing[0].length, 6);

let text = "";
for await (const chunk of await client.chat.completions.create({ ...request, stream: true })) {
  text += chunk.choices[0]?.delta.content ?? "";
}
assert.equal(text, whole.choices[0].message.content);

await assert.rejects(client.chat.completions.create({ ...request, temperature: 5 }), OpenAI.BadRequestError);
await assert.rejects(new OpenAI({ baseURL, apiKey: "wrong", maxRetries: 0 }).models.list(), OpenAI.AuthenticationError);
