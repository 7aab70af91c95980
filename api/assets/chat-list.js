// The list of conversations. An event changes the one row that it is about; what is
// out of sight, the browser does not lay out (content-visibility).
import { $, drawn, make, note } from './chat-api.js';
import * as store from './chat-store.js';
import { brief, failed, mark, moment, nameOf, said, states } from './chat-words.js';

const rows = new Map(); // by id
let filter = 'all';
let q = '';
let cursor = null;
let turn = 0; // of the newest request: answers to older ones come too late
let current = '';

const ul = $('list');
const when = c => c.last_message?.created_at ?? c.updated_at;

// draw writes a row anew.
function draw(c, row = make('li', { 'data-id': c.id })) {
  const m = c.last_message;
  const a = make('a', { href: `/chat/${c.id}`, tabindex: '-1' });
  if (c.id === current) a.setAttribute('aria-current', 'true');
  const words = said(m, c.our_name);
  const outbound = m?.direction === 'outbound';
  const [sign, meaning] = outbound ? mark(m.status, m.via) : ['', ''];
  const draft = c.id !== current && drafts(c.id);
  const [word, kind] = states[c.state] ?? [c.state, 'idle'];
  a.append(
    make('span', { class: 'name' }, make('bdi', {}, nameOf(c)), c.online && make('span', { class: 'here', title: 'Reachable by internet now' }, make('span', { class: 'unseen' }, ' online'))),
    make('span', { class: 'when' }, make('time', { datetime: when(c) }, brief(when(c)))),
    make('span', { class: 'last' },
      draft ? make('b', { class: 'draft' }, 'Draft: ') : outbound && drawn(sign, meaning, failed(m.status) ? 'bad' : ''),
      make('bdi', {}, (draft || words).replace(/\s+/g, ' ').slice(0, 160))),
    make('span', { class: 'tags' },
      c.unread > 0 && make('b', { class: 'unread' }, String(c.unread), make('span', { class: 'unseen' }, ' unread')),
      c.stopped && c.state !== 'blocked' ? make('span', { class: 'pill bad' }, 'stopped') : word && make('span', { class: `pill ${kind}` }, word),
      c.visitor && make('span', { class: 'pill idle' }, 'web'),
      c.assigned_to && make('span', { class: 'whose' }, c.assigned_to === store.me ? 'you' : store.person(c.assigned_to))),
  );
  for (const none of a.querySelectorAll('.tags:empty')) none.remove();
  if (c.name) a.querySelector('.name').append(make('span', { class: 'number' }, c.number));
  a.classList.toggle('new', c.unread > 0);
  row.replaceChildren(a);
  return row;
}

let drafts = () => '';
export const showDraftsOf = of => { drafts = of; };

// place puts a row where its time belongs, the newest first. Nearly always that is the top.
function place(row, c) {
  row.at = moment(c.updated_at);
  let before = ul.firstElementChild;
  while (before && (before === row || before.at > row.at || (before.at === row.at && before.dataset.id > c.id))) before = before.nextElementSibling;
  if (row.nextElementSibling === before && row.parentNode) return;
  const focused = row.contains(document.activeElement);
  ul.insertBefore(row, before);
  if (focused) row.firstElementChild.focus();
}

// show keeps a conversation's row as it is now.
export function show(c) {
  let row = rows.get(c.id);
  if (!row) {
    if (q || !store.filters[filter].has(c)) return;
    if (cursor && ul.lastElementChild && moment(c.updated_at) < ul.lastElementChild.at) return; // it comes with the next page
    rows.set(c.id, row = draw(c));
  } else if (!q && !store.filters[filter].has(c) && c.id !== current) {
    drop(c.id);
    return;
  } else {
    const focused = row.contains(document.activeElement);
    draw(c, row);
    if (focused) row.firstElementChild.focus();
  }
  place(row, c);
  hint();
  rove();
}

function drop(id) {
  rows.get(id)?.remove();
  rows.delete(id);
  hint();
  rove();
}

function hint() {
  const none = rows.size === 0 && !loading;
  $('list-note').textContent = !none ? '' : q ? 'Nothing was found. Try fewer letters, or the last digits of the number.'
    : filter === 'all' ? 'No conversations yet. Begin one with “New chat”; a text from a phone begins one too.' : 'None here.';
}

let loading = false;
export async function load(more = false) {
  if (more && (!cursor || loading)) return;
  const mine = ++turn;
  loading = true;
  ul.setAttribute('aria-busy', 'true');
  try {
    const got = await store.list(filter, q, more ? cursor : undefined);
    if (mine !== turn) return;
    cursor = got.next_cursor ?? null;
    if (!more) {
      rows.clear();
      ul.replaceChildren();
    }
    const fresh = document.createDocumentFragment();
    for (const c of got.conversations) {
      if (rows.has(c.id)) continue;
      const row = draw(c);
      row.at = moment(c.updated_at);
      rows.set(c.id, row);
      fresh.append(row);
    }
    ul.append(fresh);
    performance.mark('list');
  } catch (e) {
    if (mine === turn) note(e.message, 'bad');
  } finally {
    if (mine === turn) {
      loading = false;
      ul.removeAttribute('aria-busy');
      $('more').hidden = !cursor;
      hint();
      rove();
    }
  }
}

export function select(id) {
  const before = current;
  current = id;
  for (const one of [before, id]) {
    const c = store.conversations.get(one);
    if (c && rows.has(one)) draw(c, rows.get(one));
  }
  if (before && before !== id) { // it stayed only while it was open
    const c = store.conversations.get(before);
    if (c && rows.has(before) && !q && !store.filters[filter].has(c)) drop(before);
  }
  rove();
}

// One row can be reached by Tab, the others from there by arrows.
function rove() {
  ul.querySelector('a[tabindex="0"]')?.setAttribute('tabindex', '-1');
  const at = ul.contains(document.activeElement) ? document.activeElement.closest('li') : rows.get(current);
  (at ?? ul.firstElementChild)?.firstElementChild.setAttribute('tabindex', '0');
}
ul.addEventListener('focusin', rove);
ul.addEventListener('keydown', e => {
  const row = e.target.closest('li');
  const to = { ArrowDown: row?.nextElementSibling, ArrowUp: row?.previousElementSibling, Home: ul.firstElementChild, End: ul.lastElementChild }[e.key];
  if (!to) return;
  e.preventDefault();
  to.firstElementChild.focus();
});

// beside is the conversation below or above the one that is open.
export function beside(step) {
  const row = rows.get(current);
  const to = !row ? ul.firstElementChild : step > 0 ? row.nextElementSibling : row.previousElementSibling;
  return to?.dataset.id;
}
export const nextUnread = () => [...ul.children].find(row => row.dataset.id !== current && store.conversations.get(row.dataset.id)?.unread > 0)?.dataset.id;

export function choose(name) {
  filter = name;
  for (const b of $('filters').children) b.setAttribute('aria-pressed', String(b.value === name));
  return load();
}

export function start(of = 'all') {
  for (const [name, f] of Object.entries(store.filters)) $('filters').append(make('button', { type: 'button', value: name, 'aria-pressed': 'false' }, f.title));
  $('filters').addEventListener('click', e => { if (e.target.value) { $('q').value = q = ''; choose(e.target.value); } });
  let typing = 0;
  $('q').addEventListener('input', () => {
    clearTimeout(typing);
    typing = setTimeout(() => { q = $('q').value.trim(); load(); }, 250);
  });
  $('search').addEventListener('submit', e => { e.preventDefault(); clearTimeout(typing); q = $('q').value.trim(); load(); });
  $('more').addEventListener('click', () => load(true));
  new IntersectionObserver(seen => { if (seen.some(s => s.isIntersecting)) load(true); }, { root: $('list-scroll'), rootMargin: '600px' }).observe($('more'));
  store.on('conversation', show);
  store.on('gone', drop);
  store.on('myself', () => { for (const id of [...rows.keys()]) show(store.conversations.get(id)); }); // colleagues have names now, and whose they are is known
  store.on('stale', () => load());
  return choose(of in store.filters ? of : 'all');
}
