// The conversation that is open: what was said in it, with days, notes of colleagues
// and what happened in between.
import { $, ask, drawn, make, note, say } from './chat-api.js';
import * as outbox from './chat-outbox.js';
import * as store from './chat-store.js';
import { advice, bare, bytes, day, dayOf, decided, failed, hour, mark, moment, nameOf, precisely, said, soon, tag } from './chat-words.js';
import * as ways from './chat-ways.js';

let id = ''; // of the conversation
let firstUnread = ''; // the message that the line "new" stands before
let waiting = false; // a text goes out once the phone says YES
let wanted = 0; // unread ones when it was opened
const scroll = $('scroll');
const ol = $('messages');

export const current = () => id;
let pinned = true; // to the end
const atEnd = () => scroll.scrollHeight - scroll.scrollTop - scroll.clientHeight < 60;
const toEnd = () => { scroll.scrollTop = scroll.scrollHeight; $('newer').hidden = true; };

// shown is a file as the page can show it: a picture, video or sound as such, all else to
// be saved. The gateway says what it looks like, whoever sent it.
function shown(f) {
  const at = `/v1/files/${encodeURIComponent(f.id)}`;
  const link = () => make('a', { class: 'file', href: at, download: f.name }, make('bdi', {}, f.name), ' ', make('span', { class: 'dim' }, bytes(f.size)));
  const [kind] = f.type.split('/');
  if (kind === 'image' && f.type !== 'image/svg+xml') {
    const img = make('img', { src: at, alt: f.name, loading: 'lazy' });
    const a = make('a', { class: 'picture', href: at, target: '_blank', rel: 'noopener' }, img);
    img.addEventListener('error', () => a.replaceWith(link()));
    img.addEventListener('load', () => { if (pinned) toEnd(); });
    return a;
  }
  if (kind === 'video' || kind === 'audio') {
    const player = make(kind, { src: at, controls: true, preload: 'metadata', 'aria-label': f.name });
    player.addEventListener('error', () => player.replaceWith(link()));
    return player;
  }
  return link();
}

// bubble is one message. What it says is text and stays text.
function bubble(m, first) {
  const out = m.direction !== 'inbound';
  const [sign, meaning] = out ? mark(m.status, m.via) : ['', ''];
  const [way, copy] = tag(m, store.myself.hub?.up);
  const our = store.conversations.get(id)?.our_name;
  const auto = m.author?.kind === 'auto';
  const bad = failed(m.status);
  const li = make('li', { class: ['bubble', out ? 'out' : 'in', auto && 'auto', bad && 'failed', m.status === 'unconfirmed' && 'doubtful'].filter(Boolean).join(' '), 'data-id': m.id ?? m.client_id });
  const who = !out ? '' : auto ? 'Automatic' : m.author?.kind === 'key' ? `${m.author.name} (program)` : m.author && m.author.id !== store.me ? m.author.name : '';
  li.append(make('span', { class: 'unseen' }, out ? `${who || (m.author ? 'You' : m.status === 'waiting' ? 'Waits' : 'Sent')}: ` : `${nameOf(store.conversations.get(id) ?? {})}: `));
  if (who && (first || auto)) li.append(make('p', { class: 'author', 'aria-hidden': 'true' }, make('bdi', {}, who)));
  if (m.subject) li.append(make('p', { class: 'subject' }, m.subject));
  const files = m.redacted ? [] : m.files ?? [];
  if (files.length) li.append(make('div', { class: 'files' }, ...files.map(shown)));
  if (!files.length || bare(m, our)) li.append(make('p', { class: m.redacted || (m.text === null && out) ? 'words erased' : 'words' }, said(m, our)));
  const extra = m.status === 'scheduled' && m.send_at ? `for ${soon(m.send_at)}` : m.status === 'waiting' ? 'goes out after YES' : '';
  li.append(make('p', { class: 'meta' },
    way && make('span', { class: `tag ${way.toLowerCase()}` }, way),
    copy && make('span', { class: 'copy' }, copy),
    extra && make('span', {}, extra),
    m.incomplete && make('span', {}, 'parts are missing · '),
    m.possible_duplicate && make('span', {}, out ? 'may have gone twice · ' : 'may be a repeat · '),
    m.held && make('span', {}, 'held · '),
    make('time', { datetime: m.created_at, title: precisely(m.created_at) }, hour(m.created_at)),
    sign && drawn(sign, meaning)));
  if (bad || m.status === 'unconfirmed') {
    const what = m.error?.detail || m.error?.title || '';
    li.append(make('div', { class: 'why' },
      make('p', {}, make('b', {}, m.status === 'unsaved' ? 'Not sent. ' : `${meaning}. `), what),
      m.status !== 'unsaved' || m.error?.code ? make('p', {}, advice(m.error?.code, m.status)) : null,
      make('p', { class: 'acts' },
        ...(m.status === 'unsaved' ? [...(['link-down', 'no-inbox'].includes(m.error?.code) ? [['as-sms', 'Send as SMS']] : []), ...(m.error?.code === 'link-down' ? [['as-offline', 'Send when the link is back']] : []), ['again', 'Try again'], ['edit', 'Edit'], ['discard', 'Discard']] : []).map(([act, title]) => make('button', { type: 'button', class: 'link', 'data-act': act }, title)),
        bad && m.status !== 'unsaved' && store.may.send && make('button', { type: 'button', class: 'link', 'data-act': 'rewrite' }, 'Write it again'),
        m.id && make('a', { href: `/messages/${m.id}` }, 'Details'))));
  }
  if ((m.status === 'scheduled' || (m.via === 'internet' && m.status === 'queued' && m.id)) && store.may.send) li.append(make('p', { class: 'acts' }, make('button', { type: 'button', class: 'link', 'data-act': 'cancel' }, 'Cancel it')));
  return li;
}

const noted = n => make('li', { class: 'noted', 'data-id': n.id },
  make('p', { class: 'author' }, 'Note', n.author_name && ' by ', n.author_name && make('bdi', {}, n.author === store.me ? 'you' : n.author_name)),
  make('p', { class: 'words' }, n.text),
  make('p', { class: 'meta' }, make('time', { datetime: n.created_at, title: precisely(n.created_at) }, hour(n.created_at)),
    (n.author === store.me || store.may.admin) && make('button', { type: 'button', class: 'link', 'data-act': 'unnote' }, 'Delete')));

const system = (key, at, words) => ({ key, at, sig: words, draw: () => make('li', { class: 'system' }, make('span', {}, words), ' ', make('time', { datetime: at, title: precisely(at) }, hour(at))) });

// lay puts everything in its order.
function lay() {
  const t = store.talkOf(id);
  if (!t) return;
  const all = [...t.messages.values()].map(m => ({ key: m.id, at: m.created_at, m }));
  for (const n of t.notes.values()) all.push({ key: n.id, at: n.created_at, sig: n.text, draw: () => noted(n) });
  const oldest = t.complete ? 0 : Math.min(...all.filter(i => i.m).map(i => moment(i.at)));
  for (const e of t.log) {
    if (e.conversation && e.conversation !== id) continue;
    if (moment(e.at) >= oldest) all.push(system(`log ${e.id}`, e.at, decided(e)));
  }
  all.sort((a, b) => moment(a.at) - moment(b.at) || (a.key < b.key ? -1 : 1));
  const known = new Set(all.map(i => i.m?.client_id).filter(Boolean));
  for (const i of outbox.waiting(id)) if (!known.has(i.client_id)) all.push({ key: i.client_id, at: i.created_at, m: { ...i, files: [], direction: 'outbound', author: { id: store.me } } });

  const c = store.conversations.get(id);
  if (c?.waiting) {
    const mine = outbox.pending(c);
    all.push({ key: 'waiting', at: new Date().toISOString(), m: { client_id: 'waiting', direction: 'outbound', status: 'waiting', text: mine ?? 'The first text', created_at: c.updated_at, author: mine === null ? null : { id: store.me } } });
  }

  if (wanted) { // the line stands still while one reads
    const inbound = all.filter(i => i.m?.direction === 'inbound');
    firstUnread = inbound.at(-Math.min(wanted, inbound.length))?.key ?? '';
    wanted = 0;
  }
  const items = [];
  let before = null;
  for (const i of all) {
    if (!before || dayOf(before.at) !== dayOf(i.at)) {
      items.push({ key: `day ${dayOf(i.at)}`, sig: day(i.at), draw: () => make('li', { class: 'day' }, make('time', { datetime: i.at }, day(i.at))) });
      before = null;
    }
    if (i.key === firstUnread) items.push({ key: 'unread', sig: '', draw: () => make('li', { class: 'unread-line' }, make('span', {}, 'New')) });
    if (i.m) {
      const first = before?.m?.author?.id !== i.m.author?.id || before?.m?.direction !== i.m.direction;
      i.sig = [i.m.status, i.m.text, i.m.error?.detail, i.m.possible_duplicate, i.m.redacted, i.m.incomplete, store.myself.hub?.up, i.m.via, i.m.internet_copy, i.m.files?.length, first].join('|');
      i.draw = () => bubble(i.m, first);
    }
    items.push(i);
    before = i;
  }
  arrange(items);
  $('earlier').hidden = t.complete;
}

// arrange makes the list equal to items and keeps what is equal already.
function arrange(items) {
  const old = new Map([...ol.children].map(li => [li.key, li]));
  let place = ol.firstElementChild;
  for (const i of items) {
    let li = old.get(i.key);
    old.delete(i.key);
    if (li && li.sig !== i.sig) {
      const now = i.draw();
      if (li === place) place = now;
      li.replaceWith(now);
      li = now;
    }
    li ??= i.draw();
    li.key = i.key;
    li.sig = i.sig;
    if (li === place) place = place.nextElementSibling;
    else ol.insertBefore(li, place);
  }
  for (const li of old.values()) li.remove();
}

// refresh shows what changed and stays where the reader is.
function refresh() {
  const end = atEnd();
  lay();
  if (end) toEnd();
}

export async function show(wantedID) {
  id = wantedID;
  ol.replaceChildren();
  firstUnread = '';
  $('newer').hidden = true;
  if (!id) return;
  wanted = store.conversations.get(id)?.unread ?? 0;
  waiting = !!store.conversations.get(id)?.waiting;
  $('tag').value = store.talkOf(id)?.tag ?? '';
  if (store.talkOf(id)?.read) { lay(); toEnd(); }
  $('loading').hidden = !!store.talkOf(id)?.read;
  try {
    await store.open(id);
  } finally {
    $('loading').hidden = true;
  }
  if (id !== wantedID) return;
  wanted ||= firstUnread ? 0 : store.conversations.get(id)?.unread ?? 0;
  lay();
  toEnd();
  seen();
}

// seen tells the gateway what was read: what is in sight of somebody who looks.
export function seen() {
  const t = store.talkOf(id);
  if (!id || !t?.read || document.hidden || !document.hasFocus() || !atEnd() || $('open').hidden || $('open').offsetParent === null) return;
  const newest = [...t.messages.values()].filter(m => m.direction === 'inbound').map(m => m.id).sort().at(-1);
  store.markRead(id, newest);
}

async function earlier() {
  const t = store.talkOf(id);
  if (!t || t.complete || t.reading) return;
  t.reading = true;
  const from = scroll.scrollHeight - scroll.scrollTop;
  try {
    await store.earlier(t);
    scroll.scrollTop = scroll.scrollHeight - from;
  } catch (e) {
    note(e.message, 'bad');
  }
  t.reading = false;
}

// whole is all of the conversation as a text, for a file.
export async function whole() {
  const t = store.talkOf(id);
  while (t && !t.complete) await store.earlier(t);
  const c = store.conversations.get(id);
  const lines = [...t.messages.values()].map(m => [m.created_at, m.direction === 'inbound' ? nameOf(c) : m.author?.name ?? 'we', said(m), m.status])
    .concat([...t.notes.values()].map(n => [n.created_at, `Note by ${n.author_name}`, n.text, '']));
  lines.sort((a, b) => moment(a[0]) - moment(b[0]));
  return [`Conversation with ${nameOf(c)}, ${c.number}`, '', ...lines.map(([at, who, text, status]) => `${precisely(at)}  ${who}: ${text}${status && !['received', 'delivered', 'sent'].includes(status) ? `  [${status}]` : ''}`), ''].join('\n');
}

export function start({ edit }) {
  store.on('conversation', c => { if (c.id === id && c.waiting !== waiting) { waiting = c.waiting; refresh(); } });
  store.on('talk', of => { if (of === id) refresh(); });
  ways.changed(() => { if (id) lay(); });
  outbox.changed(of => { if (of === id) { lay(); toEnd(); } });
  store.on('message', ({ message: m, news }) => {
    outbox.arrived(m);
    if (m.conversation !== id || m.direction !== 'inbound' || !news) return;
    say(`${nameOf(store.conversations.get(id) ?? {})}: ${said(m)}`);
    if (!atEnd()) $('newer').hidden = false;
    seen();
  });
  scroll.addEventListener('scroll', () => {
    if (atEnd()) { $('newer').hidden = true; seen(); }
    if (scroll.scrollTop < 200) earlier();
  }, { passive: true });
  $('earlier').addEventListener('click', earlier);
  $('tag').addEventListener('change', async () => {
    try { await store.show(id, $('tag').value); } catch (e) { note(e.message, 'bad'); }
    lay();
    toEnd();
  });
  $('newer').addEventListener('click', toEnd);
  new ResizeObserver(() => { if (pinned) toEnd(); }).observe(scroll); // a keyboard that comes up
  scroll.addEventListener('scroll', () => { pinned = atEnd(); }, { passive: true });
  addEventListener('focus', seen);
  document.addEventListener('visibilitychange', seen);
  ol.addEventListener('click', async e => {
    const act = e.target.dataset?.act;
    const key = e.target.closest('li')?.dataset.id;
    if (!act) return;
    const t = store.talkOf(id);
    if (act === 'again') outbox.again(key);
    if (act === 'as-sms') outbox.again(key, 'sms');
    if (act === 'as-offline') outbox.again(key, 'offline');
    if (act === 'discard') outbox.discard(key);
    if (act === 'edit') edit(outbox.discard(key).text);
    if (act === 'rewrite') edit(t.messages.get(key).text);
    try {
      if (act === 'unnote') await store.removeNote(id, key);
      if (act === 'cancel') store.take(await ask('DELETE', `/v1/messages/${key}`));
    } catch (err) {
      note(err.message, 'bad');
    }
  });
}

