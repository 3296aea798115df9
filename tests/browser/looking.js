// What tests look for on a page that nobody can see with one look: text and doors that are covered or cut off,
// and what cannot be reached or seen by keyboard. Runs in the page, by the debugger, past its policy.
window.looking = (() => {
  const DOORS = "a[href], button:not([disabled]), input:not([type=hidden], [disabled]), select, textarea, summary, [tabindex='0']";
  const name = (element) => element.cloneNode(false).outerHTML.slice(0, 140) + element.textContent.trim().slice(0, 40);
  const isShown = (element) => {
    const box = element.getBoundingClientRect();
    return element.checkVisibility({ visibilityProperty: true, contentVisibilityAuto: true }) && box.width > 2 && box.height > 2;
  };
  const isRelated = (one, other) => one === other || one.contains(other) || other.contains(one) || (one.closest("label") ?? one).contains(other) || isDoorOf(other, one);
  // A card's link lies over the whole card, by its ::after.
  const isDoorOf = (link, element) => getComputedStyle(link, "::after").position === "absolute" && link.closest("[data-item]")?.contains(element);
  const scrolls = (element, axis) => /auto|scroll/.test(getComputedStyle(element)[`overflow${axis}`]);

  function words() {
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    const found = new Set();
    for (let node = walker.nextNode(); node; node = walker.nextNode())
      if (node.data.trim() && !node.parentElement.closest("svg, option, script, [aria-hidden=true], .hidden")) found.add(node.parentElement);
    return [...found];
  }

  // Scrolled to, is it what stands at its place?
  function covered(element) {
    element.scrollIntoView({ block: "center", inline: "nearest", behavior: "instant" });
    const box = element.getClientRects()[0];
    const range = document.createRange();
    range.selectNodeContents(element);
    const text = element.matches("input, select, textarea, button") ? box : (range.getClientRects()[0] ?? box);
    const left = Math.max(text.left, box.left); // of a text cut by an ellipsis, what is left of it
    const right = Math.min(text.right, box.right, innerWidth);
    const there = document.elementFromPoint((left + right) / 2, text.top + text.height / 2);
    if (!there) return "outside the window";
    return isRelated(element, there) ? "" : `under ${name(there)}`;
  }

  function cut(element) {
    if (element.matches("input, textarea, select")) return ""; // what is typed there is scrolled
    const style = getComputedStyle(element);
    const isMeant = style.textOverflow === "ellipsis" || style.webkitLineClamp !== "none";
    if (!isMeant && /hidden|clip/.test(style.overflowX) && element.scrollWidth > element.clientWidth + 2) return "cut off at its side";
    if (!isMeant && /hidden|clip/.test(style.overflowY) && element.scrollHeight > element.clientHeight + 4) return "cut off below";
    return "";
  }

  function faults() {
    const told = [];
    if (document.documentElement.scrollWidth > innerWidth) told.push("the page is wider than its window");
    for (const element of new Set([...document.querySelectorAll(DOORS), ...words()])) {
      if (!isShown(element) || element.matches(".skip, svg *")) continue;
      const fault = covered(element) || cut(element);
      if (fault) told.push(`${name(element)}: ${fault}`);
    }
    scrollTo(0, 0);
    return told;
  }

  // -- By keyboard -------------------------------------------------------------------------------------------------

  const reached = [];

  function seen(element) {
    const box = element.getBoundingClientRect();
    const isMarked = [element, element.closest("[data-item]")].some((one) => {
      const style = one && getComputedStyle(one);
      return style && style.outlineStyle !== "none" && parseFloat(style.outlineWidth) > 0;
    });
    const isInside = box.bottom > 0 && box.top < innerHeight && box.right > 0 && box.left < innerWidth;
    return `${isMarked ? "" : "has no mark of focus "}${isInside ? "" : "is out of sight"}`.trim();
  }

  // What Tab can reach in the page's main part, in order; of radio buttons of one name the chosen one, or the first.
  function stops() {
    const group = (element) => [...document.getElementsByName(element.name)].filter((one) => one.type === "radio" && one.form === element.form);
    return [...document.querySelectorAll("#main :is(" + DOORS + ")")].filter((element) => {
      if (!element.checkVisibility({ visibilityProperty: true }) || element.tabIndex < 0) return false;
      if (element.type !== "radio" || element.checked) return true;
      return !group(element).some((one) => one.checked) && group(element)[0] === element;
    });
  }

  function watch() {
    document.activeElement?.blur();
    document.addEventListener("focusin", (event) => reached.push([event.target, seen(event.target)]), true);
    document.getElementById("main").focus();
    reached.length = 0;
    return stops().length;
  }

  const places = () => new Set(reached.map(([element]) => element)).size;

  function missed(wanted) {
    const told = reached.filter(([, fault]) => fault).map(([element, fault]) => `${name(element)}: ${fault}`);
    const got = new Set(reached.map(([element]) => element));
    const last = reached.at(-1)?.[0];
    if (got.size < wanted) told.push(`Tab reaches ${got.size} places of ${wanted}; the last is ${last && name(last)}`);
    for (const stop of stops())
      if (!got.has(stop) && stop.compareDocumentPosition(last) & Node.DOCUMENT_POSITION_FOLLOWING) told.push(`${name(stop)}: not reached by Tab`);
    for (const element of document.querySelectorAll("#main *")) {
      if (getComputedStyle(element).cursor !== "pointer" || !isShown(element)) continue;
      if (!element.closest(`${DOORS}, label, option`)) told.push(`${name(element)}: for the mouse only`);
    }
    return told;
  }

  return { faults, watch, places, missed };
})();
