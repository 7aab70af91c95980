// Where a text is written: its length as it will go out, its draft, and what Enter does.
import { $, ask, kept } from './chat-api.js';
import { count } from './chat-count.js';
import * as outbox from './chat-outbox.js';
import * as store from './chat-store.js';
import * as ways from './chat-ways.js';
import { asks } from './chat-words.js';

const field = $('text');
const form = $('compose');
let id = '';

// around is what the gateway puts before and behind what is written: the name before a
// text to somebody who was asked, and the person's sign-off; where a way can be chosen,
// also name and subject before an SMS, and links to files behind it.
export function around(c) {
  return [c?.prefix ?? '', store.myself.sign_off ? `\n${store.myself.sign_off}` : ''];
}

// measure tells a text's length in words.
export function measure(text, [before, behind], { characters: most, parts } = store.myself.limits ?? {}) {
  if (!text) return { words: '', why: '', over: false };
  const n = count(before + (behind && text.trim().endsWith(behind.trim()) ? text : text + behind));
  const limit = most && n.characters > most;
  // What the gateway replaces by plain letters takes fewer parts than it looks.
  const pieces = parts && n.parts > parts && !(n.forced && document.body.dataset.unicode === 'transliterate');
  const words = `${n.characters}${most ? ` of ${most}` : ''} characters · ${n.parts} ${n.parts === 1 ? 'part' : 'parts'} · ${n.left} left`;
  let why = '';
  if (n.unsendable) why = `Character ${n.unsendable.position - [...before].length} (${n.unsendable.codePoint}) can't be sent. Remove it.`;
  else if (limit) why = `It is ${n.characters - most} ${n.characters - most === 1 ? 'character' : 'characters'} too long.`;
  else if (pieces) why = `It takes ${n.parts} parts${n.forced ? `, for “${n.forced.character}” makes it Unicode` : ''}; a text may have ${parts}. Make it shorter, or send it as two.`;
  else if (n.forced) {
    const at = n.forced.position - [...before].length;
    const where = at < 1 ? 'in the name before it' : at > [...text].length ? 'in the sign-off' : `character ${at}`;
    why = `“${n.forced.character}” (${where}) makes it Unicode: 70 characters in one part, 67 in each of several.`;
    if (document.body.dataset.unicode === 'reject') why += ' This gateway refuses such texts.';
    if (document.body.dataset.unicode === 'transliterate') why = `“${n.forced.character}” (${where}) is not in the SMS alphabet; what can be is replaced by plain letters.`;
  } else if (before || behind) why = `With ${[before && `“${before.trim()}” before it`, behind && (behind.includes('/f/') ? 'links behind it' : 'the sign-off behind it')].filter(Boolean).join(' and ')}.`;
  return { words, why, over: !!limit || !!pieces || !!n.unsendable, unicode: !!n.forced };
}

// The alphabet is told with the parts.
function counted() {
  const c = store.conversations.get(id);
  const [before, behind] = around(c);
  const text = field.value;
  let m = measure(text, [before, behind]);
  if (ways.offered() && ways.route(c) === 'internet') {
    m = { words: text && `${[...text].length} characters · by internet`, why: '', over: false };
  } else if (ways.offered()) {
    const head = ways.head(c);
    m = measure(text.trim() || !ways.any() ? text : '', [text.startsWith(head) ? '' : head, behind + ways.links()]);
  }
  const hindered = ways.hindered(c);
  $('counter').textContent = m.words + (m.words && !m.words.endsWith('internet') ? (m.unicode ? ' · Unicode' : ' · GSM-7') : '');
  $('counter-why').textContent = hindered || m.why;
  $('counter-why').classList.toggle('bad', m.over || !!hindered);
  $('send').disabled = !(text.trim() || ways.any()) || m.over || !!hindered;
  field.style.height = 'auto';
  field.style.height = `${Math.min(field.scrollHeight + 2, innerHeight * 0.35)}px`;
}

// A draft is kept in this browser at once, and with the gateway soon after, for the
// person's other devices. What the gateway does not have yet is marked.
const draftOf = of => kept.get(`draft ${of}`);
export const draftText = of => draftOf(of)?.text ?? '';
let saving = 0;
function remember() {
  const text = field.value;
  kept.set(`draft ${id}`, text ? { text, fresh: true } : { text: '', fresh: true });
  clearTimeout(saving);
  const of = id;
  saving = setTimeout(() => save(of), 800);
}
async function save(of) {
  const d = draftOf(of);
  if (!d?.fresh) return;
  try {
    await ask('PUT', `/v1/conversations/${of}/draft`, { text: d.text });
    if (draftOf(of)?.text === d.text) kept.set(`draft ${of}`, d.text ? { text: d.text } : null);
  } catch (e) {
    if (e.status === 404) kept.set(`draft ${of}`, null);
  }
}
export const saveAll = () => Promise.all(kept.names().filter(n => n.startsWith('draft ')).map(n => save(n.slice(6))));

// show opens the field for a conversation.
export async function show(of) {
  if (id && id !== of) save(id);
  id = of;
  field.value = draftText(of);
  ways.show(of);
  counted();
  if (!of || draftOf(of)?.fresh) return;
  const before = field.value;
  try {
    const { text = '' } = await ask('GET', `/v1/conversations/${of}/draft`);
    if (id !== of || field.value !== before) return; // somebody writes already
    field.value = text ?? '';
    kept.set(`draft ${of}`, text ? { text } : null);
    counted();
  } catch { /* what this browser has is what there is */ }
}

// able says whether anything may be sent, and if not, why.
export function able(ok, why = '') {
  named();
  form.hidden = !ok;
  $('unable').hidden = ok || !why;
  $('unable').textContent = why;
}

// named says what the button does.
function named() {
  const c = store.conversations.get(id);
  const net = ways.route(c) === 'internet';
  const first = asks(c) && !net;
  field.placeholder = first ? 'Text, which goes out when the phone says YES' : 'Text message';
  $('send').setAttribute('aria-label', first ? 'Ask the phone, and send this when it says YES' : net ? 'Send by internet' : ways.offered() ? 'Send as SMS' : 'Send');
}

export function edit(text) {
  field.value = field.value ? `${field.value}\n${text}` : text;
  counted();
  remember();
  field.focus();
}

export const focus = () => { if (!form.hidden) field.focus(); };

// enterSends says what Enter does here: with a keyboard it sends, on a screen it is a new line.
export const enterSends = () => kept.get('enter', matchMedia('(pointer: fine)').matches);

function send() {
  if ($('send').disabled || !id) return;
  const c = store.conversations.get(id);
  const asking = asks(c) && ways.route(c) === 'sms';
  outbox.send(id, field.value.trim(), asking, ways.take());
  field.value = '';
  counted();
  remember();
  save(id);
  field.focus();
}

export function start() {
  field.addEventListener('input', () => { counted(); remember(); });
  form.addEventListener('submit', e => { e.preventDefault(); send(); });
  field.addEventListener('keydown', e => {
    if (e.key !== 'Enter' || e.isComposing || e.shiftKey || e.altKey) return;
    if (!(e.ctrlKey || e.metaKey || enterSends())) return;
    e.preventDefault();
    send();
  });
  ways.start();
  ways.changed(() => { counted(); named(); });
  store.on('myself', counted);
  store.on('back', saveAll);
  addEventListener('pagehide', () => { if (id) save(id); });
}
