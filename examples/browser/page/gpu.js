// The browser's GPU, and what it refuses: of that the program hears too late or not at all, and goes on with whatever the
// memory held.

const KINDS = ["validation", "internal", "out-of-memory"];

/** What the program computes on. */
export let device = null;
let refused = null;

/** Why there is none, in words; null if there is one. A processor behind WebGPU is slower than the program for processors. */
export async function absence({ evenSoftware }) {
  const adapter = await navigator.gpu?.requestAdapter().catch(() => null);
  if (!adapter) return "This browser offers no WebGPU.";
  return adapter.info?.isFallbackAdapter && !evenSoftware ? "Behind this browser's WebGPU is no GPU." : null;
}

const { requestDevice } = globalThis.GPUAdapter?.prototype ?? {};
if (requestDevice) GPUAdapter.prototype.requestDevice = async function (descriptor) {
  device = await requestDevice.call(this, descriptor);
  device.lost.then(({ message }) => { refused = `it was lost (${message || "the browser does not say why"})`; });
  listen();
  return device;
};
const listen = () => KINDS.forEach(kind => device.pushErrorScope(kind));

/** Why nothing that was computed on it can be relied on; null if all can. */
export async function refusal() {
  if (!device) return null;
  const heard = KINDS.map(() => device.popErrorScope().catch(() => null));
  listen();
  const error = (await Promise.all(heard)).find(error => error);
  if (error) refused ??= `it refused something (${error.message.split("\n")[0]})`;
  return refused;
}
