// The small behavior of the pages: staying current, toasts, times, colors, sending, boards; keys are in keys.js.
// Everything it does can be done without it by links and forms.

const $ = (selector, root = document) => root.querySelector(selector);
const $$ = (selector, root = document) => [...root.querySelectorAll(selector)];
const csrf = () => $("input[name=csrfmiddlewaretoken]")?.value ?? "";

// -- Staying current: events of the stream, or the clock where there is none, make the page fetch itself anew ------

const POLL = 2500;
const SLOWEST = 30000;
const GATHER = 250;
let wait = POLL;
let timer = 0;
let pending = 0;
let isStreaming = false;
let isDragging = false;

function state(name, words) {
  const live = $("#live");
  if (!live || live.dataset.state === name) return;
  live.dataset.state = name;
  live.textContent = words;
}

function refresh() {
  clearTimeout(pending);
  pending = 0;
  if (document.hidden || isDragging) return;
  const app = $("#app");
  if (app) htmx.trigger(app, "loom:changed");
}

function soon() {
  if (!pending) pending = setTimeout(refresh, GATHER);
}

function tick() {
  clearTimeout(timer);
  if (!isStreaming || $("[data-polls]")) refresh();
  timer = setTimeout(tick, Number($("[data-polls]")?.dataset.polls) || wait);
}

function connect() {
  document.addEventListener("htmx:sse:after:connection", (event) => {
    isStreaming = event.detail.connection.status === 200;
    if (isStreaming) {
      state("live", "Live");
      soon();
    }
  });
  document.addEventListener("htmx:sse:before:message", soon);
  for (const name of ["htmx:sse:error", "htmx:sse:close"])
    document.addEventListener(name, () => {
      isStreaming = false;
    });
  setInterval(() => !isStreaming && $("#stream") && htmx.trigger($("#stream"), "loom:connect"), SLOWEST);
}

document.addEventListener("htmx:config:request", (event) => {
  const { ctx } = event.detail;
  if (ctx.sourceElement.id === "stream") return;
  ctx.request.headers["X-Loom-Part"] = "app";
  if (ctx.sourceElement.id === "app") ctx.request.headers["X-Loom-Seen"] = isHeld ? "" : $("#app").dataset.seen; // a new token is wanted
});

document.addEventListener("htmx:after:request", (event) => {
  const { ctx } = event.detail;
  if (ctx.sourceElement.id !== "app") return;
  wait = POLL;
  const isOurs = ctx.response.status === 204 || ctx.text.includes('id="app"');
  if (isOurs || ctx.response.status < 500) state("live", "Live");
  if (isOurs) return (isHeld = false);
  event.preventDefault();
  if (ctx.response.status < 400) go(ctx.response.raw.url);
  else if (ctx.response.status < 500) refused();
});

// Where a page leads by itself, such as to the login; but not away from what somebody is writing there.

const isLogin = (address) => new URL(address).pathname === "/login/";
let isHeld = false; // the page stays for what is written on it, and has said so

function go(address) {
  const way = new URL(address);
  if (isLogin(address)) way.searchParams.set("next", location.pathname + location.search); // not to what was sent
  if (!isWriting() || !isLogin(address)) return location.assign(way);
  hold("Signed out", "You are signed out. Sign in again in another tab: what you wrote stays here.");
}

function refused() {
  if (!isWriting()) return location.reload();
  hold("Not there", "This page is not there for you any more. What you wrote stays here until you leave it.");
}

function hold(name, words) {
  state("lost", name);
  if (!isHeld) toast(words, "error");
  isHeld = true;
}

document.addEventListener("htmx:error", (event) => {
  wait = Math.min(wait * 2, SLOWEST);
  state("lost", "Not connected; trying again");
});

document.addEventListener("htmx:before:swap", remember);
document.addEventListener("htmx:after:swap", settle);
document.addEventListener("visibilitychange", refresh);

function sentence(html, status) {
  const found = $("h1, .note", new DOMParser().parseFromString(html, "text/html"));
  return found?.textContent.trim() || `That did not work (${status}).`;
}

function settle() {
  giveBack(written);
  written = [];
  takeMessages();
  if (refusal?.form.isConnected && !refusal.note.isConnected) refusal.form.prepend(refusal.note);
  clocks();
}

// -- What one was writing does not go with a form that others have ended meanwhile --------------------

let written = [];
const taken = new Set(); // forms whose text is on its way or has arrived: a page may come without them before the answer

function typed() {
  return $$("#app :is(textarea, input[type=text], input:not([type]))")
    .filter((field) => field.form && field.value.trim() && field.value !== field.defaultValue)
    .map((field) => ({ field, text: field.value }));
}

const isWriting = () => typed().length > 0; // what is on its way may come back refused

function remember() {
  written = typed().filter(({ field }) => !taken.has(field.form));
}

function giveBack(texts) {
  for (const { field, text } of texts) if (!field.isConnected) toast(`What you wrote has no place here any more: ${text}`, "warning");
}

// -- Toasts ----------------------------------------------------------------------------------------

function takeMessages() {
  for (const note of $$("#messages > .note")) tell(note);
}

// An open dialog hides what is below it, so that it says itself what was refused, also when the page is drawn anew.
let refusal = null;

function tell(note) {
  const form = note.classList.contains("error") && $("dialog[open] form[data-quiet]");
  if (form) form.prepend(note);
  else $("#toasts").append(note);
  if (form) refusal = { form, note };
  leave(note);
  if (form) note.classList.add("note");
}

function leave(note) {
  note.classList.remove("note");
  const close = document.createElement("button");
  close.className = "link";
  close.type = "button";
  close.textContent = "Close";
  close.addEventListener("click", () => {
    if (refusal?.note === note) refusal = null;
    note.remove();
  });
  note.append(close);
  if (!note.matches(".error, .warning")) setTimeout(() => note.remove(), 9000);
}

function toast(text, level = "success") {
  const note = document.createElement("p");
  note.className = `note ${level}`;
  const words = document.createElement("span");
  words.textContent = text;
  note.append(words);
  tell(note);
}

// -- Times -----------------------------------------------------------------------------------------

const UNITS = [
  ["d", 86400],
  ["h", 3600],
  ["min", 60],
];

function clocks() {
  for (const time of $$("time[data-ago]")) {
    const seconds = (Date.now() - Date.parse(time.dateTime)) / 1000;
    const size = Math.abs(seconds);
    const unit = UNITS.find(([, length]) => size >= length);
    const form = time.dataset.ago;
    const words = unit ? `${Math.round(size / unit[1])} ${unit[0]} ${form}`.trim() : seconds < 0 ? "under 1 min" : form ? "just now" : "now";
    if (time.textContent !== words) time.textContent = words;
  }
}

// -- Lines that are named, and what is undone --------------------------------------------------------

document.addEventListener("click", (event) => {
  const line = event.target.closest("[data-line]");
  if (line) selectLine($("#definition"), Number(line.dataset.line));
  const undo = event.target.closest("a[data-post]");
  if (undo) {
    event.preventDefault();
    send(undo.getAttribute("href"));
    undo.closest("p")?.remove();
  }
});

// What is shown once can be copied: buttons with data-copies name the element that holds it.

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copies]");
  if (!button) return;
  const source = document.getElementById(button.dataset.copies);
  getSelection().selectAllChildren(source);
  try {
    await navigator.clipboard.writeText(source.textContent);
    toast("Copied.");
  } catch {
    toast("It is selected: copy it with Ctrl+C.");
  }
});

function selectLine(area, number) {
  const before = area.value.split("\n").slice(0, number - 1);
  const start = before.reduce((length, line) => length + line.length + 1, 0);
  const end = area.value.indexOf("\n", start);
  area.focus();
  area.setSelectionRange(start, end < 0 ? area.value.length : end);
  area.scrollTop = (number - 4) * parseFloat(getComputedStyle(area).lineHeight);
}

// -- Diffs: the number of a line begins a comment on it ------------------------------------------------

document.addEventListener("click", (event) => {
  const cell = event.target.closest(".file .number");
  const remark = cell?.textContent && $(".remark", cell.closest(".file"));
  if (!remark) return;
  const [before, after] = $$(".number", cell.parentElement);
  const isOld = after.cellIndex === 2 ? cell === before : !after.textContent;
  remark.open = true;
  const form = $("form", remark);
  form.elements.line.value = (isOld ? before : after).textContent;
  form.elements.side.value = isOld ? "old" : "new";
  form.elements.content.focus();
});

// -- What cannot be undone is asked first: buttons with data-asks --------------------------------------

document.addEventListener(
  "submit",
  (event) => {
    const asks = event.submitter?.dataset.asks;
    if (!asks || confirm(asks)) return;
    event.preventDefault();
    event.stopImmediatePropagation();
  },
  true,
);

// -- Colors ----------------------------------------------------------------------------------------

document.addEventListener("submit", (event) => {
  if (!event.target.matches("[data-theme-form]")) return;
  event.preventDefault();
  const { value } = event.submitter;
  document.cookie = `theme=${value}; path=/; max-age=31536000; samesite=lax`;
  if (value === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = value;
  for (const button of $$("button", event.target)) button.setAttribute("aria-pressed", String(button === event.submitter));
});

// -- Sending: what a form does, without leaving the page --------------------------------------------

async function send(address, values, form) {
  const body = values instanceof FormData ? values : new FormData();
  if (!(values instanceof FormData)) for (const [name, value] of Object.entries(values ?? {})) body.append(name, value);
  if (!body.has("csrfmiddlewaretoken")) body.append("csrfmiddlewaretoken", csrf());
  if (!body.has("next")) body.append("next", location.pathname + location.search);
  const texts = typed().filter(({ field }) => field.form === form);
  const keep = () => taken.delete(form) && giveBack(texts); // it was not taken: what went with its form comes back
  taken.add(form);
  try {
    const answer = await fetch(address, { method: "POST", body, headers: { "X-Loom-Part": "app" } });
    const text = await answer.text();
    const isDone = answer.ok && !isLogin(answer.url) && !text.includes('id="messages"><p class="note error"');
    if (!isDone) keep();
    if (answer.redirected && new URL(answer.url).pathname !== location.pathname) go(answer.url);
    else if (text.includes('id="app"')) {
      if (answer.redirected) history.replaceState(history.state, "", answer.url); // else a link to here does nothing
      await put(text);
    }
    else toast(sentence(text, answer.status), "error");
    return isDone;
  } catch {
    keep();
    toast("Not sent: Loom cannot be reached. Try again.", "error");
  } finally {
    taken.delete(form);
  }
}

function put(text) {
  const app = $("#app");
  return htmx.swap({ text, sourceElement: app, target: app, select: "#app", swap: "outerMorph" });
}

document.addEventListener("submit", async (event) => {
  const form = event.target;
  if (!form.matches("[data-quiet]")) return;
  event.preventDefault();
  const { submitter } = event;
  for (const note of $$(":scope > .note", form)) note.remove(); // of an earlier try
  refusal = null;
  const given = new FormData(form, submitter); // before the button is off: it would be left out
  const isFocused = submitter && submitter === document.activeElement;
  if (submitter) submitter.disabled = true;
  const isDone = await send(submitter?.getAttribute("formaction") ?? form.getAttribute("action"), given, form);
  if (submitter) submitter.disabled = false;
  if (isFocused && document.activeElement === document.body) submitter.focus(); // what is off has no focus
  for (const menu of $$(".menu[open]")) menu.open = false;
  if (!isDone) return; // what was typed stays
  form.closest("dialog")?.close();
  form.closest(".remark")?.removeAttribute("open");
  form.reset();
});

// A form that leads to another page is sent once: a second click would begin a second project. After a while it may be
// sent again, since nothing tells that the sending was stopped, as by Escape.
const RESEND = 10000;
const isSent = new Set();

function forget(form, button) {
  isSent.delete(form);
  button?.removeAttribute("aria-disabled");
}

document.addEventListener("submit", (event) => {
  const form = event.target;
  if (event.defaultPrevented || form.method !== "post" || form.matches("[data-quiet]")) return;
  if (isSent.has(form)) return event.preventDefault();
  isSent.add(form);
  event.submitter?.setAttribute("aria-disabled", "true");
  setTimeout(forget, RESEND, form, event.submitter);
});

addEventListener("pageshow", () => {
  isSent.clear(); // one comes back to it
  for (const button of $$("button[aria-disabled]")) button.removeAttribute("aria-disabled");
});

// -- Boards: dragging calls the same address as the menu -------------------------------------------

let dragged = null;

document.addEventListener("dragstart", (event) => {
  dragged = event.target.closest?.("[data-bead]");
  if (!dragged) return;
  isDragging = true;
  event.dataTransfer.effectAllowed = "move";
  event.dataTransfer.setData("text/plain", dragged.dataset.bead);
  dragged.classList.add("dragged");
});

document.addEventListener("dragover", (event) => {
  const column = event.target.closest?.("[data-column]");
  if (!dragged || !column?.dataset.to) return;
  event.preventDefault();
  for (const other of $$("[data-column]")) other.classList.toggle("over", other === column);
});

document.addEventListener("drop", (event) => {
  const column = event.target.closest?.("[data-column]");
  if (!dragged || !column?.dataset.to) return;
  event.preventDefault();
  if (column !== dragged.closest("[data-column]")) {
    column.append(dragged);
    send(dragged.dataset.move, { to: column.dataset.to });
  }
});

document.addEventListener("dragend", () => {
  dragged?.classList.remove("dragged");
  for (const column of $$("[data-column]")) column.classList.remove("over");
  dragged = null;
  isDragging = false;
  soon();
});

document.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && event.target.matches?.("[data-sends]"))
    event.target.form.requestSubmit();
});

document.addEventListener("change", (event) => {
  if (event.target.matches("[data-submits]")) event.target.form.requestSubmit();
});

connect();
settle();
setInterval(clocks, 20000);
timer = setTimeout(tick, wait);
