/* Selection in the pool browser: ranges with Shift, the whole page, all that match; and the copied link. */
(function () {
  "use strict";
  let last = null;

  function picks() {
    return Array.from(document.querySelectorAll(".browser .pick"));
  }

  function count() {
    const bar = document.getElementById("bulk");
    if (!bar) return;
    const all = document.getElementById("bulk-all");
    const chosen = picks().filter(function (one) { return one.checked; }).length;
    document.getElementById("bulk-count").textContent = all.checked ? "Selected:" : chosen + " selected, or";
    const head = document.getElementById("pick-all");
    head.checked = chosen > 0 && chosen === picks().length;
    head.indeterminate = chosen > 0 && !head.checked;
    if (!chosen) all.checked = false;
  }

  function range(from, to, checked) {
    const rows = picks();
    const ends = [rows.indexOf(from), rows.indexOf(to)].sort(function (a, b) { return a - b; });
    if (ends[0] < 0) return;
    for (const one of rows.slice(ends[0], ends[1] + 1)) one.checked = checked;
  }

  document.addEventListener("click", function (event) {
    const cell = event.target.closest("td.col-pick");
    if (cell && !event.target.matches(".pick")) {
      cell.querySelector(".pick").dispatchEvent(new MouseEvent("click", { shiftKey: event.shiftKey, bubbles: true, cancelable: true }));
      return;
    }
    if (event.target.matches(".pick")) {
      if (event.shiftKey && last && last.isConnected) range(last, event.target, event.target.checked);
      last = event.target;
      count();
    }
    const copier = event.target.closest("[data-copy]");
    if (copier) copy(copier);
  });

  document.addEventListener("change", function (event) {
    if (event.target.id === "pick-all") {
      for (const one of picks()) one.checked = event.target.checked;
    }
    if (event.target.matches("#pick-all, #bulk-all, .pick")) count();
  });

  function copy(button) {
    const link = new URL(button.dataset.copy, location.href).href;
    navigator.clipboard.writeText(link).then(function () {
      document.getElementById("announcer").textContent = "The link is copied.";
      button.querySelector("span").textContent = "Copied";
    });
  }

  function prepare() {
    for (const button of document.querySelectorAll("[data-copy]")) button.hidden = !navigator.clipboard;
    count();
  }

  /* Once a change is taken, what was selected is no more. */
  document.addEventListener("htmx:afterRequest", function (event) {
    const isTaken = event.detail.successful && !document.querySelector("#bulk-jobs [role=alert]");
    if (event.target.id !== "bulk" || !isTaken) return;
    for (const one of picks()) one.checked = false;
    count();
  });
  document.addEventListener("htmx:afterSwap", prepare);
  prepare();
})();
