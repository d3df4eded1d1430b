// Who reads what: signs in, follows the address, and keeps what is shown up to date.

import { detail } from "./detail.js";
import { element, tick } from "./elements.js";
import { list } from "./list.js";

const main = document.getElementById("main");
const viewer = document.getElementById("viewer");
const connection = document.getElementById("connection");
const signOut = document.getElementById("sign-out");

let stream = null;
let retry = null;

/** Opens what the address says. */
function open() {
  close();
  const parts = location.hash.replace(/^#\/?/, "").split("/").filter(Boolean);
  const one = parts.length === 2;
  const path = one ? `api/apps/${parts[0]}/${parts[1]}` : "api/apps";
  follow(path, one ? detail : list);
}

/** Shows each document that comes, until another is opened. */
function follow(path, draw) {
  stream = new EventSource(path);
  stream.onmessage = (message) => {
    const shown = JSON.parse(message.data);
    viewer.textContent = shown.viewer;
    signOut.hidden = false;
    connected("live", "live");
    render(draw(shown));
  };
  stream.addEventListener("refused", () => explain(path));
  stream.onerror = () => {
    connected("lost", `not connected, as of ${new Date().toLocaleTimeString()}`);
    // The browser tries again by itself, but for an answer that is no stream.
    if (stream?.readyState === EventSource.CLOSED) explain(path);
  };
}

/** Asks once more, in order to say why there is no stream. */
async function explain(path) {
  close();
  try {
    const answer = await fetch(path);
    if (answer.status === 401) return signIn((await answer.json()).message);
    if (answer.ok || answer.status === 429 || answer.status >= 500) return again();
    const { message } = await answer.json();
    connected("", "");
    const back = element("p", {}, element("a", { href: "#/" }, "All apps"));
    render({ title: "MultiRegionApps", content: [element("p", { class: "notice" }, message), back] });
  } catch {
    again();
  }
}

/** Tries again in a moment; what is shown stays. */
function again() {
  retry = setTimeout(open, 2000);
}

function close() {
  clearTimeout(retry);
  stream?.close();
  stream = null;
}

function connected(state, text) {
  if (connection.textContent !== text) connection.textContent = text;
  connection.className = state;
  main.classList.toggle("old", state === "lost");
}

/** Puts new content in place of the old, and the focus back to where it was. */
function render({ title, content }) {
  const focus = document.activeElement?.id;
  const caret = document.activeElement?.selectionStart;
  document.title = title;
  main.replaceChildren(...content.filter(Boolean));
  const again = focus && focus !== "main" ? document.getElementById(focus) : null;
  if (again && again !== document.activeElement) {
    again.focus({ preventScroll: true });
    if (typeof caret === "number") again.setSelectionRange?.(caret, caret);
  }
}

function signIn(message) {
  connected("", "");
  viewer.textContent = "";
  signOut.hidden = true;
  const token = element("input", {
    id: "token", type: "password", autocomplete: "off", required: true, spellcheck: "false", "aria-describedby": "hint",
  });
  const problem = element("p", { id: "problem", class: "notice", role: "alert", hidden: true });
  const form = element(
    "form",
    { class: "sign-in", method: "post" },
    element("h1", {}, "Sign in"),
    element("label", { for: "token" }, "Bearer token of the cluster"),
    token,
    element("p", { id: "hint", class: "quiet" }, message),
    element("button", { type: "submit", id: "sign-in" }, "Sign in"),
    problem,
  );
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    problem.hidden = true;
    const refused = await submit(token.value);
    token.value = "";
    if (refused === null) return open();
    problem.textContent = refused;
    problem.hidden = false;
    token.focus();
  });
  render({ title: "Sign in: MultiRegionApps", content: [form] });
  token.focus();
}

/** Null, or why the token was refused. */
async function submit(token) {
  const headers = { "content-type": "application/json" };
  try {
    const answer = await fetch("session", { method: "POST", headers, body: JSON.stringify({ token }) });
    return answer.ok ? null : (await answer.json()).message;
  } catch {
    return "the server does not answer: try again in a moment";
  }
}

signOut.addEventListener("click", async () => {
  close();
  await fetch("session", { method: "DELETE" }).catch(() => {});
  open();
});
addEventListener("hashchange", () => {
  open();
  main.focus();
});
setInterval(tick, 1000);
open();
