// What was sent and is not in the gateway's hands yet. It is kept in the browser until
// the gateway has said that it has it, over reloads and bad links; its client_id makes
// sure that nothing goes out twice.
import { ask, kept, newID } from './chat-api.js';
import { conversations, on, put, take } from './chat-store.js';
import * as ways from './chat-ways.js';
import { asks } from './chat-words.js';

const eager = 120_000; // so long is tried by itself; later somebody should want it still
let items = kept.get('outbox', []);
const busy = new Set(); // conversations with one on its way
const listeners = [];

export const changed = act => listeners.push(act);
export const waiting = id => items.filter(i => i.conversation === id);
export const count = () => items.length;
const save = id => {
  kept.set('outbox', items.length ? items : null);
  for (const act of listeners) act(id);
};

// pending is the text of this browser that goes out once the phone says YES; null: there
// is none, and what waits is a colleague's, or was written elsewhere.
export function pending(c) {
  const mine = kept.get(`waiting ${c.id}`);
  return mine && c.waiting && mine.asked === c.opt_in?.asked_at ? mine.text : null;
}
export const awaits = (c, text) => kept.set(`waiting ${c.id}`, { text, asked: c.opt_in?.asked_at });
on('conversation', c => { if (!c.waiting) kept.set(`waiting ${c.id}`, null); }); // it went, or never will

// send takes a text; it shows at once. asking: the phone is asked first, and the text
// follows when it says YES. what goes with it: mode, subject, files.
export function send(conversation, text, asking = false, what = {}) {
  items.push({ client_id: newID(), conversation, text, what, asking, created_at: new Date().toISOString(), status: 'saving' });
  save(conversation);
  pump(conversation);
}

// decide says whether the phone is asked, as its conversation stands now: it may have said
// YES since a text was written, or what it agreed to may be over.
function decide(item) {
  const c = conversations.get(item.conversation);
  if (c) item.asking = asks(c) && ways.route(c, item.what?.mode ?? 'sms') === 'sms';
}

// again is for a button: now is when it is wanted.
export function again(clientID, mode) {
  const item = items.find(i => i.client_id === clientID);
  if (!item) return;
  if (mode) item.what = { ...item.what, mode };
  decide(item);
  Object.assign(item, { status: 'saving', since: Date.now(), error: undefined, tries: 0 });
  save(item.conversation);
  pump(item.conversation);
}

export function discard(clientID) {
  const item = items.find(i => i.client_id === clientID);
  items = items.filter(i => i !== item);
  if (item) save(item.conversation);
  return item;
}

// arrived: the log tells of it, whatever became of the answer.
export function arrived(m) {
  if (m.client_id && items.some(i => i.client_id === m.client_id)) discard(m.client_id);
}

// pump sends what waits in a conversation, one after the other, so that it stays in order.
async function pump(id) {
  if (busy.has(id)) return;
  busy.add(id);
  for (let item; (item = items.find(i => i.conversation === id && i.status === 'saving'));) {
    try {
      const got = await ask('POST', `/v1/conversations/${id}/${item.asking ? 'invite' : 'messages'}`, { text: item.text, client_id: item.client_id, ...item.what });
      items = items.filter(i => i !== item);
      if (item.asking) {
        if (got.waiting) awaits(got, item.text);
        put(got);
      } else {
        take(got);
      }
    } catch (e) {
      const young = Date.now() - (item.since ?? new Date(item.created_at).getTime()) < eager;
      if (e.passing && young) {
        item.tries = (item.tries ?? 0) + 1;
        save(id);
        await new Promise(r => setTimeout(r, Math.max(e.wait * 1000, Math.min(1000 * 2 ** item.tries, 15_000))));
        continue;
      }
      item.status = 'unsaved';
      item.error = { code: e.code ?? '', detail: e.message };
      if (e.code === 'link-down') dispatchEvent(new Event('link-down'));
    }
    save(id);
  }
  busy.delete(id);
}

// resume goes on after a reload.
export function resume() {
  for (const item of items) {
    if (item.status !== 'saving') continue;
    decide(item);
    if (Date.now() - (item.since ?? new Date(item.created_at).getTime()) > eager) {
      item.status = 'unsaved';
      item.error = { code: '', detail: 'The page was closed before the gateway answered. Trying again sends nothing twice.' };
    }
  }
  for (const id of new Set(items.map(i => i.conversation))) {
    save(id);
    pump(id);
  }
}
