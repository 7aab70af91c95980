// Keeps what the chat page is made of, and nothing that it shows: no answer of the API
// and no page with a name on it is ever kept. What is kept is used only while the
// gateway does not answer; then a page says so.

const name = 'chat-shell';
const away = '/chat/away';
const shell = [away, '/assets/style.css', '/assets/chat.css', '/assets/chat-away.js', '/assets/icon.svg', '/assets/icon-192.png'];

self.addEventListener('install', event => {
  event.waitUntil(caches.open(name).then(cache => cache.addAll(shell)).then(() => self.skipWaiting()));
});

self.addEventListener('activate', event => {
  event.waitUntil(caches.keys().then(all => Promise.all(all.filter(n => n !== name).map(n => caches.delete(n)))).then(() => self.clients.claim()));
});

async function asset(request) {
  const cache = await caches.open(name);
  try {
    const answer = await fetch(request);
    if (answer.ok) await cache.put(request, answer.clone());
    return answer;
  } catch (e) {
    const kept = await cache.match(request);
    if (kept) return kept;
    throw e;
  }
}

self.addEventListener('fetch', event => {
  const { request } = event;
  const url = new URL(request.url);
  if (request.method !== 'GET' || url.origin !== location.origin) return;
  if (request.mode === 'navigate') {
    event.respondWith(fetch(request).catch(async () => (await caches.match(away)) ?? Response.error()));
  } else if (url.pathname.startsWith('/assets/')) {
    event.respondWith(asset(request));
  } // all else goes to the gateway, or nowhere
});

self.addEventListener('notificationclick', event => {
  event.notification.close();
  const { path } = event.notification.data;
  event.waitUntil((async () => {
    const open = (await self.clients.matchAll({ type: 'window', includeUncontrolled: true })).find(c => new URL(c.url).pathname.startsWith('/chat'));
    if (!open) return self.clients.openWindow(path);
    open.postMessage({ path });
    return open.focus();
  })());
});
