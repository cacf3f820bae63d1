/* The upload form: refuses a file that is too large before it is sent, and shows how much of it has gone. */
(function () {
  "use strict";
  const form = document.getElementById("upload");
  if (!form) return;
  const file = form.querySelector("input[type=file]");
  const name = form.querySelector("input[name=name]");
  const bar = document.getElementById("upload-progress");
  const state = document.getElementById("upload-state");
  const most = Number(form.dataset.maxBytes);

  function megabytes(bytes) {
    return (bytes / 1e6).toLocaleString("en", { maximumFractionDigits: 1 }) + " MB";
  }

  file.addEventListener("change", function () {
    const chosen = file.files[0];
    const tooLarge = Boolean(chosen) && chosen.size > most;
    file.setCustomValidity(tooLarge ? "The file is larger than " + megabytes(most) + "." : "");
    state.textContent = tooLarge
      ? "This file has " + megabytes(chosen.size) + "; at most " + megabytes(most) + " are accepted. Split it into several pools."
      : "";
    state.classList.toggle("worse", tooLarge);
    if (chosen && !name.value) name.value = chosen.name.replace(/\.[^.]+$/, "").slice(0, 100);
  });

  form.addEventListener("htmx:confirm", function (event) {
    if (!file.checkValidity()) event.preventDefault();
  });
  form.addEventListener("htmx:beforeRequest", function () {
    bar.hidden = false;
    bar.value = 0;
    state.classList.remove("worse");
    state.textContent = "Sending…";
  });
  form.addEventListener("htmx:xhr:progress", function (event) {
    if (!event.detail.lengthComputable) return;
    bar.value = event.detail.loaded / event.detail.total;
    if (event.detail.loaded === event.detail.total) state.textContent = "Sent. Reading the lines…";
  });
  form.addEventListener("htmx:afterRequest", function (event) {
    bar.hidden = true;
    state.textContent = event.detail.successful
      ? ""
      : "The upload was not taken. The file may be too large, or the server is away: nothing was imported, try again.";
    state.classList.toggle("worse", !event.detail.successful);
  });
})();
