// Keeps the driver's page readable without a connection: the last one that came, and the files it is drawn with.
const KEPT = "fleetcharge-drive-1";

self.addEventListener("install", () => self.skipWaiting());
self.addEventListener("activate", (event) => event.waitUntil(self.clients.claim()));
self.addEventListener("message", (event) => event.waitUntil(keep(event.data.urls ?? [])));
self.addEventListener("fetch", (event) => {
  const url = new URL(event.request.url);
  if (event.request.method !== "GET" || url.origin !== location.origin) return;
  if (url.pathname.startsWith("/static/")) event.respondWith(file(event.request));
  else if (event.request.mode === "navigate") event.respondWith(page(event.request, url));
});

async function keep(urls) {
  const cache = await caches.open(KEPT);
  for (const url of urls) if (!(await cache.match(url))) await cache.add(url).catch(() => {});
}

/** Files never change under one name, and the name says so in production. */
async function file(request) {
  const cache = await caches.open(KEPT);
  try {
    const answer = await fetch(request);
    if (answer.ok) await cache.put(request, answer.clone());
    return answer;
  } catch {
    return (await cache.match(request)) ?? Response.error();
  }
}

/** The newest page there is. One that has ended is forgotten. */
async function page(request, url) {
  const cache = await caches.open(KEPT);
  const name = url.origin + url.pathname;
  try {
    const answer = await fetch(request);
    if (answer.ok && !answer.redirected) await cache.put(name, answer.clone());
    else if (answer.status === 404 || answer.status === 410) await cache.delete(name);
    return answer;
  } catch {
    return (await cache.match(name)) ?? Response.error();
  }
}
