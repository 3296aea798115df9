// Pages by keyboard: the palette, the sheet of keys, single keys; and what opens and closes by a click.
// Everything it does can be done without it by links and forms.

const $ = (selector, root = document) => root.querySelector(selector);
const $$ = (selector, root = document) => [...root.querySelectorAll(selector)];
const isTyping = (element) => element?.matches?.("input:not([type=checkbox],[type=radio]), textarea, select, [contenteditable]");

// -- Palette and help ------------------------------------------------------------------------------

function open(id) {
  const dialog = document.getElementById(id);
  if (!dialog || dialog.open) return;
  dialog.showModal();
  if (id === "palette") {
    $("#find").value = "";
    htmx.trigger($("#find"), "loom:open");
  }
}

const found = () => $$("#found [role=option]");

function choose(index) {
  const options = found();
  options.forEach((option, at) => option.setAttribute("aria-selected", String(at === index)));
  const chosen = options[index];
  if (!chosen) return $("#find").removeAttribute("aria-activedescendant");
  $("#find").setAttribute("aria-activedescendant", chosen.id);
  chosen.scrollIntoView({ block: "nearest" });
}

function paletteKey(event) {
  const options = found();
  const now = options.findIndex((option) => option.getAttribute("aria-selected") === "true");
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (step && options.length) {
    event.preventDefault();
    choose((now + step + options.length) % options.length);
  } else if (event.key === "Enter") {
    event.preventDefault();
    (options[now] ?? options[0])?.click();
  }
}

document.addEventListener("htmx:after:swap", () => $("#palette")?.open && choose(0));

// -- Keys ------------------------------------------------------------------------------------------

const GO = { h: "home", n: "decisions", a: "agents", r: "runs", b: "board", w: "graph", c: "analytics" };
let isGoing = false;

const keysAreOn = () => localStorage.getItem("keys") !== "off";
const items = () => $$("[data-item]").filter((item) => item.checkVisibility());
const here = () => document.activeElement?.closest("[data-item]");
const doorOf = (item) => (item.matches("a") ? item : $("a[href], input, button", item));

function step(by) {
  const all = items();
  const next = all[Math.min(all.length - 1, Math.max(0, all.indexOf(here()) + by))];
  if (next) doorOf(next).focus();
}

function openMenu(menu, item) {
  menu.open = !menu.open;
  (menu.open ? $("button", menu) : doorOf(item)).focus();
}

function single(event) {
  const item = here();
  if (isGoing) {
    isGoing = false;
    const link = $(`[data-go="${GO[event.key]}"]`);
    if (link) location.assign(link.href);
    return true;
  }
  const keys = {
    "?": () => open("help"),
    "/": () => open("palette"),
    g: () => {
      isGoing = true;
      setTimeout(() => (isGoing = false), 1500);
    },
    j: () => step(1),
    k: () => step(-1),
    m: () => item && $(".menu", item) && openMenu($(".menu", item), item),
    x: () => item && $(".pick", item)?.click(),
  };
  if (keys[event.key]) {
    keys[event.key]();
    return true;
  }
  if (/^[1-9]$/.test(event.key) && item) {
    const option = $$("input[type=radio]", item)[Number(event.key) - 1];
    option?.click();
    option?.focus();
    return Boolean(option);
  }
  return false;
}

document.addEventListener("keydown", (event) => {
  if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "k") {
    event.preventDefault();
    return open("palette");
  }
  if (event.target.id === "find") return paletteKey(event);
  if (event.key === "Escape") $$(".menu[open], .switcher[open]").forEach((menu) => (menu.open = false));
  const isPlain = !event.ctrlKey && !event.metaKey && !event.altKey;
  if (isPlain && keysAreOn() && !isTyping(event.target) && !$("dialog[open]") && single(event)) event.preventDefault();
});

document.addEventListener("click", (event) => {
  const opener = event.target.closest("[data-opens]");
  if (opener) open(opener.dataset.opens);
  if (event.target.closest("[data-closes]") || event.target.matches("dialog")) event.target.closest("dialog").close();
  for (const menu of $$(".menu[open]")) if (!menu.contains(event.target)) menu.open = false;
});

document.addEventListener("change", (event) => {
  if (event.target.id === "keys-on") localStorage.setItem("keys", event.target.checked ? "on" : "off");
});

const keysOn = $("#keys-on");
if (keysOn) keysOn.checked = keysAreOn();
