// Asks the gateway, as the person who is signed in.

// Refused is an answer that says no, in words; status 0: there was none.
export class Refused extends Error {
  constructor(status, problem, wait) {
    const fields = (problem.errors ?? []).map(e => `${e.field} ${e.detail}.`).join(' ');
    super(fields || [problem.title, problem.detail].filter(Boolean).map(s => s.replace(/[.:]?$/, '.')).join(' '));
    this.status = status;
    this.code = (problem.type ?? '').split('/').pop();
    this.fields = problem.errors ?? [];
    this.wait = wait; // seconds after which it may work
  }

  // Whether the same may work later as it is.
  get passing() { return this.status === 0 || this.status === 429 || this.status >= 500; }
}

const patience = 20_000; // without an answer

// ask returns what was answered, or throws a Refused.
export async function ask(method, path, body, headers = {}) {
  let answer;
  let text = '';
  try {
    answer = await fetch(path, {
      method, cache: 'no-store', signal: AbortSignal.timeout(patience),
      headers: { Accept: 'application/json', ...headers, ...(body && { 'Content-Type': 'application/json' }) },
      body: body && JSON.stringify(body),
    });
    text = await answer.text();
  } catch {
    throw new Refused(0, { title: 'The gateway does not answer' });
  }
  let got = {};
  try { got = text ? JSON.parse(text) : {}; } catch { /* a proxy's words */ }
  if (answer.status === 401) dispatchEvent(new Event('signed-out'));
  if (!answer.ok) throw new Refused(answer.status, got.title ? got : { title: `The answer was ${answer.status}` }, Number(answer.headers.get('Retry-After')) || 0);
  return got;
}

export const query = values => new URLSearchParams(Object.entries(values).filter(([, v]) => v !== undefined && v !== '' && v !== null)).toString();

// newID is random enough to be one of its kind; crypto.randomUUID is not there over plain http.
export const newID = () => Array.from(crypto.getRandomValues(new Uint8Array(16)), b => b.toString(16).padStart(2, '0')).join('');

const me = document.body.dataset.me;

// kept is what this browser keeps for this person, which outlives a reload.
export const kept = {
  get(name, otherwise = null) {
    try { return JSON.parse(localStorage.getItem(`chat ${me} ${name}`)) ?? otherwise; } catch { return otherwise; }
  },
  set(name, value) {
    try {
      if (value === null) localStorage.removeItem(`chat ${me} ${name}`);
      else localStorage.setItem(`chat ${me} ${name}`, JSON.stringify(value));
      return true;
    } catch { return false; } // full, or forbidden: what is on the page stays there
  },
  names() {
    try { return Object.keys(localStorage).filter(n => n.startsWith(`chat ${me} `)).map(n => n.slice(`chat ${me} `.length)); } catch { return []; }
  },
  forget() { for (const name of kept.names()) kept.set(name, null); },
};

// make builds an element; what it says is text and stays text.
export function make(tag, attributes = {}, ...children) {
  const e = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    e.setAttribute(name, value === true ? '' : value);
  }
  e.append(...children.filter(c => c || c === 0));
  return e;
}

// drawn is one of the marks that chat.html has, with words for those who can't see it.
export function drawn(sign, words, kind = '') {
  const svg = document.createElementNS('http://www.w3.org/2000/svg', 'svg');
  const use = document.createElementNS('http://www.w3.org/2000/svg', 'use');
  use.setAttribute('href', `#mark-${sign}`);
  svg.setAttribute('viewBox', '0 0 24 24');
  svg.setAttribute('aria-hidden', 'true');
  svg.append(use);
  return make('span', { class: `mark ${sign} ${kind}`, title: words }, svg, make('span', { class: 'unseen' }, words));
}

export const $ = id => document.getElementById(id);

// say tells those who can't see the page.
export function say(words) {
  const at = $('say');
  at.textContent = '';
  requestAnimationFrame(() => { at.textContent = words; });
}

// note tells everybody for a while.
let noting = 0;
export function note(words, kind = '') {
  const at = $('note');
  at.textContent = words;
  at.className = kind;
  at.hidden = !words;
  clearTimeout(noting);
  noting = setTimeout(() => { at.hidden = true; }, 8000);
}
