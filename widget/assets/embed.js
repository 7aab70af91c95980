// The chat of a gatewayd, for a page of another site. The page has one line:
//   <script src="https://BOX/widget/v1/embed.js" data-widget="wgt_…" data-key="…" async></script>
// This is version 1. What such a line may say, and what it makes, stays as it is; see
// docs/widget.md. The script reads nothing of the page; all it adds is one element.
(function () {
  "use strict";
  var script = document.currentScript;
  if (!script) return;
  var base = new URL(".", script.src), home = base.origin;
  var widget = script.getAttribute("data-widget") || "", key = script.getAttribute("data-key") || "";
  var asked = "?widget=" + encodeURIComponent(widget) + "&key=" + encodeURIComponent(key);
  var host, root, button, frame, badge, look, open = false, loaded = false;

  function ticket() {
    return fetch(new URL("ticket" + asked, base), { credentials: "omit", mode: "cors", cache: "no-store" }).then(function (r) {
      if (!r.ok) throw new Error("the gateway refused this page (" + r.status + "): is " + location.origin + " among the widget's origins, and its key right?");
      return r.json();
    });
  }

  // Every style is set by script: a page's own policy for styles does not forbid that.
  function dress(element, style) {
    for (var name in style) element.style.setProperty(name, style[name], "important");
    return element;
  }

  function tell(message) {
    if (!loaded || !frame.contentWindow) return;
    message.gatewayd = "widget";
    message.v = 1;
    frame.contentWindow.postMessage(message, home);
  }

  function show(want) {
    open = want;
    dress(frame, { display: open ? "block" : "none" });
    button.setAttribute("aria-expanded", String(open));
    button.setAttribute("aria-label", (open ? look.close : look.open) + ": " + look.title);
    dress(button, { display: open && innerWidth < 480 ? "none" : "flex" });
    if (open) {
      unread(0);
      tell({ type: "shown" });
      frame.focus();
    } else {
      tell({ type: "hidden" });
      button.focus();
    }
  }

  function unread(n) {
    badge.textContent = n ? String(n) : "";
    dress(badge, { display: n ? "block" : "none" });
  }

  function size() {
    var small = innerWidth < 480;
    dress(frame, small
      ? { inset: "0", width: "100%", height: "100%", "border-radius": "0" }
      : { inset: "auto", bottom: "88px", width: "380px", height: "min(640px, calc(100vh - 108px))", "border-radius": look.corners });
    if (!small) dress(frame, look.side === "left" ? { left: "20px" } : { right: "20px" });
    if (button) dress(button, { display: open && small ? "none" : "flex" });
  }

  function press() {
    if (frame) return show(!open);
    button.disabled = true;
    ticket().then(function (t) {
      button.disabled = false;
      if (!t.enabled) return void host.remove();
      frame = document.createElement("iframe");
      frame.setAttribute("sandbox", "allow-scripts allow-forms allow-popups allow-popups-to-escape-sandbox allow-same-origin");
      frame.setAttribute("referrerpolicy", "strict-origin");
      frame.setAttribute("title", look.title);
      frame.src = new URL("frame" + asked, base).href + "#" + t.ticket;
      dress(frame, { position: "fixed", border: "0", "z-index": "2147483647", background: "#fff", "box-shadow": "0 8px 40px rgba(0,0,0,.28)", "color-scheme": "normal" });
      root.insertBefore(frame, button);
      size();
      frame.addEventListener("load", function () {
        loaded = true;
        tell({ type: open ? "shown" : "hidden" });
        if (open) frame.focus();
      });
      show(true);
    }, function (e) {
      button.disabled = false;
      console.warn("gatewayd widget: " + e.message);
    });
  }

  addEventListener("message", function (e) {
    if (!frame || e.origin !== home || e.source !== frame.contentWindow) return;
    var m = e.data;
    if (!m || m.gatewayd !== "widget" || m.v !== 1) return;
    if (m.type === "close") show(false);
    if (m.type === "unread" && !open && m.n >= 0) unread(Math.min(99, Math.floor(m.n)));
    if (m.type === "ticket") ticket().then(function (t) { if (t.enabled) tell({ type: "ticket", ticket: t.ticket }); }, function () {});
  });

  function begin() {
    ticket().then(function (t) {
      if (!t.enabled) return;
      look = t;
      host = document.createElement("div");
      host.setAttribute("data-gatewayd-widget", widget);
      root = host.attachShadow({ mode: "open" });
      button = document.createElement("button");
      button.type = "button";
      button.setAttribute("aria-expanded", "false");
      button.setAttribute("aria-label", look.open + ": " + look.title);
      var title = document.createElement("span");
      title.textContent = look.title;
      badge = document.createElement("span");
      button.append(title, badge);
      dress(button, {
        position: "fixed", bottom: "20px", "z-index": "2147483646", display: "flex", gap: "8px", "align-items": "center", "max-width": "calc(100vw - 40px)",
        "min-height": "48px", padding: "12px 20px", border: "0", "border-radius": "999px", cursor: "pointer", font: "600 16px/1.3 " + look.font,
        background: look.accent, color: look.on_accent, "box-shadow": "0 3px 14px rgba(0,0,0,.3)",
      });
      dress(button, look.side === "left" ? { left: "20px" } : { right: "20px" });
      dress(badge, { display: "none", "min-width": "20px", padding: "0 5px", "border-radius": "10px", background: look.on_accent, color: look.accent, "font-size": "13px", "text-align": "center" });
      button.addEventListener("click", press);
      addEventListener("resize", function () { if (frame) size(); });
      root.append(button);
      document.body.append(host);
    }).catch(function (e) { console.warn("gatewayd widget: " + e.message); });
  }

  if (document.body) begin();
  else addEventListener("DOMContentLoaded", begin);
})();
