// What is being written just now: answers to people (data-stream) and replies of agents at work (data-live).
// Each element names its address of server-sent events. What is written is only shown here; the page fetches
// the finished text from the server, as it fetches everything.

const $ = (selector, root = document) => root.querySelector(selector);
const $$ = (selector, root = document) => [...root.querySelectorAll(selector)];
const open = new Map(); // address -> { source, id }
const NEAR = 60; // px from the bottom that count as being there
const RETRY = 5000;

const refresh = () => htmx.trigger($("#app"), "loom:changed");
const elements = (address) => $$("[data-stream], [data-live]").filter((one) => addressOf(one) === address);
const addressOf = (element) => element.dataset.stream ?? element.dataset.live;

function follow() {
  const wanted = new Map($$("[data-stream], [data-live]").map((one) => [addressOf(one), one.id]));
  for (const [address, { source, id }] of open)
    if (!wanted.has(address) || (wanted.get(address) !== id && address.includes("/pair/"))) {
      source.close();
      open.delete(address);
    }
  for (const [address, id] of wanted) if (!open.has(address)) begin(address, id);
}

function begin(address, id) {
  // From its beginning: nothing is known yet of what came before.
  for (const one of elements(address)) {
    delete one.dataset.told;
    if (one.dataset.stream) for (const old of $$(":scope > .faint, :scope > .coming-said", one)) old.remove();
  }
  const source = new EventSource(address);
  open.set(address, { source, id });
  const told = { lives: null };
  for (const kind of ["connected", "chunk", "reset", "actions", "error", "done", "live"])
    source.addEventListener(kind, (event) => {
      if (event.data !== undefined) take(address, kind, JSON.parse(event.data), told);
    });
  source.addEventListener("error", () => {
    if (source.readyState !== EventSource.CLOSED || open.get(address)?.source !== source) return;
    open.delete(address); // refused: the page may know why
    setTimeout(() => {
      refresh();
      follow();
    }, RETRY);
  });
}

function take(address, kind, data, told) {
  const show = kind === "live" ? live : answer;
  const shown = elements(address).filter((one) => kind === "live" || one.dataset.stream);
  for (const element of shown) kept(element, () => show(element, kind, data, told));
  if (kind !== "done") return;
  open.get(address)?.source.close();
  refresh();
}

// Who reads at the end stays at the end; who has scrolled away is left alone.
function kept(element, change) {
  const box = element.closest(".talk-log");
  const isAtEnd = box && box.scrollHeight - box.scrollTop - box.clientHeight < NEAR;
  change();
  if (isAtEnd) box.scrollTop = box.scrollHeight;
}

// -- Answers ---------------------------------------------------------------------------------------

function answer(element, kind, data) {
  const text = $("[data-text]", element);
  const state = $("[data-state]", element);
  if (kind === "connected") {
    if (!element.dataset.told) text.textContent = ""; // all of it comes again
    element.dataset.told = "1";
  } else if (kind === "chunk") {
    text.append(data.choices[0].delta.content);
    if (state) state.textContent = "answering";
  } else if (kind === "reset") text.textContent = "";
  else if (kind === "actions") {
    for (const [at, action] of data.actions.entries()) {
      const done = document.createElement("p");
      done.className = "faint";
      const isFine = data.results[at]?.ok !== false;
      done.textContent = `${isFine ? "✔" : "✕"} ${action.type} ${action.path ?? action.command ?? action.query ?? ""}`;
      text.before(done);
    }
    if (text.textContent) {
      const said = document.createElement("div");
      said.className = "coming-said";
      said.textContent = text.textContent;
      text.before(said);
      text.textContent = "";
    }
    if (state) state.textContent = "goes on";
  }
}

// -- Replies of agents at work: pieces of thinking, text and actions, numbered within a turn -------------------

function live(element, _, data, told) {
  const before = told.lives;
  if (data.whole || before?.turn !== data.turn) told.lives = { turn: data.turn, seq: data.whole ? data.seq : NaN, parts: data.whole ? data.parts : [] };
  else if (data.seq === before.seq + 1) add(before, data);
  else if (data.seq !== before.seq) before.seq = NaN; // something is missing: the next whole one heals it
  if (Number.isNaN(told.lives.seq) || data.turn <= Number(element.dataset.after)) return;
  const { parts } = told.lives;
  if (element.matches(".glimpse")) element.textContent = parts.map(([, text]) => text).join("\n").slice(-400);
  else draw(element, parts);
}

function add(lives, data) {
  lives.seq = data.seq;
  for (const [kind, text] of data.parts) {
    const last = lives.parts.at(-1);
    if (last?.[0] === kind) last[1] += text;
    else lives.parts.push([kind, text]);
  }
}

function draw(element, parts) {
  const box = $("[data-parts]", element);
  while (box.children.length > parts.length) box.lastChild.remove();
  parts.forEach(([kind, text], at) => {
    let place = box.children[at];
    if (place?.dataset.kind !== kind) {
      const made = piece(kind);
      if (place) place.replaceWith(made);
      else box.append(made);
      place = made;
    }
    const target = $("[data-words]", place) ?? place;
    const shown = kind.startsWith("action") ? unescaped(text) : text;
    if (target.textContent !== shown) target.textContent = shown;
  });
}

function piece(kind) {
  const made = document.createElement(kind === "thinking" ? "details" : "div");
  made.dataset.kind = kind;
  const words = document.createElement(kind.startsWith("action") ? "pre" : "p");
  words.dataset.words = "";
  if (kind === "thinking") {
    const head = document.createElement("summary");
    head.className = "faint";
    head.textContent = "Thinking";
    words.className = "thinking";
    made.append(head);
  } else if (kind.startsWith("action")) {
    const head = document.createElement("code");
    head.textContent = kind.split(":").slice(2).join(":");
    words.className = "output";
    words.tabIndex = 0;
    made.append(head);
  } else words.className = "coming-text";
  made.append(words);
  return made;
}

// Arguments come as JSON that is not finished: good enough to be read.
const unescaped = (text) => text.replace(/\\n/g, "\n").replace(/\\t/g, "\t").replace(/\\"/g, '"').replace(/\\\\/g, "\\");

document.addEventListener("htmx:after:swap", follow);
document.addEventListener("visibilitychange", () => {
  if (!document.hidden) return follow();
  for (const [address, { source }] of open)
    if (elements(address).some((one) => one.dataset.live)) {
      source.close(); // nobody looks
      open.delete(address);
    }
});
follow();
const log = $(".talk-log");
if (log) log.scrollTop = log.scrollHeight;
