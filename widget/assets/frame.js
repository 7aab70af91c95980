// The frame in which a visitor writes. Whatever anybody typed is put in as text: there
// is no markup made here, and the frame's policy would refuse it.
import { count } from "./count.js";
import { solve } from "./solve.js";

const $ = (id) => document.getElementById(id);
let look = JSON.parse($("look").textContent);
const { widget, key } = document.body.dataset;
const base = new URL(".", import.meta.url);
const kept = "gatewayd." + widget;
// left is the conversation that the visitor has turned away from; accepted: what the terms
// say now was accepted before, and is not asked for before each chat.
let pass = location.hash.slice(1); // the ticket of the page around
let token = remembered(), draft = "", chat = null, left = "", accepted = false, shown = true, seen = 0, stream = null, nextID = newID();

// Who stands around us says so in the ticket; the gateway checks it, and a page that
// lies about itself gets none of our messages.
const site = (() => { try { return JSON.parse(atob(pass.split(".")[0].replaceAll("-", "+").replaceAll("_", "/"))).s; } catch { return ""; } })();
if (pass) history.replaceState(null, "", location.pathname + location.search);

// The token outlives a click on the site's next page, and ends with the tab. Where a
// browser keeps nothing for frames it lives as long as this one.
function remembered() { try { return sessionStorage.getItem(kept) || ""; } catch { return ""; } }
function remember(t) {
  token = t;
  try { t ? sessionStorage.setItem(kept, t) : sessionStorage.removeItem(kept); } catch { /* in memory alone */ }
}

function newID() { return Array.from(crypto.getRandomValues(new Uint8Array(12)), (b) => b.toString(16).padStart(2, "0")).join(""); }
function word(name, n) { return (look.words[name] ?? "").replace("{n}", n); }
function tell(type, more) { if (site) parent.postMessage({ gatewayd: "widget", v: 1, type, ...more }, site); }

async function ask(method, path, body) {
  const headers = {};
  if (token) headers.Authorization = "Bearer " + token;
  if (body) headers["Content-Type"] = "application/json";
  let r;
  try {
    r = await fetch(new URL(path, base), { method, headers, body: body && JSON.stringify(body), credentials: "omit", cache: "no-store" });
  } catch { throw { code: "offline" }; }
  const answer = await r.json().catch(() => ({}));
  if (!r.ok) throw { status: r.status, code: answer.code, wait: Number(r.headers.get("Retry-After")) || 0 };
  return answer;
}

// why says in words what went wrong.
function why(e) {
  if (e.code === "offline") return word("offline");
  if (e.code === "limit") {
    const minutes = Math.ceil(e.wait / 60);
    return look.words["e-limit"].replace("{when}", minutes > 1 ? word("in", minutes) : word("inOne"));
  }
  return look.words["e-" + e.code] ?? look.words["e-other"];
}

function text(id, said) { $(id).textContent = said; }

function picture(src, alt) {
  const img = document.createElement("img");
  img.src = src;
  img.alt = alt;
  return img;
}

// linked is what it is given, as a link if there is an address.
function linked(to, ...content) {
  const e = document.createElement(to ? "a" : "span");
  if (to) Object.assign(e, { href: to, target: "_blank", rel: "noopener noreferrer" });
  e.append(...content);
  return e;
}

function dress() {
  document.documentElement.lang = look.language;
  document.title = look.title;
  for (const [name, value] of Object.entries(look.style)) document.documentElement.style.setProperty(name, value);
  document.body.style.backgroundImage = look.image ? `url("${look.image}")` : "none";
  document.body.classList.toggle("pictured", !!look.image);
  $("logo").hidden = !look.logo;
  if (look.logo) $("logo").src = look.logo;
  text("title", look.title);
  text("welcome", look.welcome);
  $("welcome").hidden = !look.welcome || !!chat;
  $("close").setAttribute("aria-label", word("close"));
  $("close").hidden = look.preview;
  $("preview").hidden = !look.preview;
  text("preview", word("preview"));
  for (const [id, name] of [["name", "name"], ["region", "country"], ["number", "number"], ["first", "first"], ["text", "write"]]) document.querySelector(`label[for=${id}]`).textContent = word(name);
  text("name-hint", word("nameHint"));
  text("number-hint", word("numberHint"));
  text("consent", word("consent"));
  for (const [id, name] of [["start", "start"], ["send", "send"], ["end", "end"], ["again", "again"], ["invite", "inviteAgain"]]) text(id, word(name));
  $("log").setAttribute("aria-label", word("log"));
  const terms = !!(look.terms.text || look.terms.link);
  $("terms").hidden = !terms;
  ticks();
  $("terms-text").hidden = !look.terms.text;
  $("terms-text").querySelector("summary").textContent = word("termsRead");
  $("terms-text").querySelector("div").textContent = look.terms.text;
  $("terms-link").hidden = !look.terms.link;
  if (look.terms.link) $("terms-link").href = look.terms.link;
  text("terms-link", word("terms"));
  $("terms").querySelector(".check span").textContent = word("accept");
  $("banners").replaceChildren(...look.banners.map((b) => {
    const e = linked(b.link, ...(b.image ? [picture(b.image, b.text)] : []), ...(b.text ? [b.text] : []));
    e.className = "banner";
    return e;
  }));
  const area = [];
  if (look.area.video) {
    const film = document.createElement("video");
    Object.assign(film, { src: look.area.video, controls: true, preload: "none", poster: look.area.image });
    film.setAttribute("aria-label", look.area.text || look.title);
    area.push(film);
    if (look.area.text || look.area.link) area.push(linked(look.area.link, look.area.text || look.area.link));
  } else if (look.area.image || look.area.text) {
    area.push(linked(look.area.link, ...(look.area.image ? [picture(look.area.image, look.area.text)] : []), ...(look.area.text ? [look.area.text] : [])));
  }
  $("area").replaceChildren(...area);
  $("area").hidden = !area.length;
  countries();
  counters();
}

// ticks shows the box to tick, unless that was done and holds.
function ticks() { $("terms").querySelector(".check").hidden = !asksTerms(); }
function asksTerms() { return !!(look.terms.text || look.terms.link) && (look.terms.each || !accepted); }

// stands takes the visitor's chat as it stands now.
function stands(now) {
  chat = now;
  if (now) accepted = now.accepted;
  ticks();
}

function countries() {
  const chosen = $("region").value || look.region;
  let say = (r) => r.name;
  try { const names = new Intl.DisplayNames([look.language], { type: "region" }); say = (r) => names.of(r.region) ?? r.name; } catch { /* in English */ }
  const all = look.regions.map((r) => [r.region, say(r)]).sort((a, b) => a[1].localeCompare(b[1], look.language));
  $("region").replaceChildren(...all.map(([value, name]) => new Option(name, value, false, value === chosen)));
}

// counters say what is left, with the name in front counted.
function counters() {
  const before = (name) => (name.trim() ? name.trim() + ": " : "");
  for (const [field, place, name] of [["first", "first-count", $("name").value], ["text", "count", chat?.our_name ?? ""]]) {
    const c = count(before(name) + $(field).value.trim()), left = look.characters - c.characters;
    $(place).textContent = (left < 0 ? word("over", -left) : word("left", left)) + " · " + (c.parts > 1 ? word("parts", c.parts) : word("partOne")) + (c.forcedBy ? " · Unicode: " + c.forcedBy : "");
    $(place).classList.toggle("over", left < 0);
  }
}

function render() {
  $("begin").hidden = !!chat || !look.enabled;
  $("chat").hidden = !chat;
  $("welcome").hidden = !look.welcome || !!chat;
  if (!chat) return void (look.enabled || text("welcome", word("disabled")), $("welcome").hidden = look.enabled && !look.welcome);
  text("with", chat.number);
  const log = $("log"), atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 40;
  const rows = chat.messages.map((m) => [m.id, m.mine ? "mine" : m.auto ? "auto" : "", m.text, [m.mine || m.auto ? "" : word("phone"), time(m.at), m.mine ? word(m.status) : ""]]);
  if (chat.waiting && draft) rows.push(["draft", "mine", draft, [word("draft")]]);
  const had = new Map(Array.from(log.children, (e) => [e.dataset.id, e]));
  // What stays is left where it is, so that it is not read out again and does not move.
  rows.forEach(([id, kind, said, notes], at) => {
    const e = had.get(id) ?? document.createElement("div"), note = notes.filter(Boolean).join(" · ");
    if (e.dataset.said !== said + note) {
      if (!had.has(id) && had.size) e.classList.add("come");
      Object.assign(e.dataset, { id, said: said + note });
      e.classList.toggle("mine", kind === "mine");
      e.classList.toggle("auto", kind === "auto");
      const small = document.createElement("small");
      small.textContent = note;
      e.replaceChildren(said, small);
    }
    had.delete(id);
    if (log.children[at] !== e) log.insertBefore(e, log.children[at] ?? null);
  });
  for (const gone of had.values()) gone.remove();
  if (atEnd) log.scrollTop = log.scrollHeight;
  text("state", stateWords());
  const over = chat.state === "closed" || chat.state === "blocked" || chat.stopped;
  $("write").hidden = over || !look.enabled;
  $("send").disabled = chat.state === "invited";
  $("invite").hidden = over || !chat.may_invite;
  $("again").hidden = !over;
  $("end").hidden = over;
  const heard = chat.messages.filter((m) => !m.mine && !m.auto).length;
  if (shown) seen = heard;
  else tell("unread", { n: heard - seen });
  counters();
}

function stateWords() {
  if (!look.enabled) return word("disabled");
  if (chat.stopped) return word("stopped");
  if (chat.state === "open") return chat.need_yes ? word("needYes") : word("openNow");
  return word({ invited: "invited", idle: "idle", closed: "closed", blocked: "blocked", new: "openNow" }[chat.state] ?? "");
}

function time(at) { return new Date(at).toLocaleTimeString(look.language, { hour: "2-digit", minute: "2-digit" }); }

function fault(id, e, field) {
  text(id, e ? why(e) : "");
  for (const f of ["name", "number", "first", "accept", "text"]) $(f).removeAttribute("aria-invalid");
  if (field) { $(field).setAttribute("aria-invalid", "true"); $(field).focus(); }
}

const fieldOf = { name: "name", number: "number", "e-destination": "number", destination: "number", text: "first", keyword: "first", "too-long": "first", terms: "accept" };

// fresh asks the page around for another ticket, once.
function fresh() {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => { waiting = null; reject({ code: "expired" }); }, 8000);
    waiting = (t) => { clearTimeout(timer); waiting = null; pass = t; resolve(); };
    tell("ticket");
  });
}
let waiting = null;

async function solved() {
  const { puzzle, needed } = await ask("POST", "puzzle", { ticket: pass });
  if (!needed) return "";
  return solve(puzzle).catch(() => { throw { code: "captcha" }; });
}

// written asks for something that sends a text; where that looks like a program's, the
// browser solves another puzzle first.
async function written(path, said) {
  const order = { text: said, client_id: nextID };
  const answer = await ask("POST", path, order).catch(async (e) => {
    if (e.code !== "captcha") throw e;
    text("fault", word("robot"));
    const solution = await solved();
    if (solution) await ask("POST", "prove", { solution });
    fault("fault");
    return ask("POST", path, order);
  });
  stands(answer.chat);
  nextID = newID();
  $("text").value = "";
}

async function begin(order) {
  for (let tries = 0; ; tries++) {
    try {
      text("start", word("robot"));
      const solution = await solved();
      text("start", word("starting"));
      return await ask("POST", "start", { ...order, ticket: pass, solution });
    } catch (e) {
      if (e.code === "captcha" && tries < 2) continue;
      if (e.code !== "expired" || tries > 1) throw e;
      await fresh();
    }
  }
}

$("begin").addEventListener("submit", async (e) => {
  e.preventDefault();
  if (look.preview) return;
  for (const [field, missing] of [["name", !$("name").value.trim()], ["number", !$("number").value.trim()], ["first", !$("first").value.trim()], ["accept", asksTerms() && !$("accept").checked]])
    if (missing) return fault("begin-fault", { code: field === "first" ? "text" : field === "accept" ? "terms" : field }, field);
  fault("begin-fault");
  $("start").disabled = true;
  try {
    const order = { name: $("name").value, region: $("region").value, number: $("number").value, text: $("first").value, terms: $("accept").checked, version: look.version, client_id: nextID };
    const answer = await begin(order);
    if (answer.token) remember(answer.token);
    nextID = newID();
    left = "";
    stands(answer.chat);
    draft = order.text; // waits for YES
    $("first").value = "";
    $("accept").checked = false;
    render();
    follow();
    $("log").focus();
  } catch (e) {
    if (e.code === "terms") { accepted = false; ticks(); } // they are others by now
    fault("begin-fault", e, fieldOf[e.code]);
  }
  $("start").disabled = false;
  text("start", word("start"));
});

$("write").addEventListener("submit", async (e) => {
  e.preventDefault();
  const said = $("text").value;
  if (!said.trim()) return;
  fault("fault");
  $("send").disabled = true;
  try {
    await written("messages", said);
  } catch (e) {
    fault("fault", e, "text");
    if (e.code === "not-opted-in") $("invite").hidden = false;
  }
  $("send").disabled = false;
  render();
});

async function press(path) {
  fault("fault");
  try { stands((await ask("POST", path, {})).chat); render(); } catch (e) { fault("fault", e); }
}
$("end").addEventListener("click", () => press("end"));
$("invite").addEventListener("click", async () => {
  fault("fault");
  const said = $("text").value;
  try { await written("invite", said); draft = said; render(); } catch (e) { fault("fault", e); }
});
$("again").addEventListener("click", () => { left = chat.id; chat = null; render(); $("name").focus(); });
$("close").addEventListener("click", () => tell("close"));
addEventListener("keydown", (e) => { if (e.key === "Escape") tell("close"); });
for (const f of ["first", "text", "name"]) $(f).addEventListener("input", counters);
$("text").addEventListener("keydown", (e) => {
  if (e.key === "Enter" && !e.shiftKey && !e.isComposing) { e.preventDefault(); $("write").requestSubmit(); }
});

addEventListener("message", (e) => {
  if (e.source !== parent || e.origin !== site) return;
  const m = e.data;
  if (!m || m.gatewayd !== "widget" || m.v !== 1) return;
  if (m.type === "ticket" && typeof m.ticket === "string" && waiting) waiting(m.ticket);
  if (m.type === "shown" || m.type === "hidden") {
    shown = m.type === "shown";
    if (shown && chat) render();
  }
});

// follow reads the event stream, for which the browser's own reader won't do: it can't
// send a token in a header. Where no stream gets through it asks every few seconds.
async function follow() {
  stream?.abort();
  const mine = (stream = new AbortController());
  for (let failed = 0; !mine.signal.aborted;) {
    try {
      const got = failed < 3 ? await listen(mine.signal) : await poll();
      failed = got ? 0 : failed + 1;
      if (failed >= 3 && Math.random() < .06) failed = 0; // a stream may get through again
    } catch (e) {
      if (mine.signal.aborted) return;
      if (e.status === 401) { remember(""); if (!chat) return; chat = { ...chat, state: "closed", may_invite: false }; render(); return; }
      failed++;
    }
    await new Promise((r) => setTimeout(r, failed < 3 ? 1500 * failed + 300 : 4000));
  }
}

async function poll() {
  const now = await ask("GET", "chat" + asked());
  take("look", now.look);
  take("chat", now.chat);
  return true;
}

function asked() { return `?widget=${encodeURIComponent(widget)}&key=${encodeURIComponent(key)}`; }

async function listen(signal) {
  const headers = token ? { Authorization: "Bearer " + token } : {};
  const r = await fetch(new URL("events" + asked(), base), { headers, signal, credentials: "omit", cache: "no-store" });
  if (!r.ok) throw { status: r.status };
  const reader = r.body.pipeThrough(new TextDecoderStream()).getReader();
  let buffer = "", got = false, timer;
  try {
    for (;;) {
      // Three heartbeats missed: something in between holds the stream back.
      const late = new Promise((_, reject) => { timer = setTimeout(() => reject({ code: "offline" }), 50_000); });
      const { value, done } = await Promise.race([reader.read(), late]);
      clearTimeout(timer);
      if (done) return got;
      got = true;
      buffer += value;
      const events = buffer.split("\n\n");
      buffer = events.pop();
      for (const e of events) {
        const kind = /^event: (.*)$/m.exec(e), data = /^data: (.*)$/m.exec(e);
        if (kind && data) take(kind[1], JSON.parse(data[1]));
      }
    }
  } finally {
    clearTimeout(timer);
    reader.cancel().catch(() => {});
  }
}

function take(kind, data) {
  if (kind === "look" && data && data.version !== look.version) { look = data; dress(); render(); }
  if (kind === "chat" && data && data.id !== left) { // one that was left comes back by a new start alone
    const begins = !chat;
    stands(data);
    render();
    if (begins) $("log").scrollTop = $("log").scrollHeight;
  }
}

dress();
if (look.preview) {
  render();
} else {
  tell("ready");
  if (token) await ask("GET", "chat" + asked()).then((now) => stands(now.chat), (e) => { if (e.status === 401 || e.status === 404) remember(""); });
  render();
  follow();
}
