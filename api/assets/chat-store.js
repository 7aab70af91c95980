// What the page knows: conversations, what was said in those that were opened, and
// how many wait to be read. The gateway's event log keeps it as it is now; whoever
// shows something of it listens to what changed.
import { ask, query } from './chat-api.js';

export const me = document.body.dataset.me;
export const may = { send: 'send' in document.body.dataset, admin: 'admin' in document.body.dataset };

export const conversations = new Map(); // by id
const talks = new Map(); // by the conversation's id, the last used at the end
const unread = new Map(); // by the conversation's id, of all that there are
const bus = new EventTarget();
export let myself = { name: '', sign_off: '', prefix: '', team: '', people: [], limits: {}, hub: { belongs: false } };

export const on = (what, act) => bus.addEventListener(what, e => act(e.detail));
const tell = (what, detail) => bus.dispatchEvent(new CustomEvent(what, { detail }));

export const total = () => [...unread.values()].reduce((sum, n) => sum + n, 0);
export const person = id => myself.people.find(p => p.id === id)?.name ?? (id === me ? myself.name : 'a colleague');

// own tells whether a conversation is one of those that a person shares: an admin hears of
// other teams' and of visitors' too. A program has them all, and so has everybody until
// the gateway has said who this is.
export const own = c => !me.startsWith('usr_') || !myself.id || (!c.visitor && c.team === myself.team);

const living = 'new,invited,open,idle';
const lives = c => living.includes(c.state);
export const filters = {
  all: { title: 'Open', ask: { state: living }, has: c => own(c) && lives(c) },
  mine: { title: 'Mine', ask: { assigned_to: 'me', state: living }, has: c => own(c) && c.assigned_to === me && lives(c) },
  unassigned: { title: 'Unassigned', ask: { assigned_to: 'none', state: living }, has: c => own(c) && !c.assigned_to && lives(c) },
  unread: { title: 'Unread', ask: { unread: true }, has: c => own(c) && c.unread > 0 },
  closed: { title: 'Closed', ask: { state: 'closed' }, has: c => own(c) && c.state === 'closed' },
  blocked: { title: 'Blocked', ask: { state: 'blocked' }, has: c => own(c) && c.state === 'blocked' },
  ...(may.admin && { everybody: { title: 'All teams', ask: { team: '*', state: `${living},blocked` }, has: c => c.state !== 'closed' } }),
};

// put takes a conversation as the gateway tells it.
export function put(c) {
  conversations.set(c.id, c);
  count(c);
  tell('conversation', c);
  return c;
}

// known is a conversation, read if it has to be.
export const known = async id => conversations.get(id) ?? put(await ask('GET', `/v1/conversations/${id}`));

function count({ id, ...c }) {
  const n = own(c) ? c.unread : 0;
  const before = unread.get(id) ?? 0;
  if (n > 0) unread.set(id, n);
  else unread.delete(id);
  if (before !== n) tell('unread', total());
}

export async function list(filter, q, cursor) {
  const got = await ask('GET', `/v1/conversations?${query({ ...(q ? { q } : filters[filter].ask), cursor, limit: 60 })}`);
  for (const c of got.conversations) {
    conversations.set(c.id, c);
    count(c);
  }
  return got;
}

// start learns who we are and what waits.
export async function start() {
  try {
    myself = { ...myself, ...await ask('GET', '/v1/chat') };
  } catch { /* it is asked again when the connection is back */ }
  for (const c of conversations.values()) count(c); // whose they are is known now
  tell('myself', myself);
  try {
    for (const c of (await ask('GET', `/v1/conversations?${query({ unread: true, limit: 500 })}`)).conversations) {
      if (!conversations.has(c.id)) conversations.set(c.id, c);
      count(c);
    }
  } catch { /* the same */ }
}

// stopOf is how a number came onto the stop list, undefined until that is known: word (it
// said STOP itself), blocked, admin, import and the like.
const stops = new Map(); // by number
export function stopOf(c) {
  if (!stops.has(c.number)) {
    stops.set(c.number, undefined);
    ask('GET', `/v1/consents/${encodeURIComponent(c.number)}`).then(({ stop }) => {
      stops.set(c.number, stop?.reason);
      if (stop && conversations.has(c.id)) tell('conversation', conversations.get(c.id));
    }, () => stops.delete(c.number));
  }
  return stops.get(c.number);
}

// wants records that a number's owner wants texts again, and how that can be proved.
export async function wants(c, wording) {
  await ask('POST', '/v1/consents', { number: c.number, decision: 'opt-in', wording });
  stops.delete(c.number);
  touch(c.id);
}

export async function change(id, what) { return put(await ask('PATCH', `/v1/conversations/${id}`, what)); }
export async function act(id, what, body) {
  const got = await ask('POST', `/v1/conversations/${id}/${what}`, body);
  if (got.id === id) put(got);
  else touch(id);
  return got;
}
export async function remove(id) {
  await ask('DELETE', `/v1/conversations/${id}`);
  forget(id);
}
function forget(id) {
  conversations.delete(id);
  talks.delete(id);
  count({ id, unread: 0 });
  tell('gone', id);
}

// touch reads conversations anew of which something changed, together.
const dirty = new Set();
let cleaning = 0;
export function touch(id) {
  dirty.add(id);
  cleaning ||= setTimeout(clean, 120);
}
async function clean() {
  const all = [...dirty];
  dirty.clear();
  if (all.length > 40) {
    tell('stale');
  } else {
    await Promise.all(all.map(async id => {
      try { put(await ask('GET', `/v1/conversations/${id}`)); } catch (e) { if (e.status === 404) forget(id); }
    }));
  }
  cleaning = dirty.size ? setTimeout(clean, 120) : 0;
}

// presence reads who can be reached by internet now.
export async function presence() {
  try {
    for (const { id, reachable, online } of (await ask('GET', `/v1/conversations?${query({ state: living, limit: 60 })}`)).conversations) {
      const c = conversations.get(id);
      if (!c || (c.online === online && c.reachable.join() === reachable.join())) continue;
      Object.assign(c, { reachable, online });
      tell('conversation', c);
    }
  } catch { /* the next time */ }
}

// A talk is what was said in a conversation, as far as it was read.
const mostTalks = 30; // that are kept, so that going back and forth is quick
const page = 50;

export const talkOf = id => talks.get(id);

export async function open(id) {
  let t = talks.get(id);
  if (t) talks.delete(id); // to the end
  t ??= { id, tag: '', messages: new Map(), notes: new Map(), log: [], complete: false, read: false };
  talks.set(id, t);
  for (const old of talks.keys()) if (talks.size > mostTalks) talks.delete(old);
  await known(id);
  if (!t.read) await read(t);
  return t;
}

// show has a talk show what went one way alone, "" all.
export async function show(id, tag) {
  const t = talks.get(id);
  if (!t || t.tag === tag) return;
  t.tag = tag;
  t.messages.clear();
  await read(t);
}
const fits = (t, m) => !t.tag || (m.via ?? 'sms') === t.tag;

async function read(t) {
  const [said, notes] = await Promise.all([
    ask('GET', `/v1/conversations/${t.id}/messages?${query({ tag: t.tag, limit: page })}`),
    ask('GET', `/v1/conversations/${t.id}/notes`).catch(() => ({ notes: [] })),
  ]);
  for (const m of said.messages) t.messages.set(m.id, m);
  t.notes = new Map(notes.notes.map(n => [n.id, n]));
  t.complete = !said.older;
  t.read = true;
  tell('talk', t.id);
  history(t);
}

// history adds what the consent log says, for lines in between.
async function history(t) {
  const c = conversations.get(t.id);
  if (!c) return;
  try {
    t.log = (await ask('GET', `/v1/consents?${query({ number: c.number, limit: 200 })}`)).consents ?? [];
    tell('talk', t.id);
  } catch { /* who may not see it does without */ }
}

export async function earlier(t) {
  const oldest = [...t.messages.keys()].sort()[0];
  const said = await ask('GET', `/v1/conversations/${t.id}/messages?${query({ tag: t.tag, before: oldest, limit: page })}`);
  for (const m of said.messages) t.messages.set(m.id, m);
  t.complete = !said.older;
  tell('talk', t.id);
}

export async function addNote(id, text) {
  const n = await ask('POST', `/v1/conversations/${id}/notes`, { text });
  talks.get(id)?.notes.set(n.id, n);
  tell('talk', id);
}
export async function removeNote(id, noteID) {
  await ask('DELETE', `/v1/conversations/${id}/notes/${noteID}`);
  talks.get(id)?.notes.delete(noteID);
  tell('talk', id);
}

export async function markRead(id, upTo) {
  const c = conversations.get(id);
  if (!c?.unread) return;
  c.unread = 0; // at once; the gateway's word follows
  count(c);
  tell('conversation', c);
  try { await ask('POST', `/v1/conversations/${id}/read`, upTo ? { up_to: upTo } : {}); } catch { touch(id); }
}

// take is a message as it is now, from the log or an answer.
export function take(m) {
  const id = m.conversation;
  if (!id) return;
  const t = talks.get(id);
  const news = t && !t.messages.has(m.id);
  if (t?.read && fits(t, m)) {
    t.messages.set(m.id, m);
    tell('talk', id);
  }
  const c = conversations.get(id);
  if (!c) {
    touch(id);
  } else if (!c.last_message || m.id >= c.last_message.id) {
    const newer = c.last_message?.id !== m.id;
    c.last_message = m;
    if (newer) c.updated_at = m.created_at;
    tell('conversation', c);
  }
  tell('message', { message: m, news });
}

// follow hears the log.
const statuses = ['queued', 'sending', 'sent', 'delivered', 'undelivered', 'failed', 'expired', 'canceled', 'unconfirmed', 'received', 'copied'];
let last = ''; // the newest event that was heard
let heard = performance.now();
const patience = 35_000; // two heartbeats missed

export function follow() {
  let broken = false;
  const connect = () => {
    const source = new EventSource(`/v1/events?${query({ types: 'message.*,conversation.*,consent.*', heartbeat: 'event', after: last })}`);
    const hear = e => {
      heard = performance.now();
      tell('live', true);
      if (e.lastEventId) last = e.lastEventId;
    };
    source.addEventListener('heartbeat', hear);
    source.addEventListener('open', e => {
      hear(e);
      if (broken) {
        tell('back');
        if (!myself.id) start();
      }
      broken = false;
    });
    source.addEventListener('reset', e => {
      hear(e);
      for (const t of talks.values()) t.read = false;
      tell('stale');
    });
    for (const s of statuses) {
      source.addEventListener(`message.${s}`, e => {
        hear(e);
        take(JSON.parse(e.data).data);
      });
    }
    for (const kind of ['new', 'updated']) {
      source.addEventListener(`conversation.${kind}`, e => {
        hear(e);
        const { data } = JSON.parse(e.data);
        const c = conversations.get(data.id);
        if (c) { // what a list shows is known at once; the rest is asked for
          Object.assign(c, { state: data.state, unread: data.unread, assigned_to: data.assigned_to });
          count(c);
          tell('conversation', c);
        }
        touch(data.id);
      });
    }
    source.addEventListener('conversation.deleted', e => {
      hear(e);
      forget(JSON.parse(e.data).data.id);
    });
    for (const kind of ['opt-in', 'opt-out', 'asked', 'ended', 'help']) {
      source.addEventListener(`consent.${kind}`, e => {
        hear(e);
        const { data } = JSON.parse(e.data);
        stops.delete(data.number);
        for (const c of conversations.values()) {
          if (c.number !== data.number) continue;
          touch(c.id);
          if (talks.get(c.id)?.read) history(talks.get(c.id));
        }
      });
    }
    source.addEventListener('error', () => {
      broken = true;
      tell('live', false);
      // The browser comes back by itself unless it was refused: stopped or signed out.
      if (source.readyState !== EventSource.CLOSED) return;
      setTimeout(connect, 3000);
      start(); // which leads to the sign-in, if that is why
    });
  };
  connect();
  setInterval(() => { if (performance.now() - heard > patience) tell('live', false); }, 5000);
}
