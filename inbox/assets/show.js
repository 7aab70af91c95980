// How messages look. Whatever anybody wrote is put in as text: there is no markup made
// here, and the page's policy would refuse it.

export function element(name, props = {}, ...children) {
  const e = document.createElement(name);
  for (const [key, value] of Object.entries(props)) {
    if (key in e) e[key] = value;
    else e.setAttribute(key, value);
  }
  e.append(...children);
  return e;
}

export function size(n) {
  if (n < 1000) return n + " bytes";
  return n < 1e6 ? Math.round(n / 1000) + " KB" : (n / 1e6).toFixed(1) + " MB";
}

const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });
const days = new Intl.DateTimeFormat(undefined, { weekday: "short", day: "numeric", month: "short" });
const dates = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short", year: "numeric" });

export function day(at) {
  const date = new Date(at), now = new Date();
  if (date.toDateString() === now.toDateString()) return "Today";
  return now - date < 300 * 864e5 ? days.format(date) : dates.format(date);
}

export function when(at) {
  return day(at) === "Today" ? clock.format(new Date(at)) : day(at);
}

// summary is a message in one line of a list.
export function summary(m) {
  if (m.erased) return "Erased";
  const text = [m.subject, m.text].filter(Boolean).join(" · ").replace(/\s+/g, " ").slice(0, 200);
  const files = m.files.map((f) => f.name).join(", ");
  return (m.mine ? "You: " : "") + (text || files);
}

const link = /https?:\/\/[^\s<>"“”]+[^\s<>"“”.,;:!?)\]']/g;

// linked puts a text into an element, with what looks like a link as one.
function linked(into, text) {
  let from = 0;
  for (const found of text.matchAll(link)) {
    into.append(text.slice(from, found.index));
    into.append(element("a", { href: found[0], target: "_blank", rel: "noopener noreferrer nofollow" }, found[0]));
    from = found.index + found[0].length;
  }
  into.append(text.slice(from));
}

function file(f, kind) {
  const path = "/f/" + encodeURIComponent(f.id);
  switch (kind) {
    case "image":
      return element("a", { href: path, target: "_blank", rel: "noopener" }, element("img", { src: path + "?raw", alt: f.name, loading: "lazy" }));
    case "video":
      return element("video", { src: path + "?raw", controls: true, preload: "metadata", playsInline: true, "aria-label": f.name });
    case "audio":
      return element("audio", { src: path + "?raw", controls: true, preload: "metadata", "aria-label": f.name });
    case "waits":
      return element("p", { className: "attachment" }, f.name + ": not here yet");
  }
  return element("a", { className: "attachment", href: path + "?download", download: f.name }, f.name + " · " + size(f.size));
}

export function message(m) {
  const box = element("article", { className: m.mine ? "message mine" : "message", id: "m" + m.seq });
  if (m.subject) box.append(element("p", { className: "subject" }, m.subject));
  if (m.erased) box.append(element("p", { className: "erased" }, "Erased"));
  m.files.forEach((f, i) => box.append(file(f, m.kinds[i])));
  if (m.text) {
    const text = element("p", { className: "text", dir: "auto" });
    linked(text, m.text);
    box.append(text);
  }
  const foot = element("small");
  if (m.by_sms) foot.append(element("span", { className: "tag", title: "It also came to your phone as a text" }, "SMS"));
  foot.append(element("time", { dateTime: m.at }, clock.format(new Date(m.at))));
  box.append(foot);
  return box;
}
