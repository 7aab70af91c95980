// What the page asks for: a new chat, a note, a reason, "are you sure", settings.
import { $, ask, kept, make, newID, note, query } from './chat-api.js';
import { around, enterSends, measure, saveAll } from './chat-compose.js';
import * as notify from './chat-notify.js';
import * as outbox from './chat-outbox.js';
import * as store from './chat-store.js';
import * as ways from './chat-ways.js';
import { nameOf, precisely, stopped } from './chat-words.js';

let page; // what chat.js gives

export function show(name) {
  const d = $(`${name}-dialog`);
  if (!d.open) d.showModal();
  return d;
}

// fits says whether a button makes sense for a conversation.
export const fits = (when, c) => (store.may.send || ['always', 'blocked'].includes(when)) && ({
  always: true,
  send: true,
  live: c.state !== 'closed',
  closed: c.state === 'closed',
  others: c.assigned_to !== store.me && store.me.startsWith('usr_'),
  invite: c.mode === 'invite' && !c.stopped && !['closed', 'blocked'].includes(c.state) && c.opt_in?.state !== 'given',
  blockable: c.state !== 'blocked',
  blocked: c.state === 'blocked' && store.may.admin,
}[when]);

// sure asks before something that can't be taken back.
function sure(title, words, button) {
  $('sure-title').textContent = title;
  $('sure-words').textContent = words;
  $('sure-do').textContent = button;
  const d = show('sure');
  return new Promise(answer => d.addEventListener('close', () => answer(d.returnValue === 'yes'), { once: true }));
}

async function tried(does) {
  try {
    return await does();
  } catch (e) {
    note(e.message, 'bad');
    return null;
  }
}

// press is a button of a conversation.
export async function press(what) {
  const id = page.current();
  const c = store.conversations.get(id);
  if (globals[what]) { globals[what](); return; }
  if (!c || !acts[what]) return;
  await tried(() => acts[what](id, c));
}

const acts = {
  mine: async id => { await store.change(id, { assigned_to: store.me }); note('It is yours now.'); },
  note: () => { $('note-text').value = ''; fault('note', ''); show('note'); },
  close: async (id, c) => {
    if (!await sure('Close this conversation?', `Its SIM is free for others then.${c.mode === 'invite' ? ` What the phone agreed to ends: ${nameOf(c)} is asked again before the next text.` : ''}${c.waiting ? ' The text that waits for YES is not sent.' : ''} You can reopen it.`, 'Close it')) return;
    await store.change(id, { state: 'closed' }); note(`The conversation with ${nameOf(c)} is closed.`);
    page.back();
  },
  reopen: id => store.change(id, { state: 'open' }),
  invite: async id => { await store.act(id, 'invite'); note('The phone is asked again.'); },
  block: () => { $('block-form').reset(); fault('block', ''); show('block'); },
  unblock: id => store.act(id, 'unblock'),
  wants: () => { $('wants-form').reset(); fault('wants', ''); show('wants'); },
  info: (id, c) => info(c),
  print: () => print(),
  export: async (id, c) => {
    const file = URL.createObjectURL(new Blob([await page.whole()], { type: 'text/plain;charset=utf-8' }));
    make('a', { href: file, download: `conversation-${c.number.replace(/\D/g, '')}.txt` }).click();
    setTimeout(() => URL.revokeObjectURL(file), 10_000);
  },
  delete: async (id, c) => {
    if (!await sure('Delete this conversation?', `Everything that was said with ${nameOf(c)} is gone for good, for all of you. Who said STOP stays known.`, 'Delete it')) return;
    await store.remove(id);
  },
};

const globals = {
  new: () => begin(),
  settings: () => settings(),
  keys: () => show('keys'),
  leave: async () => {
    if (outbox.count() && !await sure('Sign out?', `${outbox.count()} of your texts did not go out yet. They are lost if you sign out.`, 'Sign out')) return;
    await saveAll();
    kept.forget();
    $('leave').submit();
  },
};

function fault(form, words, field) {
  $(`${form}-fault`).textContent = words;
  for (const f of $(`${form}-form`).elements) if (f.name) f.setAttribute('aria-invalid', String(f.name === field));
  if (field) $(`${form}-form`).elements[field]?.focus();
}

// on has a form do something and close its dialog, or say what is wrong.
function on(form, does) {
  $(`${form}-form`).addEventListener('submit', async e => {
    e.preventDefault();
    const button = e.submitter ?? e.target.querySelector('button:not([type=button])');
    button.disabled = true;
    fault(form, '');
    try {
      await does(e.target.elements);
      $(`${form}-dialog`).close();
    } catch (err) {
      fault(form, err.message, err.fields?.[0]?.field);
    }
    button.disabled = false;
  });
}

// A new chat. The client_id stays while nothing is changed, so that trying again
// after no answer begins nothing twice.
let clientID = '';
export function begin(to = '') {
  const f = $('new-form');
  f.reset();
  clientID = newID();
  f.elements.to.value = to;
  f.elements.our_name.value = store.myself.name ?? '';
  fault('new', '');
  counted();
  show('new');
  f.elements.to.focus();
}

function counted() {
  const f = $('new-form').elements;
  const invite = !f.mode.value;
  const m = measure(f.text.value, [invite || ways.offered() ? `${f.our_name.value || store.myself.name}: ` : '', around(null)[1]]);
  $('new-counter').textContent = [m.words, m.why].filter(Boolean).join('. ');
  f.text.setCustomValidity(m.over && !ways.offered() ? m.why : ''); // by internet it may be longer
  $('new-counter').classList.toggle('bad', m.over);
  $('new-invitation').hidden = !invite;
  $('new-invitation').textContent = `First goes: “${f.our_name.value || 'NAME'}: chat by text? Reply YES to go on, STOP to stop. Standard rates apply.” Your text follows when the phone says YES. A phone that has texted here before is not asked${ways.offered() ? ', nor is one with an inbox on the hub: it gets your text by internet' : ''}.`;
}

// numberOf finds a contact's number, when a name was typed.
async function numberOf(typed) {
  if (!/\p{L}/u.test(typed)) return typed;
  const found = (await ask('GET', `/v1/contacts?${query({ q: typed, limit: 10 })}`).catch(() => ({ contacts: [] }))).contacts;
  const exact = found.filter(c => c.name.toLowerCase() === typed.toLowerCase());
  const [one, ...more] = exact.length ? exact : found;
  return one && !more.length ? numbersOf(one)[0] ?? typed : typed;
}
const numbersOf = c => (c.numbers ?? [c.number]).map(n => n?.number ?? n).filter(Boolean);

let looking = 0;
function suggest() {
  clearTimeout(looking);
  const typed = $('new-form').elements.to.value.trim();
  if (typed.length < 2) return;
  looking = setTimeout(async () => {
    try {
      const { contacts } = await ask('GET', `/v1/contacts?${query({ q: typed, limit: 8 })}`);
      $('contacts').replaceChildren(...contacts.flatMap(c => numbersOf(c).map(n => make('option', { value: n }, c.name))));
    } catch { /* no suggestions then */ }
  }, 200);
}

async function info(c) {
  const f = $('info-form').elements;
  const facts = [['Number', c.number], ['Carrier', c.carrier], ['Country', c.country], ['Through', [c.local, c.modem].filter((v, i, all) => v && all.indexOf(v) === i).join(', ')],
    ['Begun by', { phone: 'the phone', person: 'one of us', visitor: 'a visitor of the web site', key: 'a program' }[c.begun_by]], ['Visitor', c.visitor?.name], ['Address', c.visitor?.address],
    ['Blocked', c.reason], ['Consent', c.stopped ? stopped(store.stopOf(c)) : c.mode === 'open' ? 'given elsewhere, or the phone began' : consentWords(c.opt_in)], ['Team', c.team],
    ['Since', precisely(c.created_at)]];
  $('info-facts').replaceChildren(...facts.filter(([, v]) => v).map(([k, v]) => make('div', {}, make('dt', {}, k), make('dd', {}, make('bdi', {}, v)))));
  f.name.value = c.name ?? '';
  f.our_name.value = c.our_name ?? '';
  const people = store.myself.people.length ? store.myself.people : store.me.startsWith('usr_') ? [{ id: store.me, name: store.myself.name }] : [];
  f.assigned_to.replaceChildren(make('option', { value: '' }, 'nobody'), ...people.map(p => make('option', { value: p.id, selected: p.id === c.assigned_to }, p.id === store.me ? `${p.name} (you)` : p.online ? `${p.name} · here now` : p.name)));
  for (const e of f) e.disabled = !store.may.send && e.name !== '';
  fault('info', '');
  show('info');
}
const consentWords = o => (!o ? 'not asked yet' : { asked: 'asked, no answer yet', given: `said YES${o.of ? `; ${o.used} of ${o.of} messages used` : ''}`, ended: 'it has ended' }[o.state] ?? o.state);

function settings() {
  const why = notify.why();
  $('notify-why').textContent = why;
  $('set-notify').checked = notify.wants('notify') && !why;
  $('set-notify').disabled = !!why;
  $('set-content').checked = notify.wants('content');
  $('set-sound').checked = notify.wants('sound');
  $('set-enter').checked = enterSends();
  $('set-shortcuts').checked = kept.get('shortcuts', true);
  show('settings');
}

export function start(given) {
  page = given;
  for (const b of document.querySelectorAll('dialog [data-close]')) b.addEventListener('click', () => b.closest('dialog').close());
  for (const d of document.querySelectorAll('dialog')) d.addEventListener('click', e => { if (e.target === d) d.close(); }); // beside it
  $('new-form').addEventListener('input', e => {
    clientID = newID();
    counted();
    if (e.target.name === 'to') suggest();
  });
  on('new', async f => {
    const to = await numberOf(f.to.value.trim());
    const c = await ask('POST', '/v1/conversations', {
      to, name: f.name.value.trim() || undefined, our_name: f.our_name.value.trim() || undefined,
      mode: f.mode.value || undefined, text: f.text.value.trim() || undefined, client_id: clientID, text_mode: ways.offered() ? 'auto' : undefined,
    });
    if (c.waiting && f.text.value.trim()) outbox.awaits(c, f.text.value.trim());
    store.put(c);
    page.go(`/chat/${c.id}`);
  });
  on('note', f => store.addNote(page.current(), f.text.value.trim()));
  on('block', async f => { await store.act(page.current(), 'block', { reason: f.reason.value.trim() || f.why.value }); });
  on('wants', f => store.wants(store.conversations.get(page.current()), f.wording.value.trim()));
  on('info', f => {
    const c = store.conversations.get(page.current());
    const what = {};
    if (f.name.value.trim() !== (c.name ?? '')) what.name = f.name.value.trim();
    if (f.our_name.value.trim() !== (c.our_name ?? '')) what.our_name = f.our_name.value.trim();
    if (f.assigned_to.value !== (c.assigned_to ?? '')) what.assigned_to = f.assigned_to.value;
    return Object.keys(what).length ? store.change(c.id, what) : null;
  });
  $('set-notify').addEventListener('change', async e => { e.target.checked = await notify.turn(e.target.checked); $('notify-why').textContent = notify.why(); });
  for (const [box, name] of [['set-content', 'content'], ['set-sound', 'sound'], ['set-enter', 'enter'], ['set-shortcuts', 'shortcuts']]) {
    $(box).addEventListener('change', e => { kept.set(name, e.target.checked); if (name === 'sound' && e.target.checked) notify.trySound(); });
  }
}
