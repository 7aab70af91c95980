// Asks for a measure about once a second, which also keeps the modem measuring;
// when nobody asks any more, it stops by itself.

const aim = document.getElementById('aim');
const at = id => document.getElementById(id);
const pace = 700;
const scales = { RSRP: [-130, -70], RSSI: [-113, -51] };
const words = { good: ['good', 'good'], fair: ['fair', 'warn'], poor: ['poor', 'bad'], none: ['next to nothing', 'bad'] };

let best = null; // {kind, dbm, when}
let last = null; // the measure that is shown: {kind, dbm}
let stamp = ''; // when that was measured, in the gateway's words
let came = 0; // and when it came
let spoke = 0;

const minus = n => String(n).replace('-', '−');
const put = (id, text) => { if (at(id).textContent !== text) at(id).textContent = text; };
const share = m => {
  const [low, high] = scales[m.kind];
  return Math.min(Math.max((m.dbm - low) / (high - low), 0), 1);
};

function show(got) {
  const s = got.signal;
  const ready = got.state === 'ready';
  at('state').firstElementChild.className = `pill ${ready ? 'good' : 'warn'}`;
  put('reason', ready ? '' : got.reason);
  if (ready) at('state').firstElementChild.textContent = 'ready';
  else at('state').firstElementChild.textContent = got.state.replaceAll('-', ' ');
  put('operator', got.operator ?? '–');
  put('technology', got.technology ?? '–');
  put('cell', got.cell ?? '–');
  for (const name of ['rsrp', 'rsrq', 'sinr']) put(name, s?.[name] == null ? '–' : `${minus(s[name])} ${name === 'rsrp' ? 'dBm' : 'dB'}`);
  put('rssi', s ? `${minus(s.dbm)} dBm` : '–');
  if (!s) {
    last = null;
    put('figure', '–');
    put('word', 'no signal');
    at('word').className = 'word idle';
    at('fill').setAttribute('width', 0);
    return;
  }
  last = s.rsrp == null ? { kind: 'RSSI', dbm: s.dbm } : { kind: 'RSRP', dbm: Math.round(s.rsrp) };
  const isNew = s.at !== stamp;
  if (isNew) {
    stamp = s.at;
    came = performance.now();
  }
  put('figure', minus(last.dbm));
  put('kind', last.kind);
  const [word, kind] = words[s.quality];
  put('word', word);
  at('word').className = `word ${kind}`;
  at('fill').setAttribute('width', 100 * share(last));
  if (best?.kind !== last.kind || last.dbm > best.dbm) best = { ...last, when: new Date() };
  showBest();
  if (isNew) signalMeasure();
}

function showBest() {
  if (!best || !last) return;
  const below = best.dbm - last.dbm;
  put('best', `Best ${minus(best.dbm)} dBm at ${best.when.toLocaleTimeString()}. ${below ? `Now ${below} dB below.` : 'This is the best so far.'}`);
  at('mark').setAttribute('x', Math.max(100 * share(best) - 1, 0));
  at('mark').setAttribute('width', 1);
  // Somebody who listens to a screen reader can't follow a figure each second.
  if (performance.now() - spoke < 5000) return;
  spoke = performance.now();
  put('spoken', `${last.kind} ${minus(last.dbm)} dBm, ${at('word').textContent}, ${below ? `${below} dB below the best` : 'the best so far'}`);
}

function age() {
  if (!came) return;
  const seconds = Math.round((performance.now() - came) / 1000);
  const old = seconds > 4 || !last;
  aim.classList.toggle('old', old);
  put('fresh', old ? `Not fresh: measured ${seconds} s ago. ${trouble}` : `Measured ${seconds} s ago.${dark}`);
}

// Sound and vibration, for somebody who can't look.
const on = { sound: false, buzz: false };
let sound = null;

function beep(pitch, start, length) {
  const tone = sound.createOscillator();
  const volume = sound.createGain();
  tone.frequency.value = pitch;
  volume.gain.setValueAtTime(0.0001, start);
  volume.gain.exponentialRampToValueAtTime(0.4, start + 0.02);
  volume.gain.exponentialRampToValueAtTime(0.0001, start + length);
  tone.connect(volume).connect(sound.destination);
  tone.start(start);
  tone.stop(start + length);
}

function signalMeasure() {
  const below = best.dbm - last.dbm;
  if (on.sound && sound) {
    const pitch = 250 + 1250 * share(last);
    beep(pitch, sound.currentTime, 0.15);
    if (below === 0) beep(pitch, sound.currentTime + 0.2, 0.15);
  }
  if (on.buzz) navigator.vibrate(below === 0 ? [80, 80, 80, 80, 80] : below <= 3 ? [80, 80, 80] : below <= 6 ? [80] : []);
}

function flip(id) {
  on[id] = !on[id];
  at(id).setAttribute('aria-pressed', String(on[id]));
}

// A phone that goes dark would have to be woken on the ladder.
let dark = '';

async function stayAwake() {
  if (document.hidden) return;
  try {
    await navigator.wakeLock.request('screen');
  } catch {
    dark = ' This browser lets the screen go dark: set its time in the phone.';
  }
}

let trouble = '';

async function measure() {
  if (!document.hidden) {
    try {
      const answer = await fetch(`/v1/modems/${encodeURIComponent(aim.dataset.modem)}/aim`, { method: 'POST' });
      const got = await answer.json();
      trouble = answer.ok ? '' : `${got.title}. ${got.detail}`;
      if (answer.ok) show(got);
      else if (answer.status === 401) location.reload(); // signed out
    } catch {
      trouble = 'No answer from gatewayd.';
    }
    if (!came && trouble) put('fresh', trouble);
    age();
  }
  setTimeout(measure, pace);
}

if (aim) {
  at('buttons').hidden = false;
  at('buzz').hidden = !navigator.vibrate;
  at('reset').addEventListener('click', () => {
    best = last && { ...last, when: new Date() };
    spoke = 0;
    showBest();
  });
  at('sound').addEventListener('click', () => {
    sound ??= new AudioContext(); // allowed only after a click
    flip('sound');
  });
  at('buzz').addEventListener('click', () => flip('buzz'));
  document.addEventListener('visibilitychange', stayAwake);
  stayAwake();
  measure();
}
