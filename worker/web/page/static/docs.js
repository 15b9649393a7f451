// Tries an operation of the API from its description: asks this host, with the token that was typed, and shows the answer.
"use strict";

const token = document.getElementById("token");

function addressOf(form) {
  let path = form.dataset.path;
  const query = new URLSearchParams();
  for (const input of form.querySelectorAll("input[name]")) {
    if (input.dataset.in === "path") path = path.replace(`{${input.name}}`, encodeURIComponent(input.value));
    if (input.dataset.in === "query" && input.value) query.append(input.name, input.value);
  }
  return query.size ? `${path}?${query}` : path;
}

function shown(text) {
  try { return JSON.stringify(JSON.parse(text), null, 2); } catch { return text; }
}

async function tried(form) {
  const headers = {};
  if (token.value) headers.Authorization = `Bearer ${token.value.trim()}`;
  for (const input of form.querySelectorAll("input[data-in=header]")) if (input.value) headers[input.name] = input.value;
  const body = form.elements.body?.value;
  if (body !== undefined) headers["Content-Type"] = "application/json";
  const answer = await fetch(addressOf(form), { method: form.dataset.method, headers, body, credentials: "omit" });
  return `${answer.status} ${answer.statusText}\n${shown(await answer.text())}`;
}

for (const form of document.querySelectorAll("form.try")) {
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const place = form.querySelector(".answer-of");
    place.hidden = false;
    place.textContent = "…";
    try { place.textContent = await tried(form); } catch { place.textContent = "There was no answer."; }
  });
}
