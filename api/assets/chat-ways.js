// The way that a text takes: SMS, the internet, or the internet once the link to the hub
// is back. All of it shows only on a gateway that belongs to a hub; while the link is
// down the choice stands open.
import { $, ask, kept, make } from './chat-api.js';
import * as store from './chat-store.js';
import { bytes, soon } from './chat-words.js';

const listeners = [];
export const changed = act => listeners.push(act);
const tell = () => { for (const act of listeners) act(); };

const names = { auto: 'Auto', sms: 'SMS', internet: 'Internet', offline: 'Later' };
let chosen = 'auto';
let shut = false; // somebody has closed the choice while the link is down
let id = '';

export const offered = () => !!store.myself.hub?.belongs;
export const up = () => !!store.myself.hub?.up;

// mode is what is sent as the mode; none where none is offered.
export const mode = () => (offered() ? chosen : undefined);

// route foresees the way: sms or internet.
export function route(c, by = chosen) {
  if (!offered() || by === 'sms') return 'sms';
  if (by === 'auto') return up() && c?.reachable?.includes('internet') ? 'internet' : 'sms';
  return 'internet';
}

// head is what an SMS begins with here: whose it is, and what it is about.
export function head(c) {
  const name = c?.our_name && (c.prefix || !store.me.startsWith('usr_')) ? c.our_name : store.myself.name; // of a program: whom it writes for
  return `${name ? `${name}: ` : ''}${subject() ? `[${subject()}] ` : ''}`;
}

export const subject = () => (offered() ? $('subject').value.trim() : '');

// links are what an SMS ends with: where its files are.
export const links = () => {
  const at = store.myself.hub?.public_url?.replace(/\/$/, '');
  return at ? attached().map(f => `\n${at}/f/${f.id}`).join('') : '';
};

// hindered says why what is attached can't go, "" if it can.
export function hindered(c) {
  if (files.some(f => !f.stored)) return files.some(f => f.fault) ? 'Remove the file that was not taken.' : 'A file is still on its way to the gateway.';
  if (files.length && route(c) === 'sms' && !store.myself.hub.public_url) return 'By SMS a file goes as a link, and the hub has no public address for it. Choose another way, or remove the file.';
  return '';
}

// What is attached.
let files = []; // {name, size, stored, fault, sent, request}
export const attached = () => files.filter(f => f.stored).map(f => f.stored);
export const any = () => files.length > 0;

function attach(list) {
  const most = store.myself.limits?.file_bytes || 0;
  for (const file of list) {
    const f = { name: file.name, size: file.size, sent: 0 };
    files.push(f);
    if (files.length > 10) f.fault = 'Ten files go with a message at most.';
    else if (file.size > most) f.fault = `It has ${bytes(file.size)}; at most ${bytes(most)} are taken.`;
    else if (!file.size) f.fault = 'It is empty.';
    else upload(f, file);
  }
  drawFiles();
  tell();
}

// XMLHttpRequest, for fetch does not tell how much of a body is sent.
function upload(f, file) {
  const r = f.request = new XMLHttpRequest();
  r.open('POST', `/v1/files?name=${encodeURIComponent(file.name)}`);
  r.setRequestHeader('Content-Type', file.type || 'application/octet-stream');
  r.setRequestHeader('Accept', 'application/json');
  r.responseType = 'json';
  r.upload.onprogress = e => {
    f.sent = e.loaded;
    const bar = f.row?.querySelector('progress');
    if (bar) bar.value = e.loaded;
  };
  r.onload = () => {
    if (r.status === 401) dispatchEvent(new Event('signed-out'));
    if (r.status === 201) f.stored = r.response;
    else f.fault = r.response?.detail || r.response?.title || `The answer was ${r.status}.`;
    drawFiles();
    tell();
  };
  r.onerror = () => { f.fault = 'The gateway does not answer.'; drawFiles(); tell(); };
  r.send(file);
}

function drawFiles() {
  $('attached').replaceChildren(...files.map(f => {
    const picture = f.stored?.type.startsWith('image/');
    f.row = make('li', { class: f.fault ? 'bad' : '' },
      picture && make('img', { src: `/v1/files/${f.stored.id}`, alt: '' }),
      make('span', { class: 'file-name' }, make('bdi', {}, f.name), ' ', make('span', { class: 'dim' }, f.fault || bytes(f.size))),
      !f.stored && !f.fault && make('progress', { max: f.size, value: f.sent, 'aria-label': `Upload of ${f.name}` }));
    const off = make('button', { type: 'button', class: 'quiet icon', 'aria-label': `Remove ${f.name}` }, '✕');
    off.addEventListener('click', () => {
      f.request?.abort();
      files = files.filter(other => other !== f);
      drawFiles();
      tell();
    });
    f.row.append(off);
    return f.row;
  }));
  $('attached').hidden = !files.length;
}

// take is what goes with a text, which is sent now.
export function take() {
  const with_ = offered() ? { mode: chosen, ...(subject() && { subject: subject() }), ...(attached().length && { files: attached().map(f => f.id) }) } : {};
  files = [];
  $('subject').value = '';
  open(false);
  drawFiles();
  return with_;
}

// show is another conversation.
export function show(of) {
  if (id !== of) {
    for (const f of files) f.request?.abort();
    files = [];
    $('subject').value = '';
    open(false);
    drawFiles();
  }
  id = of;
  draw();
}

function open(is) {
  $('extras').hidden = !is;
  $('extras-open').setAttribute('aria-expanded', String(is));
}

function ways(is) {
  $('ways').hidden = !is;
  $('way').setAttribute('aria-expanded', String(is));
}

const sentences = {
  auto: c => (route(c) === 'internet' ? 'It goes by internet, which reaches this number now.' : 'It goes as SMS now; a copy by internet follows if the number has an inbox.'),
  sms: () => 'It goes as SMS now; a copy by internet follows if the number has an inbox.',
  internet: () => 'It goes to the inbox on the hub, now, and costs no SMS.',
  offline: () => (up() ? 'It goes by internet; should the link fail, it waits for it.' : 'It is kept here and goes by internet when the link is back.'),
};

// draw shows the choice as it is now.
export function draw() {
  const has = offered();
  for (const part of ['way', 'extras-open', 'tag']) $(part).hidden = !has;
  $('compose').classList.toggle('modes', has);
  if (!has) { ways(false); return; }
  const c = store.conversations.get(id);
  const net = up() && c?.reachable?.includes('internet');
  if (chosen === 'internet' && !net) chosen = 'auto';
  for (const radio of document.querySelectorAll('#ways input')) {
    radio.checked = radio.value === chosen;
    if (radio.value === 'internet') radio.disabled = !net;
  }
  $('way').textContent = names[chosen];
  $('way').setAttribute('aria-label', `The way that it takes: ${names[chosen]}`);
  const since = store.myself.hub.since;
  $('ways-words').textContent = up() ? sentences[chosen](c) : `The link to the hub is down${since ? ` since ${soon(since)}` : ''}. ${sentences[chosen](c)}`;
  $('ways').classList.toggle('down', !up());
  if (!up() && !shut) ways(true);
}

// usual is the way that somebody chose for good.
function usual() {
  chosen = kept.get('way', 'auto');
  if (!names[chosen]) chosen = 'auto';
}

const often = 10_000;

// look asks how the link is. The log does not tell it; what is open asks for its presence too.
async function look() {
  if (!offered() || document.hidden) return;
  try {
    const { hub } = await ask('GET', '/v1/chat');
    const before = JSON.stringify(store.myself.hub);
    store.myself.hub = hub;
    if (before === JSON.stringify(hub)) return;
    if (hub.up) {
      shut = false;
      ways(false);
      usual();
    }
    if (id) store.touch(id);
    draw();
    tell();
  } catch { /* the page says by itself that the gateway is away */ }
}

export function start() {
  store.on('myself', () => { draw(); tell(); });
  store.on('conversation', c => { if (c.id === id) { draw(); tell(); } });
  for (const radio of document.querySelectorAll('#ways input')) {
    radio.addEventListener('change', () => {
      chosen = radio.value;
      // What is chosen while the link is down is for that time.
      if (up()) {
        kept.set('way', chosen === 'auto' ? null : chosen);
        ways(false);
      }
      draw();
      tell();
    });
  }
  usual();
  $('way').addEventListener('click', () => {
    const is = $('ways').hidden;
    shut = !is;
    ways(is);
    if (is) document.querySelector('#ways input:checked')?.focus();
  });
  $('extras-open').addEventListener('click', () => {
    const is = $('extras').hidden;
    open(is);
    if (is) $('subject').focus();
  });
  $('attach').addEventListener('click', () => $('file').click());
  $('file').addEventListener('change', () => { attach([...$('file').files]); $('file').value = ''; });
  $('subject').addEventListener('input', tell);
  addEventListener('link-down', look);
  setInterval(look, often);
  setInterval(() => { // who can be reached by internet
    if (!offered() || document.hidden) return;
    if (id) store.touch(id);
    store.presence();
  }, 30_000);
  document.addEventListener('visibilitychange', look);
}
