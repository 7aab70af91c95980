// Tells that something came: in the title, on the app's icon, by a sound and by the
// browser's notifications, all on this device alone. There is no push service, since
// that would need the internet: the page must be open, if only in the background.
import { $, kept } from './chat-api.js';
import * as store from './chat-store.js';
import { nameOf, said } from './chat-words.js';

const title = document.title;
export const wants = name => kept.get(name, false);

function badge(n) {
  document.title = n ? `(${n}) ${title}` : title;
  if (!navigator.setAppBadge) return;
  (n ? navigator.setAppBadge(n) : navigator.clearAppBadge()).catch(() => {}); // not installed
}

// why says what keeps notifications from working here; "": nothing.
export function why() {
  if (!isSecureContext) return 'Browsers allow notifications only over https. Open the page by its https address; Setup tells it.';
  if (!('Notification' in window)) return 'This browser has no notifications. On an iPhone or iPad, add the page to the home screen first.';
  if (Notification.permission === 'denied') return 'Notifications are blocked in this browser’s settings for this address.';
  return '';
}

// turn asks for the permission; only a button may.
export async function turn(on) {
  if (on && !why() && Notification.permission === 'default') await Notification.requestPermission();
  kept.set('notify', on && !why() && Notification.permission === 'granted');
  return wants('notify');
}

let audio;
function sound() {
  try {
    audio ??= new AudioContext();
    for (const [from, pitch] of [[0, 660], [0.12, 880]]) {
      const tone = audio.createOscillator();
      const loud = audio.createGain();
      const at = audio.currentTime + from;
      tone.frequency.value = pitch;
      loud.gain.setValueAtTime(0.12, at);
      loud.gain.exponentialRampToValueAtTime(0.001, at + 0.18);
      tone.connect(loud).connect(audio.destination);
      tone.start(at);
      tone.stop(at + 0.2);
    }
  } catch { /* no sound then */ }
}
export const trySound = sound;

async function notify(m, c) {
  const whole = wants('content');
  const words = whole ? said(m).slice(0, 200) : 'Open the chat to read it.';
  const options = { body: words, tag: m.conversation, renotify: true, icon: '/assets/icon-192.png', badge: '/assets/icon-192.png', data: { path: `/chat/${m.conversation}` } };
  const head = whole ? nameOf(c) : 'New text';
  const worker = await navigator.serviceWorker?.getRegistration('/chat');
  if (worker?.active) await worker.showNotification(head, options);
  else new Notification(head, options).addEventListener('click', () => window.focus());
}

export function start({ current }) {
  store.on('unread', badge);
  let since = Date.now();
  store.on('message', async ({ message: m }) => {
    if (m.direction !== 'inbound' || m.status !== 'received') return;
    if (new Date(m.updated_at ?? m.created_at).getTime() < since - 120_000) return; // of an old log
    const looking = !document.hidden && document.hasFocus();
    if (looking && current() === m.conversation) return;
    const c = await store.known(m.conversation).catch(() => null);
    if (!c || !store.own(c) || c.state === 'blocked') return; // what others share calls them
    if (wants('sound')) sound();
    if (looking || !wants('notify') || why() || Notification.permission !== 'granted') return;
    notify(m, c).catch(() => {});
  });
  store.on('back', () => { since = Date.now(); });
}

// install has the browser keep what the page is made of; without https it can't, and
// all but that works.
export async function install({ go }) {
  let prompt = null;
  addEventListener('beforeinstallprompt', e => {
    e.preventDefault();
    prompt = e;
    $('install').hidden = false;
  });
  $('install').addEventListener('click', async () => {
    await prompt?.prompt();
    prompt = null;
    $('install').hidden = true;
  });
  if (!('serviceWorker' in navigator)) return;
  try {
    await navigator.serviceWorker.register('/sw.js', { scope: '/chat' });
    navigator.serviceWorker.addEventListener('message', e => { if (e.data?.path) go(e.data.path); });
  } catch { /* a certificate that the browser does not trust */ }
}
