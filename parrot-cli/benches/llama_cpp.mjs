// How fast llama.cpp reads a prompt and decodes, beside `parrot bench`. It has no Parrot, so this is the decoder alone.
//
//     npm install node-llama-cpp        (llama.cpp, compiled for several kinds of processor; the best for this one is taken)
//     node parrot-cli/benches/llama_cpp.mjs MODEL.gguf [TOKENS OF THE PROMPT = 637] [NEW TOKENS = 16] [REPEATS = 2] [THREADS = 2]
//
// llama_cpp_model.py makes such a model. Prints a table as `parrot bench` does, which compares with it (`--vs`), and the memory of the process.
import {createRequire} from "node:module";
import {readFileSync} from "node:fs";
import {pathToFileURL} from "node:url";
import {join} from "node:path";

const entry = createRequire(join(process.cwd(), "package.json")).resolve("node-llama-cpp");
const {getLlama, LlamaLogLevel} = await import(pathToFileURL(entry).href);
const [path, promptTokens = 637, newTokens = 16, repeats = 2, threads = 2] = process.argv.slice(2).map((word, at) => at ? +word : word);

const llama = await getLlama({gpu: false, build: "never", logLevel: LlamaLogLevel.error, maxThreads: threads});
const model = await llama.loadModel({modelPath: path});
const context = await model.createContext({contextSize: 1024, batchSize: 1024, threads, sequences: 1});
const sequence = context.getSequence();
const prompt = Array.from({length: promptTokens}, (_, at) => 1 + (at * 7919) % 150000);

const prefill = [], decoding = [];
for (let run = 0; run < repeats; run++) {
    await sequence.clearHistory();
    let start = performance.now();
    // Until the first token of the answer is known, as `parrot bench` has it.
    const tokens = sequence.evaluate(prompt, {temperature: 0});
    await tokens.next();
    prefill.push(performance.now() - start);
    for (let token = 0; token < newTokens; token++) {
        start = performance.now();
        await tokens.next();
        decoding.push(performance.now() - start);
    }
    await tokens.return();
}
const median = (times) => times.toSorted((one, other) => one - other)[Math.floor(times.length / 2)];
const row = (name, times) => console.log(`| ${name} | ${median(times).toFixed(2)} ms | ${Math.min(...times).toFixed(2)} ms | ${Math.max(...times).toFixed(2)} ms |`);
console.log("| phase | median | fastest | slowest |\n|---|--:|--:|--:|");
row("prefill", prefill);
row("decode", decoding);
console.log(readFileSync("/proc/self/status", "utf8").match(/VmHWM:\s+(.*)/)?.[1], "at most");
await llama.dispose();
