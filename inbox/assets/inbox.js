// The inbox of a phone number. Nothing is kept in the browser but the cookie, which no
// script can read.
import { solve } from "./solve.js";
import { day, element, message, size, summary, when } from "./show.js";

const $ = (id) => document.getElementById(id);
let me = null, waiting = null, tag = "", shown = "", unread = false, open = 0, last = 0, oldest = 0, all = [], attached = [], stream = null, sending = null;

async function ask(method, path, body) {
  const o = { method, cache: "no-store", headers: {} };
  if (body instanceof Blob) {
    o.body = body;
    o.headers["Content-Type"] = body.type || "application/octet-stream";
  } else if (body) {
    o.body = JSON.stringify(body);
    o.headers["Content-Type"] = "application/json";
  }
  let r;
  try { r = await fetch("/inbox/v1/" + path, o); } catch { throw { code: "offline", detail: "There is no connection. Try again." }; }
  const answer = await r.json().catch(() => ({}));
  if (r.ok) return answer;
  if (r.status === 401) { signedOut(); }
  const wait = Number(r.headers.get("Retry-After"));
  if (answer.code === "limit") answer.detail = "Too many tries. Wait " + (wait > 90 ? Math.ceil(wait / 60) + " minutes" : Math.max(wait, 1) + " seconds") + " and try again.";
  throw { status: r.status, code: answer.code, detail: answer.detail || "It did not work. Try again." };
}

// busy does what a form is for, with its buttons off meanwhile.
async function busy(form, fault, what) {
  const buttons = [...form.querySelectorAll("button")];
  fault.textContent = "";
  buttons.forEach((b) => { b.disabled = true; });
  try { await what(); } catch (e) {
    if (!e.detail) throw e;
    fault.textContent = e.detail;
  } finally { buttons.forEach((b) => { b.disabled = false; }); }
}

function signedOut() {
  me = null;
  stream?.close();
  stream = null;
  open = 0;
  attached = [];
  $("log").replaceChildren();
  $("threads").replaceChildren();
  $("settings").close();
  $("inbox").hidden = true;
  $("door").hidden = false;
}

$("ask").addEventListener("submit", (e) => {
  e.preventDefault();
  busy($("ask"), $("ask-fault"), async () => {
    const { puzzle } = await ask("POST", "puzzle", {});
    const solution = await solve(puzzle, () => {});
    waiting = await ask("POST", "code", { number: $("number").value, region: document.body.dataset.region, name: $("name").value, solution });
    $("sent-to").textContent = "If " + $("number").value + " can get texts from here, a code of " + waiting.digits + " digits is on its way to it. It is good for 10 minutes. Where the number has had several codes already, no more are sent for some hours.";
    $("ask").hidden = true;
    $("enter").hidden = false;
    $("code").value = "";
    $("code").focus();
  });
});

$("enter").addEventListener("submit", (e) => {
  e.preventDefault();
  busy($("enter"), $("enter-fault"), async () => {
    await ask("POST", "open", { ask: waiting.ask, code: $("code").value });
    back();
    await start();
  });
});

function back() {
  waiting = null;
  $("enter").hidden = true;
  $("ask").hidden = false;
  $("enter-fault").textContent = "";
}
$("other").addEventListener("click", back);

async function start() {
  try { me = await ask("GET", "me?maybe"); } catch (e) { $("ask-fault").textContent = e.detail; }
  if (!me?.number) {
    signedOut();
    return;
  }
  $("door").hidden = true;
  $("inbox").hidden = false;
  goto();
  stream = new EventSource("/inbox/v1/events");
  stream.addEventListener("open", () => { $("live").textContent = ""; });
  stream.addEventListener("error", () => { $("live").textContent = "Connecting…"; });
  stream.addEventListener("changed", refresh);
  stream.addEventListener("over", signedOut);
}

// refresh asks anew what is shown; while it does, further changes are one more.
let refreshing = false, anew = false;
async function refresh() {
  if (refreshing) { anew = true; return; }
  refreshing = true;
  try {
    do {
      anew = false;
      await list();
      if (open) await talk(false);
    } while (anew && me);
  } catch (e) { if (!e.detail) throw e; } finally { refreshing = false; }
}

async function list() {
  const wanted = $("search").value.trim();
  const rows = [];
  if (wanted) {
    const { messages } = await ask("GET", "search?q=" + encodeURIComponent(wanted) + "&tag=" + tag);
    for (const m of messages) rows.push(row({ id: m.thread, name: m.from, unread: 0, newest: m }));
  } else {
    const { threads } = await ask("GET", "threads?tag=" + tag + (unread ? "&unread=1" : ""));
    for (const t of threads) rows.push(row(t));
  }
  $("threads").replaceChildren(...rows);
  $("nothing").hidden = rows.length > 0;
  $("nothing").textContent = wanted ? "Nothing found." : tag || unread ? "Nothing with this filter." : "No messages yet. They appear here as soon as somebody writes to you.";
}

function row(t) {
  const button = element("button", { type: "button", className: t.unread ? "new" : "" },
    element("span", { className: "name" }, t.name || t.at || "Unnamed"), element("span", { className: "when" }, when(t.newest.at)),
    element("span", { className: "last" }, summary(t.newest)));
  if (t.unread) button.append(element("span", { className: "count", title: t.unread + " unread" }, String(t.unread)));
  else if (t.newest.by_sms) button.append(element("span", { className: "tag" }, "SMS"));
  button.setAttribute("aria-current", String(t.id === open));
  button.addEventListener("click", () => { location.hash = "t" + t.id; });
  return element("li", {}, button);
}

// goto shows what the address says, so that a phone's back goes back to the list.
function goto() {
  const found = /^#t(\d+)$/.exec(location.hash);
  const id = found ? Number(found[1]) : 0;
  if (id !== open) { all = []; last = 0; oldest = 0; attached = []; sending = null; showAttached(); $("log").replaceChildren(); $("write-fault").textContent = ""; }
  open = id;
  $("inbox").classList.toggle("reading", open > 0);
  $("talk").hidden = !open;
  if (me) refresh();
}
addEventListener("hashchange", goto);
$("back").addEventListener("click", () => { location.hash = ""; });

async function talk(older) {
  const id = open, by = tag;
  let got;
  try { got = await ask("GET", "threads/" + id + "?tag=" + by + (older ? "&before=" + oldest : "")); } catch (e) {
    if (e.status === 404) { location.hash = ""; return; }
    throw e;
  }
  if (id !== open || by !== tag) return;
  shown = by;
  const log = $("log"), down = log.scrollHeight - log.scrollTop - log.clientHeight < 80, height = log.scrollHeight;
  if (older) all = [...got.messages, ...all];
  else if (got.more && all.length && all[0].seq < (got.messages[0]?.seq ?? 0)) all = [...all.filter((m) => m.seq < got.messages[0].seq), ...got.messages];
  else { all = got.messages; }
  if (older || !last) more = got.more;
  oldest = all[0]?.seq ?? 0;
  $("who").textContent = got.thread.name || got.thread.at || "Unnamed";
  $("where").textContent = got.thread.name ? got.thread.at : "";
  show();
  const newest = all.at(-1)?.seq ?? 0;
  if (older) log.scrollTop = log.scrollHeight - height;
  else if (down || !last) log.scrollTop = log.scrollHeight;
  last = newest;
  await seen();
}
let more = false;

function show() {
  const rows = [];
  if (more) {
    const button = element("button", { type: "button", className: "plain" }, "Earlier messages");
    button.addEventListener("click", () => { button.disabled = true; talk(true).catch((e) => { if (!e.detail) throw e; }); });
    rows.push(button);
  }
  let before = "";
  for (const m of all) {
    if (day(m.at) !== before) rows.push(element("p", { className: "day" }, before = day(m.at)));
    rows.push(message(m));
  }
  if (!all.length) rows.push(element("p", { className: "empty" }, "Nothing with this filter."));
  // What plays goes on: only rows that have changed are exchanged.
  const log = $("log"), known = new Map([...log.children].map((e) => [e.id, e]));
  log.replaceChildren(...rows.map((e) => {
    const was = e.id && known.get(e.id);
    return was && was.textContent === e.textContent && was.childElementCount === e.childElementCount ? was : e;
  }));
}

// seen tells the senders that what is shown was read, once somebody can have.
async function seen() {
  if (!open || document.visibilityState !== "visible") return;
  const news = all.filter((m) => !m.mine && !m.read);
  if (!news.length) return;
  news.forEach((m) => { m.read = true; });
  await ask("POST", "threads/" + open + "/read", { seq: news.at(-1).seq, tag: shown });
}
document.addEventListener("visibilitychange", () => { seen().catch(() => {}); });

for (const b of document.querySelectorAll("[data-tag]")) {
  b.addEventListener("click", () => {
    tag = b.dataset.tag;
    for (const other of document.querySelectorAll("[data-tag]")) other.setAttribute("aria-pressed", String(other === b));
    all = []; last = 0;
    refresh();
  });
}
$("unread").addEventListener("click", () => {
  unread = !unread;
  $("unread").setAttribute("aria-pressed", String(unread));
  refresh();
});
let typing = 0;
$("search").addEventListener("input", () => { clearTimeout(typing); typing = setTimeout(refresh, 250); });

$("attach").addEventListener("click", () => $("file").click());
$("file").addEventListener("change", () => {
  const files = [...$("file").files];
  $("file").value = "";
  busy($("write"), $("write-fault"), async () => {
    for (const f of files) {
      if (f.size > me.largest_file) throw { detail: f.name + " is too large: " + size(me.largest_file) + " at most." };
      $("write-fault").textContent = "Uploading " + f.name + "…";
      const { file } = await ask("POST", "files?name=" + encodeURIComponent(f.name), f);
      attached.push(file);
      sending = null;
      showAttached();
    }
    $("write-fault").textContent = "";
  });
});

function showAttached() {
  $("attached").replaceChildren(...attached.map((f) => {
    const gone = element("button", { type: "button", className: "plain" }, "Remove");
    gone.addEventListener("click", () => { attached = attached.filter((o) => o !== f); sending = null; showAttached(); });
    return element("li", {}, element("span", {}, f.name + " · " + size(f.size)), gone);
  }));
}

$("text").addEventListener("input", () => { sending = null; });
$("text").addEventListener("keydown", (e) => {
  if (e.key === "Enter" && !e.shiftKey && !e.isComposing && matchMedia("(pointer: fine)").matches) { e.preventDefault(); $("write").requestSubmit(); }
});
$("write").addEventListener("submit", (e) => {
  e.preventDefault();
  const text = $("text").value.trim(), id = open;
  if (!text && !attached.length) return;
  busy($("write"), $("write-fault"), async () => {
    // Tried again, it is the same message.
    sending ??= Array.from(crypto.getRandomValues(new Uint8Array(12)), (b) => b.toString(16).padStart(2, "0")).join("");
    await ask("POST", "threads/" + id + "/messages", { text, files: attached.map((f) => f.id), client_id: sending });
    sending = null;
    attached = [];
    showAttached();
    $("text").value = "";
    last = 0;
    await refresh();
  });
});

$("open-settings").addEventListener("click", () => busy($("settings"), $("settings-fault"), async () => {
  $("settings").showModal();
  me = await ask("GET", "me");
  $("mine").textContent = me.number;
  $("new-name").value = me.name;
  $("sure").checked = false;
  $("sessions").replaceChildren(...me.sessions.map((s) => element("li", {}, (s.this ? "This browser" : browser(s.browser)) + ", since " + when(s.created_at))));
}).then(() => { $("close").disabled = true; }));

function browser(agent) {
  const what = /(Firefox|Edg|OPR|Chrome|Safari)/.exec(agent)?.[1] ?? "A browser";
  const where = /(Android|iPhone|iPad|Windows|Mac OS X|Linux)/.exec(agent)?.[1];
  return ({ Edg: "Edge", OPR: "Opera" }[what] ?? what) + (where ? " on " + where : "");
}

$("rename").addEventListener("submit", (e) => {
  e.preventDefault();
  busy($("settings"), $("settings-fault"), async () => { me.name = (await ask("POST", "name", { name: $("new-name").value })).name; }).then(() => { $("close").disabled = !$("sure").checked; });
});
const leave = (everywhere) => busy($("settings"), $("settings-fault"), async () => { await ask("POST", "leave", { everywhere }); signedOut(); });
$("leave").addEventListener("click", () => leave(false));
$("leave-all").addEventListener("click", () => leave(true));
$("sure").addEventListener("change", () => { $("close").disabled = !$("sure").checked; });
$("close").addEventListener("click", () => busy($("settings"), $("settings-fault"), async () => { await ask("POST", "close", { erase: true }); signedOut(); }));
$("done").addEventListener("click", () => $("settings").close());

start();
