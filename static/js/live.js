// Keeps the page current: asks whether something happened and puts what changed in its place.
// Elements with [data-live] and an id are replaced; those with [data-live-list] are kept in step child by child.
// What somebody is writing in, or has changed, is left alone.

const EVERY = 2500;
const SLOWEST = 30000;
const status = document.getElementById("live");
let wait = EVERY;

function isBusy(element) {
  const fields = element.querySelectorAll("input:not([type=hidden]), textarea, select");
  return [...fields].some(
    (field) =>
      field === document.activeElement ||
      (field.type === "radio" || field.type === "checkbox"
        ? field.checked !== field.defaultChecked
        : field.value !== field.defaultValue),
  );
}

// The page's token differs each time and tells nothing.
function looks(element) {
  const copy = element.cloneNode(true);
  for (const token of copy.querySelectorAll("input[name=csrfmiddlewaretoken]")) token.remove();
  return copy.outerHTML;
}

function keepOpen(old, fresh) {
  for (const details of old.querySelectorAll("details[id]")) {
    const twin = fresh.querySelector(`#${CSS.escape(details.id)}`);
    if (twin) twin.open = details.open;
  }
}

function focusIn(element) {
  const active = document.activeElement;
  if (!element.contains(active)) return () => {};
  const address = active.getAttribute("href");
  return (fresh) => {
    const twin = [...fresh.querySelectorAll("a[href], summary, button")].find((one) =>
      active.id ? one.id === active.id : one.getAttribute("href") === address && one.tagName === active.tagName,
    );
    twin?.focus({ preventScroll: true });
  };
}

function swap(old, fresh) {
  if (isBusy(old)) return;
  keepOpen(old, fresh);
  if (looks(old) === looks(fresh)) return;
  const refocus = focusIn(old);
  old.replaceWith(fresh);
  refocus(fresh);
}

function swapList(old, fresh) {
  const byId = new Map([...old.children].map((child) => [child.id, child]));
  const wanted = [...fresh.children];
  for (const child of old.children.length ? [...old.children] : []) {
    if (!wanted.some((one) => one.id === child.id) && !isBusy(child)) child.remove();
  }
  let previous = null;
  for (const child of wanted) {
    const known = byId.get(child.id);
    if (known?.isConnected) {
      if (previous && previous.nextElementSibling !== known && !isBusy(known)) previous.after(known);
      update(known, child);
      previous = document.getElementById(child.id);
    } else {
      if (previous) previous.after(child);
      else old.prepend(child);
      previous = child;
    }
  }
}

function update(old, fresh) {
  if (old.matches("[data-live-list]")) return swapList(old, fresh);
  const lists = old.querySelectorAll("[data-live-list][id]");
  if (!lists.length) return swap(old, fresh);
  for (const list of lists) {
    const twin = fresh.querySelector(`#${CSS.escape(list.id)}`);
    if (twin) swapList(list, twin);
  }
}

function apply(fresh) {
  const tops = [...document.querySelectorAll("[data-live][id], [data-live-list][id]")].filter(
    (element) => !element.parentElement.closest("[data-live], [data-live-list]"),
  );
  for (const element of tops) {
    const twin = fresh.getElementById(element.id);
    if (twin) update(element, twin);
  }
  document.title = fresh.title;
}

function say(text) {
  if (status && status.textContent !== text) status.textContent = text;
}

async function refresh() {
  if (document.hidden) return;
  try {
    const answer = await fetch(location.href, {
      headers: { "X-Loom-Seen": document.body.dataset.seen },
      redirect: "error",
    });
    if (answer.status === 200) {
      const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
      apply(fresh);
      document.body.dataset.seen = fresh.body.dataset.seen;
    } else if (answer.status !== 204) throw new Error(`status ${answer.status}`);
    wait = EVERY;
    say("");
  } catch {
    wait = Math.min(wait * 2, SLOWEST);
    say("Not connected; trying again");
  }
}

async function watch() {
  await refresh();
  setTimeout(watch, wait);
}

document.addEventListener("visibilitychange", refresh);
setTimeout(watch, wait);
