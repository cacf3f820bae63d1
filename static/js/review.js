/* The review queue by keyboard. Each key presses what carries it as data-key; without this file everything works by mouse. */
(function () {
  "use strict";
  const DRAFT = "review-draft-";
  const KEEP_EVERY_MS = 60000;
  let opened = Date.now();
  let alive = Date.now();
  let busy = false;
  let item = "";

  function work() {
    return document.getElementById("review-work");
  }

  function say(text) {
    const note = document.getElementById("review-note");
    note.hidden = !text;
    note.firstElementChild.textContent = text;
  }

  /* ---- Keys ---- */
  function isTyping(target) {
    return target.isContentEditable || target.matches("input, textarea, select");
  }

  function press(target) {
    if (target.matches("textarea, input")) {
      target.focus();
      if (target.select && target.type === "search") target.select();
    } else if (target.matches("summary")) {
      toggle(target.parentElement);
    } else if (!target.disabled && target.getAttribute("aria-disabled") !== "true") {
      target.click();
    }
  }

  function toggle(details) {
    details.open = !details.open;
    const field = details.querySelector("textarea");
    if (field && details.open) field.focus();
  }

  document.addEventListener("keydown", function (event) {
    alive = Date.now();
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing || event.defaultPrevented) return;
    if (document.querySelector("dialog[open]")) return;
    if (isTyping(event.target)) {
      if (event.key === "Escape") event.target.blur();
      return;
    }
    const key = event.key.toLowerCase();
    if (key === "enter" && event.target.closest("a, button, summary")) return;
    if (event.repeat && key !== "j" && key !== "k") return;
    const target = key === "?" || key === "/" || /^[a-z0-9]$|^enter$/.test(key) ? work().querySelector('[data-key="' + key + '"]') : null;
    if (!target) return;
    event.preventDefault();
    if (!busy) press(target);
  });

  /* ---- What the form sends beside what was typed ---- */
  function fill(form) {
    form.querySelector("[name=seconds]").value = ((Date.now() - opened) / 1000).toFixed(1);
    form.querySelector("[name=query]").value = here();
  }

  /* The address without the item: looks and filters as they are now. */
  function here() {
    const query = new URLSearchParams(location.search);
    query.delete("item");
    return query.toString();
  }

  document.addEventListener("submit", function (event) {
    if (event.target.id === "review-form") fill(event.target);
  }, true);
  document.addEventListener("htmx:configRequest", function (event) {
    const form = event.target.closest("form");
    if (!form || !form.querySelector("[name=query]")) return;
    event.detail.parameters.set("query", here());
  });

  /* ---- Drafts: what is typed outlives a reload ---- */
  function fields() {
    return work().querySelectorAll("#review-comment, #review-corrected");
  }

  function draftName(field) {
    return DRAFT + work().dataset.item + "-" + field.name;
  }

  document.addEventListener("input", function (event) {
    if (event.target.matches("#review-comment, #review-corrected")) {
      sessionStorage.setItem(draftName(event.target), event.target.value);
    }
  });

  function restoreDrafts() {
    for (const field of fields()) {
      const kept = sessionStorage.getItem(draftName(field));
      if (kept !== null) field.value = kept;
      if (kept !== null && field.id === "review-corrected") field.closest("details").open = true;
    }
  }

  function dropDrafts() {
    for (const name of ["comment", "corrected"]) sessionStorage.removeItem(DRAFT + item + "-" + name);
  }

  /* ---- From item to item ---- */
  function isMine(event) {
    return event.detail.target && event.detail.target.id === "review-work";
  }

  document.addEventListener("htmx:beforeRequest", function (event) {
    if (!isMine(event)) return;
    busy = true;
    say("");
  });
  document.addEventListener("htmx:afterRequest", function (event) {
    if (isMine(event)) busy = false;
  });
  document.addEventListener("htmx:beforeSwap", function (event) {
    if (!isMine(event)) return;
    if (event.detail.xhr.responseURL.indexOf("/sign-in/") >= 0) {
      event.detail.shouldSwap = false;
      say("You are signed out. Sign in in another tab, then try again: what you typed is kept.");
      return;
    }
    if (event.detail.xhr.status >= 400) {
      say(event.detail.xhr.status === 404
        ? "This item is no longer there: it was deleted meanwhile. Press J or reload the page to go on."
        : "This did not work (" + event.detail.xhr.status + "). Nothing was saved; reload the page to see what changed.");
      return;
    }
  });
  document.addEventListener("review-saved", function () {
    dropDrafts();
  });
  document.addEventListener("htmx:sendError", function (event) {
    if (isMine(event)) say("Not saved: the server did not answer. What you typed is kept; try again.");
  });
  document.addEventListener("htmx:afterSwap", function (event) {
    if (event.detail.target.id !== "review-work") return;
    const isSame = work().dataset.item === item;
    arrive();
    if (isSame) return;
    const title = document.getElementById("review-title");
    title.focus({ preventScroll: true });
    window.scrollTo(0, 0);
    const state = work().querySelector(".review-state .pill");
    document.getElementById("announcer").textContent = title.textContent + (state ? ", " + state.textContent : "");
  });

  function arrive() {
    if (work().dataset.item !== item) opened = Date.now();
    item = work().dataset.item;
    if (item) {
      restoreDrafts();
      const url = work().dataset.url;
      if (url !== location.pathname + location.search) history.replaceState(history.state, "", url);
    }
    const rationale = work().querySelector(".review-rationale");
    if (rationale) {
      rationale.open = sessionStorage.getItem("review-rationale") === "1";
      rationale.addEventListener("toggle", function () {
        sessionStorage.setItem("review-rationale", rationale.open ? "1" : "0");
      });
    }
    const current = work().querySelector(".review-list [aria-current]");
    if (current) current.parentElement.parentElement.scrollTop = current.offsetTop - current.parentElement.parentElement.offsetTop - 60;
  }

  /* ---- A long answer as a whole, as plain text ---- */
  document.addEventListener("click", async function (event) {
    alive = Date.now();
    const link = event.target.closest("[data-show-all]");
    if (!link) return;
    event.preventDefault();
    const answer = await fetch(link.href);
    if (!answer.ok) return say("The rest could not be fetched. Try again.");
    const text = await answer.text();
    const box = link.closest(".response").querySelector("[data-whole]");
    box.className = "model-text raw-text";
    box.textContent = text;
    link.closest("p").remove();
  });

  /* ---- Signs of life, as long as somebody is there ---- */
  setInterval(async function () {
    const url = work().dataset.keep;
    if (!url || Date.now() - alive > 5 * KEEP_EVERY_MS) return;
    const token = JSON.parse(document.body.getAttribute("hx-headers"))["X-CSRFToken"];
    try {
      const answer = await fetch(url, { method: "POST", headers: { "X-CSRFToken": token } });
      if (answer.status === 409) say(await answer.text());
    } catch {
      /* The next sign of life may come through. */
    }
  }, KEEP_EVERY_MS);

  arrive();
})();
