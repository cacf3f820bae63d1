/* What every page shares: menus, messages, confirmations, forms that send themselves. No page needs it to work. */
(function () {
  "use strict";

  /* A form that came back with errors begins with their summary. */
  const first = document.querySelector("[data-focus]");
  if (first) first.focus();

  function closeMenus(except) {
    for (const menu of document.querySelectorAll("details.menu[open]")) {
      if (menu !== except) menu.open = false;
    }
  }

  document.addEventListener("click", function (event) {
    closeMenus(event.target.closest("details.menu"));
    const dismiss = event.target.closest("[data-dismiss]");
    if (dismiss) dismiss.closest(".message").remove();
    const opener = event.target.closest("[data-opens]");
    if (opener) {
      const dialog = document.getElementById(opener.dataset.opens);
      if (dialog) {
        event.preventDefault();
        dialog.showModal();
      }
    }
    const closer = event.target.closest("[data-closes]");
    if (closer) {
      event.preventDefault();
      closer.closest("dialog").close();
    }
  });

  document.addEventListener("keydown", function (event) {
    if (event.key !== "Escape") return;
    const open = document.querySelector("details.menu[open]");
    if (!open) return;
    open.open = false;
    open.querySelector("summary").focus();
  });

  /* A select marked so sends its form at once; without JavaScript its form has a button. */
  document.addEventListener("change", function (event) {
    if (event.target.matches("[data-sends]")) event.target.form.requestSubmit();
  });

  /* A second click must not send a form twice; the browser keeps the page until the answer is there. */
  document.addEventListener("submit", function (event) {
    const form = event.target;
    if (form.method !== "post" || event.defaultPrevented) return;
    if (form.dataset.sent) {
      event.preventDefault();
      return;
    }
    form.dataset.sent = "1";
    form.setAttribute("aria-busy", "true");
  });
  window.addEventListener("pageshow", function () {
    for (const form of document.querySelectorAll("form[data-sent]")) {
      delete form.dataset.sent;
      form.removeAttribute("aria-busy");
    }
  });
})();
