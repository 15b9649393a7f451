// Keeps what is live up to date: parts with hx-trigger="refresh from:body" are asked for anew, while they are seen.
"use strict";

(() => {
  const everyMilliseconds = 10000;
  let refreshedAt = Date.now();

  const refresh = () => {
    // Whoever is copying an id must not lose the selection.
    // And what was unfolded stays so.
    if (document.hidden || String(document.getSelection()) || document.querySelector(".live details[open]")) return;
    refreshedAt = Date.now();
    htmx.trigger(document.body, "refresh");
  };

  setInterval(refresh, everyMilliseconds);
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden && Date.now() - refreshedAt > everyMilliseconds) refresh();
  });

  // A filter is applied at once; without a script its button does that.
  document.addEventListener("change", (event) => {
    const form = event.target.closest("form.filters");
    if (form && event.target.matches("select, input")) form.requestSubmit();
  });

  // "/" goes to the search box, as in most tools of this kind.
  document.addEventListener("keydown", (event) => {
    const field = event.target.closest("input, textarea, select, [contenteditable]");
    if (event.key !== "/" || field || event.ctrlKey || event.metaKey || event.altKey) return;
    const search = document.getElementById("search");
    if (search) {
      event.preventDefault();
      search.focus();
      search.select();
    }
  });
})();
