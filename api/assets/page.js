// Keeps a page as it is now. /live tells what changed; then the page is asked for
// again and the parts that changed are taken over, node by node: the server
// has escaped every text, and nothing is ever read as HTML with scripts in it.
// A part is marked data-live; what it names is all that it depends on.

const live = document.getElementById('live');
const patience = 35_000; // two heartbeats missed
let heard = performance.now();

// The pages behind More go away when somebody is done with them.
const more = document.querySelector('.bar nav details');
if (more) {
  addEventListener('click', e => { if (!more.contains(e.target)) more.open = false; });
  more.addEventListener('keydown', e => {
    if (e.key !== 'Escape' || !more.open) return;
    more.open = false;
    more.firstElementChild.focus();
  });
}

// Times are shown as the reader's clock has them.
function localise(root) {
  for (const t of root.querySelectorAll('time[datetime]')) {
    const at = new Date(t.dateTime);
    const today = !('whole' in t.dataset) && at.toDateString() === new Date().toDateString();
    t.textContent = at.toLocaleString([], today ? { timeStyle: 'medium' } : { dateStyle: 'medium', timeStyle: 'short' });
  }
}

const keyOf = node => node.dataset?.key;

// morph makes one node equal to another and keeps what is equal already, so
// that neither focus nor a screen reader's place is lost.
function morph(old, next) {
  if (old.nodeName !== next.nodeName || keyOf(old) !== keyOf(next)) {
    old.replaceWith(document.importNode(next, true));
    return;
  }
  if (old.nodeType !== Node.ELEMENT_NODE) {
    if (old.nodeValue !== next.nodeValue) old.nodeValue = next.nodeValue;
    return;
  }
  for (const { name } of [...old.attributes]) {
    if (name !== 'open' && !next.hasAttribute(name)) old.removeAttribute(name); // open: what the reader unfolded
  }
  for (const { name, value } of next.attributes) if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  const keyed = new Map([...old.childNodes].filter(keyOf).map(n => [keyOf(n), n]));
  let place = old.firstChild;
  for (const child of next.childNodes) {
    const same = keyOf(child) ? keyed.get(keyOf(child)) : place && !keyOf(place) ? place : undefined;
    if (!same) {
      old.insertBefore(document.importNode(child, true), place);
    } else if (same === place) {
      place = place.nextSibling;
      morph(same, child);
    } else {
      old.insertBefore(same, place);
      morph(same, child);
    }
  }
  while (place) {
    const after = place.nextSibling;
    place.remove();
    place = after;
  }
}

let timer = 0;
let busy = false;
let again = false;

// refresh is asked for freely; it works at most about once a second, and only
// for eyes that can see it.
function refresh(delay = 150) {
  if (document.hidden) return;
  if (busy) again = true;
  else timer ||= setTimeout(fetchPage, delay);
}

async function fetchPage() {
  timer = 0;
  busy = true;
  try {
    const answer = await fetch(location.pathname + location.search, { headers: { Accept: 'text/html' } });
    if (answer.redirected) location.reload(); // signed out
    if (!answer.ok) throw new Error(answer.status);
    const next = new DOMParser().parseFromString(await answer.text(), 'text/html');
    localise(next);
    seq = next.body.dataset.seq ?? seq;
    for (const part of document.querySelectorAll('[data-live]')) {
      const now = next.getElementById(part.id);
      if (now) morph(part, now);
    }
  } catch {
    // The connection is down; the event stream says when it is back.
  }
  busy = false;
  if (again) {
    again = false;
    refresh(900);
  }
}

function show(fresh) {
  document.body.classList.toggle('stale', !fresh);
  live.firstElementChild.className = fresh ? 'dot good' : 'dot bad';
  const words = fresh ? 'Live' : 'Not live: no connection to gatewayd. What you see is old.';
  if (live.lastElementChild.textContent !== words) live.lastElementChild.textContent = words;
}

function hear() {
  heard = performance.now();
  show(true);
}

let seq = document.body.dataset.seq;

// As the parts are now: what a message still waits for changes.
const concerns = what => [...document.querySelectorAll('[data-live]')]
  .some(({ dataset: { live } }) => live === '' || live.split(' ').includes(what));

function connect() {
  const source = new EventSource(`/live?after=${seq}`);
  source.addEventListener('changed', event => {
    hear();
    if (concerns(JSON.parse(event.data).what)) refresh();
  });
  source.addEventListener('heartbeat', hear);
  let first = true;
  source.addEventListener('open', () => {
    hear();
    if (!first) refresh();
    first = false;
  });
  source.addEventListener('error', () => {
    // The browser comes back by itself unless it was refused: stopped or signed out.
    if (source.readyState === EventSource.CLOSED) setTimeout(() => { refresh(); connect(); }, 3000);
  });
}

function follow() {
  connect();
  setInterval(() => { if (performance.now() - heard > patience) show(false); }, 1000);
  document.addEventListener('visibilitychange', () => refresh());
}

// Sending a text: an ordinary request of the API.
const form = document.getElementById('send');
let once = '';
form?.addEventListener('input', () => { once = ''; }); // another text is another message
form?.addEventListener('submit', async event => {
  event.preventDefault();
  const { to, from, gateway, text } = form.elements;
  const button = form.querySelector('button');
  const out = form.querySelector('output');
  const fault = (field, words) => {
    document.getElementById(`send-${field.name}`).textContent = words;
    field.setAttribute('aria-invalid', String(words !== ''));
  };
  fault(to, '');
  fault(text, '');
  out.textContent = '';
  button.disabled = true;
  // The same key on another try: an answer that got lost sends nothing twice.
  once ||= Array.from(crypto.getRandomValues(new Uint8Array(16)), b => b.toString(16).padStart(2, '0')).join('');
  try {
    const answer = await fetch('/v1/messages', {
      method: 'POST',
      headers: { 'Content-Type': 'application/json', 'Idempotency-Key': once },
      body: JSON.stringify({ to: to.value, text: text.value, from: from?.value || null, gateway: gateway?.value || null }),
    });
    const got = await answer.json();
    if (answer.ok) {
      out.textContent = got.parts === 1 ? 'Accepted.' : `Accepted, in ${got.parts} parts.`;
      text.value = '';
      once = '';
      text.focus();
    } else {
      const other = (got.errors ?? []).filter(e => !['to', 'text'].includes(e.field));
      for (const e of got.errors ?? []) if (e.field === 'to' || e.field === 'text') fault(form.elements[e.field], `${e.detail}.`);
      if (!got.errors) out.textContent = `${got.title}. ${got.detail}`;
      else if (other.length) out.textContent = other.map(e => `${e.field} ${e.detail}.`).join(' ');
      form.querySelector('[aria-invalid=true]')?.focus();
    }
  } catch {
    out.textContent = 'No answer from gatewayd. Try again: it will not be sent twice.';
  }
  button.disabled = false;
});

// Asking the network: a code, then replies as long as it wants one.
const ask = document.getElementById('ask');
const end = document.getElementById('ask-end');
let asking = false; // the network waits for a reply

function session(open) {
  asking = open;
  end.hidden = !open;
  ask.elements.modem.disabled = open;
  document.getElementById('ask-what').textContent = open ? 'Reply' : 'Code';
}

async function askNetwork(body) {
  const { code, modem } = ask.elements;
  const said = document.getElementById('ask-said');
  const fault = document.getElementById('ask-code');
  const button = ask.querySelector('button');
  fault.textContent = '';
  code.setAttribute('aria-invalid', 'false');
  said.textContent = 'Asking. The network may take a minute.';
  button.disabled = true;
  try {
    const answer = await fetch(`/v1/modems/${encodeURIComponent(modem.value)}/ussd`, {
      method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(body),
    });
    const got = await answer.json();
    said.textContent = '';
    if (answer.ok) {
      said.textContent = [got.text, got.reason].filter(Boolean).join('\n') || 'Done.';
      session(got.state === 'needs-reply');
      if (asking) code.value = '';
    } else {
      fault.textContent = got.errors ? got.errors.map(e => `${e.field} ${e.detail}.`).join(' ') : `${got.title}. ${got.detail}`;
      code.setAttribute('aria-invalid', String(!!got.errors));
      if (answer.status === 409) {
        session(false);
        end.hidden = false; // it may be somebody else's session that is in the way
      }
    }
  } catch {
    said.textContent = 'No answer from gatewayd.';
    session(false);
  }
  button.disabled = false;
  code.focus();
}

ask?.addEventListener('submit', event => {
  event.preventDefault();
  askNetwork(asking ? { reply: ask.elements.code.value } : { code: ask.elements.code.value });
});
end?.addEventListener('click', () => askNetwork({ cancel: true }));

localise(document);
if (live) follow();
