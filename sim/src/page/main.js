// What the reader does.
let waiting = false;
function refresh() {
  if (waiting) return;
  waiting = true;
  requestAnimationFrame(() => {
    waiting = false;
    placeHeadings();
    draw();
    fillList();
    byId("found").textContent = choice.terms.length ? `${items.filter((item) => isShown(item) && isMatch(item)).length.toLocaleString("en")} found` : "";
  });
}

function look(from, to) {
  const [low, high] = axis().range(), margin = Math.min((high - low) * 0.03, (to - from) * 0.06);
  const range = Math.min(Math.max(to - from, axis().least), high - low + 2 * margin);
  const middle = (from + to) / 2;
  view.from = Math.min(Math.max(middle - range / 2, low - margin), high + margin - range);
  view.to = view.from + range;
  chosen.over = null;
  byId("tooltip").hidden = true;
  refresh();
}

function zoom(factor, at = (view.from + view.to) / 2) {
  look(at - (at - view.from) * factor, at + (view.to - at) * factor);
}

// The two seconds up to the violation, or the end. Where next to nothing
// happens in these, as when everybody had gone quiet long before it was seen
// that something is missing: two seconds from where the last few dozen events
// begin.
function lookDefault() {
  let until = verdict ? verdict.at : story.end;
  const before = items.filter((item) => isShown(item) && item.start.time <= until);
  const [some, many] = [5, 40].map((count) => before[Math.max(before.length - count, 0)]);
  const isQuiet = some && some.start.time < until - 2e9 && choice.axis === "time";
  if (isQuiet) until = many.start.time + 2e9;
  const to = verdict && !isQuiet ? axis().of(verdict.point) : axis().at(until) + (choice.axis === "steps" ? 1 : 0);
  const from = axis().at(Math.max(until - 2e9, story.start));
  // So many steps may have happened in two seconds that none could be read.
  const first = choice.axis === "steps" ? Math.max(from, to - 50) : from;
  look(first, to + (to - first) * 0.06);
}

// What is shown has changed.
function filterChanged() {
  const middle = axis().time((view.from + view.to) / 2), range = view.to - view.from;
  countSteps();
  if (choice.axis === "steps") look(axis().at(middle) - range / 2, axis().at(middle) + range / 2);
  else refresh();
}

function lookAtViolation() {
  if (!verdict) return;
  const at = axis().of(verdict.point), range = choice.axis === "steps" ? 40 : Math.min(view.to - view.from, 2e8);
  look(at - range * 0.85, at + range * 0.15);
}

function setAxis(name) {
  const middle = axis().time((view.from + view.to) / 2);
  choice.axis = name;
  byId("by-time").setAttribute("aria-pressed", String(name === "time"));
  byId("by-step").setAttribute("aria-pressed", String(name === "steps"));
  const centre = chosen.pinned ? axis().of(chosen.pinned.start) : axis().at(middle);
  const range = name === "steps" ? 50 : 2e9;
  look(centre - range / 2, centre + range / 2);
}

function pin(item, bring) {
  chosen.pinned = item;
  showDetail();
  if (item && bring) {
    const at = axis().of(item.start), range = view.to - view.from;
    if (at < view.from + range * 0.05 || at > view.to - range * 0.05) look(at - range / 2, at + range / 2);
  }
  refresh();
  requestAnimationFrame(() => scrollListTo(item));
}

// The next of those that fit, after or before what is pinned.
function step(by, fits = () => true) {
  const start = chosen.pinned ? chosen.pinned.index : items.findIndex((item) => axis().of(item.start) >= view.from) - (by > 0 ? 1 : 0);
  for (let at = start + by; at >= 0 && at < items.length; at += by) {
    if (isShown(items[at]) && isMatch(items[at]) && fits(items[at])) return pin(items[at], true);
  }
}

const onLane = (item) => !chosen.pinned || [item.from, item.to].includes(chosen.pinned.from);
const shift = (part) => look(view.from + (view.to - view.from) * part, view.to + (view.to - view.from) * part);

const KEYS = {
  "+": () => zoom(0.6), "=": () => zoom(0.6), "-": () => zoom(1 / 0.6),
  "0": () => look(...axis().range()), d: lookDefault, v: lookAtViolation,
  t: () => setAxis(choice.axis === "time" ? "steps" : "time"),
  ArrowDown: () => step(1), n: () => step(1), ArrowUp: () => step(-1), p: () => step(-1),
  ArrowRight: () => step(1, onLane), ArrowLeft: () => step(-1, onLane),
  PageDown: () => shift(0.8), " ": () => shift(0.8), PageUp: () => shift(-0.8),
  Home: () => look(axis().range()[0], axis().range()[0] + view.to - view.from),
  End: () => look(axis().range()[1] - (view.to - view.from), axis().range()[1]),
  "/": () => byId("search").focus(), "?": () => pin(null),
  Escape: () => { choice.lanes.clear(); filterChanged(); pin(null); },
};

// What is nearest to a place in the picture, if anything is near.
function nearest(x, y) {
  let best = null, least = 7;
  for (const { item, a, b, match } of drawn) {
    if (!match) continue;
    const [dx, dy] = [b.x - a.x, b.y - a.y], length = dx * dx + dy * dy;
    const part = length ? Math.min(Math.max(((x - a.x) * dx + (y - a.y) * dy) / length, 0), 1) : 0;
    const far = Math.hypot(x - a.x - dx * part, y - a.y - dy * part) - (item.arrow ? 0 : 3);
    if (far < least) [best, least] = [item, far];
  }
  return best;
}

function listenToPicture() {
  let drag = null;
  const spot = (event) => { const box = picture.getBoundingClientRect(); return [event.clientX - box.left, event.clientY - box.top, box.height]; };
  picture.addEventListener("wheel", (event) => {
    if (Math.abs(event.deltaX) > Math.abs(event.deltaY) || (event.shiftKey && !event.ctrlKey)) return;
    event.preventDefault();
    const [, y, height] = spot(event), amount = event.deltaY * (event.deltaMode === 1 ? 16 : 1);
    if (event.ctrlKey || event.metaKey || event.altKey) zoom(Math.exp(Math.max(Math.min(amount, 200), -200) / 300), toValue(y, height));
    else shift(amount / height * 0.8);
  }, { passive: false });
  picture.addEventListener("pointerdown", (event) => {
    const [, y, height] = spot(event);
    drag = { y, from: view.from, to: view.to, height, moved: false, zooms: event.shiftKey };
    picture.setPointerCapture(event.pointerId);
  });
  picture.addEventListener("pointermove", (event) => {
    const [x, y, height] = spot(event);
    if (drag) {
      drag.moved ||= Math.abs(y - drag.y) > 3;
      if (!drag.moved) return;
      picture.classList.add("dragged");
      if (drag.zooms) return markBand(drag.y, y);
      const by = ((drag.y - y) / drag.height) * (drag.to - drag.from);
      return look(drag.from + by, drag.to + by);
    }
    pointAt(nearest(x, y), event.clientX, event.clientY);
    picture.classList.toggle("over", chosen.over !== null);
  });
  picture.addEventListener("pointerup", (event) => {
    const [x, y, height] = spot(event), was = drag;
    drag = null;
    picture.classList.remove("dragged");
    if (was && was.moved && was.zooms) look(toValue(Math.min(y, was.y), height), toValue(Math.max(y, was.y), height));
    else if (was && !was.moved) pin(nearest(x, y));
  });
  picture.addEventListener("pointerleave", () => { if (!drag) pointAt(null); });
  picture.addEventListener("dblclick", (event) => { const [, y, height] = spot(event); zoom(0.4, toValue(y, height)); });
}

function markBand(from, to) {
  drawMarks();
  const pen = picture.getContext("2d");
  pen.fillStyle = colours.window;
  pen.fillRect(0, Math.min(from, to), picture.clientWidth, Math.abs(to - from));
}

function pointAt(item, x, y) {
  if (item !== chosen.over) {
    chosen.over = item;
    drawMarks();
    fillRows();
  }
  showTooltip(x, y);
}

function listenToOverview() {
  const go = (event) => {
    const box = overview.getBoundingClientRect(), [low, high] = axis().range();
    const at = low + ((event.clientY - box.top) / box.height) * (high - low), range = view.to - view.from;
    look(at - range / 2, at + range / 2);
  };
  overview.addEventListener("pointerdown", (event) => { overview.setPointerCapture(event.pointerId); go(event); });
  overview.addEventListener("pointermove", (event) => { if (event.buttons) go(event); });
}

function listenToList() {
  const itemOf = (event) => { const row = event.target.closest(".row"); return row ? listed[Number(row.dataset.at)] : null; };
  byId("list").addEventListener("scroll", fillRows);
  byId("rows").addEventListener("click", (event) => { const item = itemOf(event); if (item) pin(item, true); });
  byId("rows").addEventListener("mouseover", (event) => { const item = itemOf(event); if (item !== chosen.over) { chosen.over = item; drawMarks(); } });
  byId("rows").addEventListener("mouseleave", () => { chosen.over = null; drawMarks(); });
}

function listenToButtons() {
  const clicks = {
    "by-time": () => setAxis("time"), "by-step": () => setAxis("steps"), "zoom-in": KEYS["+"], "zoom-out": KEYS["-"],
    "go-all": KEYS["0"], "go-default": lookDefault, "go-violation": lookAtViolation, help: KEYS["?"],
  };
  for (const [id, click] of Object.entries(clicks)) byId(id).addEventListener("click", click);
  byId("copy").addEventListener("click", () => copy(story.heading.command));
  byId("search").addEventListener("input", (event) => { choice.terms = event.target.value.toLowerCase().split(/\s+/).filter(Boolean); refresh(); });
  byId("search").addEventListener("keydown", (event) => {
    if (event.key === "Enter") step(event.shiftKey ? -1 : 1);
    if (event.key === "Escape") { event.target.value = ""; choice.terms = []; event.target.blur(); refresh(); }
  });
  byId("document").addEventListener("change", (event) => { choice.document = event.target.value; filterChanged(); });
  window.addEventListener("keydown", (event) => {
    const types = ["INPUT", "SELECT", "SUMMARY", "TEXTAREA"].includes(event.target.tagName) || (event.target.tagName === "BUTTON" && event.key === " ");
    if (types || event.ctrlKey || event.metaKey || event.altKey || !Object.hasOwn(KEYS, event.key)) return;
    event.preventDefault();
    KEYS[event.key]();
  });
}

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // Pages from files may not always: then by way of a selection.
    getSelection().selectAllChildren(byId("command"));
    document.execCommand("copy");
  }
  byId("copy").textContent = "Copied";
  setTimeout(() => { byId("copy").textContent = "Copy"; }, 1500);
}

countSteps();
readColours();
fillHeader();
fillLegend();
fillHeadings();
placeHeadings();
showDetail();
setAxis("time");
lookDefault();
listenToPicture();
listenToOverview();
listenToList();
listenToButtons();
new ResizeObserver(() => { placeHeadings(); refresh(); }).observe(byId("stage"));
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { readColours(); refresh(); });
