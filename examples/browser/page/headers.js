// The service worker that isolate.js starts: adds to all that the server gives what declares the page isolated.

oninstall = () => skipWaiting();
onfetch = event => event.respondWith(isolated(event.request));

async function isolated(request) {
  const response = await fetch(request);
  if (response.type !== "basic") return response;
  const headers = new Headers(response.headers);
  headers.set("Cross-Origin-Opener-Policy", "same-origin");
  headers.set("Cross-Origin-Embedder-Policy", "require-corp");
  return new Response(response.body, { status: response.status, statusText: response.statusText, headers });
}
