/* Selecting items of the review list: ranges with Shift, all that are shown. */
(function () {
  "use strict";
  const chosen = new Set();
  let last = "";

  function picks() {
    return Array.from(document.querySelectorAll(".review-pick"));
  }

  function note(one, checked) {
    one.checked = checked;
    if (checked) chosen.add(one.value);
    else chosen.delete(one.value);
  }

  function count() {
    const place = document.getElementById("review-many-count");
    const shown = picks().filter(function (one) { return one.checked; }).length;
    if (place) place.textContent = shown ? shown + " selected" : "";
    const all = document.getElementById("review-pick-page");
    if (all) all.checked = shown > 0 && shown === picks().length;
  }

  document.addEventListener("click", function (event) {
    if (!event.target.matches(".review-pick")) return;
    const rows = picks();
    const from = rows.findIndex(function (one) { return one.value === last; });
    const to = rows.indexOf(event.target);
    const range = event.shiftKey && from >= 0 ? rows.slice(Math.min(from, to), Math.max(from, to) + 1) : [event.target];
    for (const one of range) note(one, event.target.checked);
    last = event.target.value;
    count();
  });

  document.addEventListener("change", function (event) {
    if (event.target.id !== "review-pick-page") return;
    for (const one of picks()) note(one, event.target.checked);
    count();
  });

  /* Stepping to another item draws the list anew. */
  document.addEventListener("htmx:afterSwap", function () {
    for (const one of picks()) one.checked = chosen.has(one.value);
    count();
  });
})();
