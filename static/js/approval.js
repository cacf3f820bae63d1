/* Keys and selection of the approval page. Every key presses a button or a link that is there without it. */
(function () {
  "use strict";
  const items = () => [...document.querySelectorAll("[data-item]")];
  let current = null; // the number of the candidate
  let rejecting = false;

  const place = () => items().find((one) => one.dataset.item === current) || null;

  function show(item) {
    for (const one of items()) one.classList.toggle("is-current", one === item);
    rejecting = false;
    if (!item) return;
    current = item.dataset.item;
    item.focus({ preventScroll: true });
    item.scrollIntoView({ block: "nearest" });
  }

  function step(by) {
    const all = items();
    const at = all.indexOf(place());
    const to = at < 0 ? 0 : at + by;
    if (all[to]) return show(all[to]);
    const link = document.getElementById(by > 0 ? "next-page" : "previous-page");
    if (link) link.click();
  }

  function opened(item, key) {
    const sheet = item.querySelector('[data-opens-by="' + key + '"]');
    if (!sheet) return null;
    for (const other of item.querySelectorAll("details.opens[open]")) if (other !== sheet) other.open = false;
    sheet.open = true;
    return sheet;
  }

  function reason(item, digit) {
    const button = item.querySelector('[data-digit="' + digit + '"]');
    if (!button) return;
    const text = item.querySelector("[data-reason-text]");
    if (button.hasAttribute("data-needs-text") && !text.value.trim()) return text.focus();
    button.click();
  }

  const acts = {
    j: () => step(1),
    k: () => step(-1),
    a: (item) => item && item.querySelector('[data-key="a"]')?.click(),
    d: (item) => item && item.querySelector('[data-key="d"]')?.click(),
    x: function (item) {
      if (item && opened(item, "x")) rejecting = true;
    },
    e: function (item) {
      const sheet = item && opened(item, "e");
      if (sheet) sheet.querySelector("textarea").focus();
    },
    z: () => document.getElementById("undo-form")?.requestSubmit(),
    "/": () => document.getElementById("approval-search")?.focus(),
    "?": () => document.getElementById("help-dialog").showModal(),
  };

  const typing = (target) => target.closest("input:not([type=checkbox], [type=radio]), textarea, select, [contenteditable]");

  document.addEventListener("keydown", function (event) {
    const item = place();
    if (event.key === "Escape" && item && !document.querySelector("dialog[open]")) {
      for (const sheet of item.querySelectorAll("details.opens[open]")) sheet.open = false;
      return show(item);
    }
    if (event.key === "Enter" && event.target.matches("[data-reason-text]")) {
      event.preventDefault(); // else the browser would press the first reason
      if (event.target.value.trim()) event.target.form.querySelector("[data-needs-text]").click();
      return;
    }
    if (event.ctrlKey || event.metaKey || event.altKey || typing(event.target) || document.querySelector("dialog[open]")) return;
    if (rejecting && /^[1-7]$/.test(event.key)) {
      event.preventDefault();
      return reason(item, event.key);
    }
    const act = acts[event.key.toLowerCase()];
    if (!act || event.repeat) return;
    event.preventDefault();
    act(item);
  });

  /* A decided item stays where it is; the next open one is next. An edited or refused one is looked at again. */
  document.addEventListener("htmx:afterSwap", function (event) {
    const id = event.detail.target.id || "";
    if (!id.startsWith("item-")) return;
    current = id.slice(5);
    const item = place();
    const said = item && item.querySelector("[role=alert]");
    if (!item || said || item.dataset.status === "waiting") return show(item);
    document.getElementById("announcer").textContent = "Instruction " + item.dataset.status;
    const all = items();
    show(all.slice(all.indexOf(item) + 1).find((one) => one.dataset.status === "waiting") || item);
  });

  /* Settling gives an item the classes that the server sent, and so takes the mark away. */
  document.addEventListener("htmx:afterSettle", function () {
    for (const one of items()) one.classList.toggle("is-current", one.dataset.item === current);
  });

  document.addEventListener("focusin", function (event) {
    const item = event.target.closest("[data-item]");
    if (!item || item.dataset.item === current) return;
    current = item.dataset.item;
    for (const one of items()) one.classList.toggle("is-current", one === item);
    rejecting = false;
  });

  /* Selection with shift for a range. */
  const boxes = () => [...document.querySelectorAll("[data-select]")];
  let last = null;
  function count() {
    const label = document.querySelector("[data-selected]");
    const n = boxes().filter((one) => one.checked).length;
    if (label) label.textContent = n ? n + " selected" : "Select";
  }
  document.addEventListener("click", function (event) {
    if (event.target.matches("[data-select-all]")) {
      for (const one of boxes()) one.checked = event.target.checked;
    } else if (event.target.matches("[data-select]")) {
      const all = boxes();
      if (event.shiftKey && all.includes(last)) {
        const [from, to] = [all.indexOf(last), all.indexOf(event.target)].sort((a, b) => a - b);
        for (const one of all.slice(from, to + 1)) one.checked = event.target.checked;
      }
      last = event.target;
    } else return;
    count();
  });

  const wanted = /^#item-(\d+)$/.exec(location.hash);
  if (wanted) current = wanted[1];
  show(place() || items().find((one) => one.dataset.status === "waiting") || items()[0] || null);
})();
