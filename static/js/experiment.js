/* The live parts of an experiment's page: unchanged answers are not drawn, changes are said aloud, the log follows. */
(function () {
  "use strict";
  const seen = new Map();
  let status = document.getElementById("live")?.dataset.status;

  document.addEventListener("htmx:beforeSwap", function (event) {
    const id = event.detail.target.id;
    if (!id || event.detail.xhr.status !== 200) return;
    if (seen.get(id) === event.detail.serverResponse) event.detail.shouldSwap = false;
    seen.set(id, event.detail.serverResponse);
    if (id === "log-tail") rememberEnd();
  });

  document.addEventListener("htmx:afterSwap", function (event) {
    if (event.detail.target.id === "log-tail") followLog();
    const live = document.getElementById("live");
    if (event.detail.target.id !== "live" || !live) return;
    if (live.dataset.status !== status) {
      status = live.dataset.status;
      document.getElementById("announcer").textContent = "The experiment is now: " + status;
    }
  });

  let atEnd = true;
  const log = document.getElementById("log-lines");
  function rememberEnd() {
    atEnd = log && log.scrollHeight - log.scrollTop - log.clientHeight < 40;
  }
  function followLog() {
    if (log && atEnd) log.scrollTop = log.scrollHeight;
  }
  followLog();
})();
