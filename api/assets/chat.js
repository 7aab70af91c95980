// The chat page: which conversation is open, what its buttons do, and the keyboard.
// Its parts: chat-store.js knows, chat-list.js and chat-talk.js show, chat-compose.js
// and chat-outbox.js send, chat-dialogs.js asks, chat-notify.js tells.
import { $, kept, make, note, say } from './chat-api.js';
import * as compose from './chat-compose.js';
import * as dialogs from './chat-dialogs.js';
import * as list from './chat-list.js';
import * as notify from './chat-notify.js';
import * as outbox from './chat-outbox.js';
import * as store from './chat-store.js';
import * as talk from './chat-talk.js';
import * as ways from './chat-ways.js';
import { asks, nameOf, soon, states, stopped } from './chat-words.js';

const idOf = path => /^\/chat\/(conv_\w+)$/.exec(path)?.[1] ?? '';
const narrow = matchMedia('(max-width: 47.99rem)');

// go opens a conversation, or the list; the browser's back button goes back.
export function go(path, replace = false) {
  if (path === location.pathname) return;
  if (!idOf(path) && path !== '/chat') { location.href = path; return; }
  // From one conversation to another the list stays one step back.
  if (replace || (idOf(location.pathname) && idOf(path))) history.replaceState(history.state, '', path);
  else history.pushState({ fromList: true }, '', path);
  show();
}

function back() {
  if (history.state?.fromList) history.back();
  else go('/chat', true);
}

let shown = null;
let browsing = false;
async function show() {
  const id = idOf(location.pathname);
  if (id === shown) return;
  const before = shown;
  shown = id;
  document.body.dataset.show = id ? 'talk' : 'list';
  $('open').hidden = !id;
  $('none').hidden = !!id;
  list.select(id);
  compose.show(id);
  if (store.conversations.has(id)) head();
  else { $('who').textContent = ''; $('about').textContent = ''; $('banner').hidden = true; $('banner-acts').replaceChildren(); }
  if (!id && before) {
    talk.show('');
    document.querySelector(`#list [data-id="${before}"] a`)?.focus();
    return;
  }
  if (!id) return;
  if (before !== null || !narrow.matches) (narrow.matches || browsing || $('compose').hidden ? $('who') : $('text')).focus({ preventScroll: true });
  try {
    await talk.show(id);
    if (shown === id) head();
  } catch (e) {
    note(e.status === 404 ? 'There is no such conversation, or it is not yours.' : e.message, 'bad');
    if (shown === id && e.status === 404) go('/chat', true);
  }
}

// head is what stands above and below the conversation.
function head() {
  const c = store.conversations.get(shown);
  if (!c) return;
  $('who').textContent = nameOf(c);
  const about = [c.name && c.number, c.carrier, c.visitor ? `${c.visitor.name || 'a visitor'}’s, on the web site` : '',
    c.local && `through ${c.local}`, c.assigned_to && `assigned to ${c.assigned_to === store.me ? 'you' : store.person(c.assigned_to)}`];
  $('about').textContent = about.filter(Boolean).join(' · ');
  const net = c.online ? 'online' : c.reachable?.includes('internet') ? 'inbox' : '';
  $('presence').className = net && (net === 'online' ? 'here' : 'here away');
  $('presence').title = { online: 'Reachable by internet: looking at the inbox now', inbox: 'Has an inbox on the hub' }[net] ?? '';
  $('presence').textContent = '';
  if (net) $('presence').append(make('span', { class: 'unseen' }, net === 'online' ? ' online' : ' has an inbox'));
  document.body.dataset.state = c.state;
  for (const b of $('acts').querySelectorAll('[data-when]')) b.hidden = !dialogs.fits(b.dataset.when, c);

  const offer = [];
  let words = states[c.state]?.[2] ?? '';
  let kind = states[c.state]?.[1] ?? '';
  const consent = c.opt_in;
  if (c.state === 'blocked' && c.reason) words = `This conversation is blocked: ${c.reason.replace(/[.\s]*$/, '')}. Nothing is sent.`;
  if (c.stopped) {
    const why = store.stopOf(c);
    [words, kind] = [c.state === 'blocked' ? `${words} ${stopped(why)}` : stopped(why), 'bad'];
    if (why && why !== 'word' && store.may.admin) offer.push(['wants', 'It wants texts again…']);
  } else if (c.state === 'invited' && consent?.asked_at) {
    words = `The phone was asked at ${soon(consent.asked_at)} and has not said YES. ${c.waiting ? `${outbox.pending(c) === null ? 'The first text' : 'Your text'} goes out when it does` : 'Write what goes out when it does'}; nothing else is sent until then.`;
    if (Date.now() - new Date(consent.asked_at) > 864e5) offer.push(['invite', 'Invite again']); // once a day
  } else if (asks(c) && ['open', 'idle', 'new'].includes(c.state)) {
    words = consent ? 'What the phone agreed to is over. It is asked again first; what you write goes out when it says YES.' : 'The phone has not been asked yet. It is asked first; what you write goes out when it says YES.';
    kind = 'idle';
    offer.push(['invite', consent ? 'Invite again' : 'Invite']);
  } else if (c.state === 'open' && consent?.of) {
    words = consent.of - consent.used <= 3 ? `${consent.of - consent.used} more ${consent.of - consent.used === 1 ? 'message' : 'messages'} before the phone is asked again.` : '';
    kind = 'idle';
  }
  if (c.state === 'closed') offer.push(['reopen', 'Reopen']);
  if (c.state === 'blocked' && store.may.admin) offer.push(['unblock', 'Unblock']);
  $('banner').hidden = !words;
  $('banner').className = `banner ${kind}`;
  $('banner-words').textContent = words;
  const acts = $('banner-acts');
  const same = offer.map(([act]) => act).join() === [...acts.children].map(b => b.dataset.act).join();
  if (!same) acts.replaceChildren(...(store.may.send ? offer : []).map(([act, title]) => make('button', { type: 'button', class: 'small second', 'data-act': act }, title)));

  const silent = !store.may.send ? 'You may read here, but not send.' : '';
  compose.able(!silent && !c.stopped && (!c.waiting || ways.offered()) && !['closed', 'blocked'].includes(c.state), silent);
}

addEventListener('signed-out', () => { location.href = `/sign-in?next=${encodeURIComponent(location.pathname)}`; });

function live(is) {
  $('live').className = is ? 'live good' : 'live bad';
  const words = is ? 'Live' : 'Not connected';
  if ($('live').lastElementChild.textContent === words) return;
  $('live').lastElementChild.textContent = words;
  $('live').title = is ? 'What happens shows at once' : 'The gateway is not reached. What you see may be old; what you write is kept.';
}

// keys are the keyboard's shortcuts, which one can switch off.
const keys = {
  '/': () => { if (narrow.matches) go('/chat'); $('q').focus(); $('q').select(); },
  n: () => store.may.send && dialogs.begin(),
  j: () => step(1),
  k: () => step(-1),
  u: () => {
    const id = list.nextUnread();
    if (id) browse(id);
    else say('Nothing is unread.');
  },
  a: () => shown && store.may.send && dialogs.press('mine'),
  e: () => shown && store.may.send && dialogs.press('close'),
  o: () => shown && store.may.send && dialogs.press('note'),
  i: () => shown && dialogs.press('info'),
  '?': () => dialogs.show('keys'),
  Enter: () => shown && compose.focus(),
};
function step(by) {
  const id = list.beside(by);
  if (id) browse(id);
}
// browse goes on by the keyboard: the next key is a shortcut again, and not a letter of a text.
function browse(id) {
  browsing = true;
  go(`/chat/${id}`);
  browsing = false;
}
document.addEventListener('keydown', e => {
  if (e.ctrlKey || e.metaKey || e.altKey || e.isComposing || document.querySelector('dialog[open]')) return;
  const typing = e.target.matches('input, textarea, select');
  if (e.key === 'Escape') {
    if (!$('menu').hidden || !$('acts').hidden) { closeMenus(true); return; }
    if (typing) { e.target.blur(); if (shown) $('who').focus(); return; }
    if (shown) back();
    return;
  }
  if (typing || !kept.get('shortcuts', true) || !keys[e.key]) return;
  if (e.key === 'Enter' && e.target.closest('a, button, summary')) return;
  e.preventDefault();
  keys[e.key]();
});

// Menus are buttons that show a list of buttons.
function closeMenus(focus) {
  for (const [menu, opener] of [['menu', 'menu-open'], ['acts', 'acts-open']]) {
    if ($(menu).hidden) continue;
    $(menu).hidden = true;
    $(opener).setAttribute('aria-expanded', 'false');
    if (focus) $(opener).focus();
  }
}
for (const [menu, opener] of [['menu', 'menu-open'], ['acts', 'acts-open']]) {
  $(opener).addEventListener('click', e => {
    e.stopPropagation();
    const open = $(menu).hidden;
    closeMenus();
    $(menu).hidden = !open;
    $(opener).setAttribute('aria-expanded', String(open));
    if (open) $(menu).querySelector('a, button:not([hidden])')?.focus();
  });
}
document.addEventListener('click', e => {
  const b = e.target.closest('[data-act]');
  if (b && !b.closest('#messages')) dialogs.press(b.dataset.act);
  if (!e.target.closest('.menu') || b) closeMenus();
  const a = e.target.closest('a[href^="/chat"]');
  if (!a || e.defaultPrevented || e.button || e.ctrlKey || e.metaKey || e.shiftKey || a.target) return;
  const path = new URL(a.href).pathname;
  if (path !== '/chat' && !idOf(path)) return;
  e.preventDefault();
  if (a.id === 'back') back();
  else go(path);
});

addEventListener('popstate', show);

async function main() {
  compose.start();
  talk.start({ edit: compose.edit });
  list.showDraftsOf(compose.draftText);
  dialogs.start({ go, back, current: () => shown, whole: talk.whole });
  notify.start({ current: talk.current });
  store.on('live', live);
  store.on('conversation', c => { if (c.id === shown) head(); });
  store.on('myself', head);
  store.on('gone', id => { if (id === shown) { note('This conversation was deleted.'); go('/chat', true); } });
  store.on('stale', async () => { if (shown) { const id = shown; await store.open(id); talk.show(id); } });
  store.on('message', ({ message: m, news }) => {
    const c = store.conversations.get(m.conversation);
    if (m.direction === 'inbound' && news === undefined && m.conversation !== shown && c && store.own(c) && c.state !== 'blocked') say(`New text from ${nameOf(c)}`);
  });
  store.follow();
  const first = list.start();
  show();
  store.start();
  await first;
  list.select(shown);
  outbox.resume();
  notify.install({ go });
  const asked = new URLSearchParams(location.search); // /chat?to=NUMBER begins a chat, from a link elsewhere
  if (asked.has('new') || asked.has('to')) {
    history.replaceState(null, '', '/chat');
    if (store.may.send) dialogs.begin(asked.get('to') ?? '');
  }
}
main();
