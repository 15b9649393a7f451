// The suggestions below the search box, by keyboard: down and up go through them, Escape closes them.
"use strict";

(() => {
  const input = document.getElementById("search");
  const list = document.getElementById("suggestions");
  if (!input || !list) return;

  const close = () => list.replaceChildren();

  input.form.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && list.childElementCount) {
      event.preventDefault();
      close();
      input.focus();
      return;
    }
    if (event.key !== "ArrowDown" && event.key !== "ArrowUp") return;
    const stops = [input, ...list.querySelectorAll("a")];
    const step = event.key === "ArrowDown" ? 1 : -1;
    const next = stops[(stops.indexOf(document.activeElement) + step + stops.length) % stops.length];
    event.preventDefault();
    next.focus();
  });

  // What is left by a click or the tabulator is closed; an answer that comes after that is not shown.
  input.form.addEventListener("focusout", (event) => {
    if (!input.form.contains(event.relatedTarget)) close();
  });
  list.addEventListener("htmx:beforeSwap", (event) => {
    if (!input.form.contains(document.activeElement)) event.detail.shouldSwap = false;
  });
})();
