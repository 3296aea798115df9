// Beside the code: lines that are clicked or marked go with the next message.

const $ = (selector, root = document) => root.querySelector(selector);
const form = () => $("#composer");
let anchor = 0;

const lines = () => [...($(".lines")?.children ?? [])];
const numberOf = (node) => lines().indexOf((node?.nodeType === 1 ? node : node?.parentElement)?.closest?.(".lines li")) + 1;

function choose(first, last) {
  if (!form()?.elements.first) return;
  const { elements } = form();
  elements.first.value = first;
  elements.last.value = last;
  elements.about.checked = true;
  mark();
}

function mark() {
  const elements = form()?.elements;
  const first = Number(elements?.first?.value) || 0;
  const last = Number(elements?.last?.value) || first;
  lines().forEach((line, at) => line.classList.toggle("picked", Boolean(first) && Boolean(elements.about.checked) && at + 1 >= first && at + 1 <= last));
}

document.addEventListener("click", (event) => {
  const number = event.target.matches?.(".lines li") ? numberOf(event.target) : 0;
  if (!number || !getSelection().isCollapsed) return;
  if (event.clientX > event.target.getBoundingClientRect().left + 60) return; // only beside the code
  if (!event.shiftKey || !anchor) anchor = number;
  choose(Math.min(anchor, number), Math.max(anchor, number));
});

document.addEventListener("mouseup", () => {
  const marked = getSelection();
  const [one, other] = [numberOf(marked.anchorNode), numberOf(marked.focusNode)];
  if (marked.isCollapsed || !one || !other) return;
  anchor = Math.min(one, other);
  choose(anchor, Math.max(one, other));
});

document.addEventListener("input", (event) => event.target.matches("#composer .number, #about-lines") && mark());
document.addEventListener("reset", () => setTimeout(mark));
document.addEventListener("htmx:after:swap", mark);
