// The admin: what Django and the queue's pages leave without a name, and the page of machinery that refreshes itself.
const HEADS = { original: "Row", "action-checkbox-column": "Choose" };

function name(element, text) {
  if (!element.hasAttribute("aria-label")) element.setAttribute("aria-label", text);
}

function nameAll() {
  for (const head of document.querySelectorAll("th")) {
    if (head.textContent.trim()) continue;
    const kind = Object.keys(HEADS).find((word) => head.classList.contains(word));
    const text = document.createElement("span");
    text.className = "visually-hidden";
    text.textContent = HEADS[kind] ?? "More";
    head.append(text);
  }
  for (const toggle of document.querySelectorAll("#action-toggle")) name(toggle, "Choose all");
  for (const box of document.querySelectorAll("input.action-select")) name(box, "Choose this one");
  for (const part of document.querySelectorAll(".vDateField, .vTimeField")) {
    const row = part.closest(".form-row, td")?.querySelector("label, legend")?.textContent ?? "";
    name(part, `${row} ${part.classList.contains("vDateField") ? "Date" : "Time"}`.trim());
  }
  for (const chosen of document.querySelectorAll(".select2-selection, .select2-selection__rendered")) {
    name(chosen, chosen.closest(".form-row")?.querySelector("label")?.textContent ?? "Choose");
  }
  for (const hint of document.querySelectorAll(".help-tooltip[aria-label]:not([role])")) hint.setAttribute("role", "img");
}
nameAll();
addEventListener("load", () => setTimeout(nameAll)); // what Django's own scripts have added by then

// The queue's pages call a plugin that Django no longer has: it ticks all rows at once.
const jQuery = window.django?.jQuery;
if (jQuery && !jQuery.fn.actions) {
  jQuery.fn.actions = function () {
    const rows = this;
    jQuery("#action-toggle").on("change", (event) => rows.prop("checked", event.target.checked));
    return rows;
  };
}

const part = document.getElementById("machinery");
const pause = Number(part?.dataset.refresh) * 1000;

async function refresh() {
  // What somebody reads with the keyboard, or has marked to copy, is not taken away.
  const busy = part.contains(document.activeElement) || !getSelection().isCollapsed;
  if (!document.hidden && !busy) {
    try {
      const answer = await fetch(location.href, { headers: { "X-Part": "machinery" } });
      if (answer.ok && !answer.redirected) {
        part.innerHTML = await answer.text();
        part.classList.remove("loom-stale");
      }
    } catch {
      part.classList.add("loom-stale");
    }
  }
  setTimeout(refresh, pause);
}
if (part) setTimeout(refresh, pause);
