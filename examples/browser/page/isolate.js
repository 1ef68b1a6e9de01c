// Browsers give threads only to a page that its server declares isolated from others. Where the server does not, a service worker
// declares it, to a page that is loaded once more.
"use strict";

/** Settled when there is nothing left to wait for; not at all if the page is about to be loaded once more. */
globalThis.isolation = (async () => {
  if (crossOriginIsolated || !navigator.serviceWorker || sessionStorage.getItem("isolation")) return;
  // Once: what did not help will not help.
  sessionStorage.setItem("isolation", "tried");
  const registration = await navigator.serviceWorker.register("headers.js");
  const worker = registration.active ?? registration.waiting ?? registration.installing;
  for (let waited = 0; worker.state !== "activated" && waited < 2000; waited += 20) await new Promise(resolve => setTimeout(resolve, 20));
  if (worker.state !== "activated") return;
  location.reload();
  await new Promise(() => {});
})().catch(() => {});
