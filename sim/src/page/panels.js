// What stands around the picture. All that is told gets in as text.
const byId = (id) => document.getElementById(id);

function element(name, className, text) {
  const made = document.createElement(name);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

function fillHeader() {
  const { heading } = story;
  document.title = `${heading.title || "ysyncd simulation"}, seed ${heading.seed}`;
  document.body.classList.toggle("failed", verdict !== null);
  byId("badge").textContent = verdict ? "FAILS" : "holds";
  byId("invariant").textContent = verdict ? `Invariant ${verdict.invariant}` : heading.title;
  byId("when").textContent = verdict ? `violated at ${seconds(verdict.at)}${verdict.lane === null ? "" : `, ${story.lanes[verdict.lane].name}`}` : "";
  byId("violation").hidden = !verdict;
  byId("violation").textContent = verdict ? verdict.detail : "";
  if (verdict && verdict.detail.length < 150 && !verdict.detail.includes("\n")) byId("violation").style.height = "auto";
  for (const [name, value] of [["seed", heading.seed], ["layer", heading.layer], ["commit", heading.commit]]) {
    byId("facts").append(name, element("b", "", value));
  }
  const left = story.left_out ? `, ${story.left_out.toLocaleString("en")} others left out` : "";
  byId("facts").append(`${items.length.toLocaleString("en")} events, ${seconds(story.start, 2)} to ${seconds(story.end, 2)}${left}`);
  byId("command").textContent = heading.command;
  byId("configuration").querySelector("pre").textContent = heading.configuration;
  byId("configuration").hidden = !heading.configuration;
  byId("go-violation").hidden = !verdict;
}

function fillLegend() {
  const counts = {};
  for (const item of items) counts[item.group] = (counts[item.group] || 0) + 1;
  for (const group of Object.keys(GROUPS).filter((name) => counts[name])) {
    const button = element("button", "", undefined), sign = element("i");
    button.type = "button";
    button.title = `Show or hide; with Alt, show nothing else`;
    button.dataset.group = group;
    sign.style.color = `var(--${group})`;
    button.append(sign, GROUPS[group], element("small", "", counts[group].toLocaleString("en")));
    button.addEventListener("click", (event) => {
      if (event.altKey) {
        const others = Object.keys(GROUPS).filter((name) => name !== group);
        const alone = !choice.hidden.has(group) && others.every((name) => choice.hidden.has(name));
        choice.hidden = new Set(alone ? [] : others);
      } else if (!choice.hidden.delete(group)) choice.hidden.add(group);
      markLegend();
      filterChanged();
    });
    byId("legend").append(button);
  }
  markLegend();
  const documents = [...new Set(items.map((item) => item.document).filter(Boolean))].sort();
  byId("document").hidden = documents.length < 2;
  byId("document").append(new Option("all documents", ""), ...documents.map((name) => new Option(name, name)));
}

function markLegend() {
  for (const button of byId("legend").children) button.setAttribute("aria-pressed", String(!choice.hidden.has(button.dataset.group)));
}

function fillHeadings() {
  story.lanes.forEach((lane, index) => {
    const button = element("button", "", lane.name);
    button.type = "button";
    button.title = `${lane.kind}: ${lane.name}. Click to see only what concerns it`;
    button.addEventListener("click", () => {
      if (!choice.lanes.delete(index)) choice.lanes.add(index);
      filterChanged();
    });
    byId("headings").append(button);
  });
  byId("sheet").style.minWidth = `${GUTTER + story.lanes.length * 76}px`;
}

function placeHeadings() {
  const width = byId("sheet").clientWidth;
  [...byId("headings").children].forEach((button, index) => {
    button.style.left = `${laneX(index, width)}px`;
    button.style.maxWidth = `${laneWidth(width) - 6}px`;
    button.setAttribute("aria-pressed", String(choice.lanes.has(index)));
  });
}

function way(item) {
  const [from, to] = [story.lanes[item.from].name, story.lanes[item.to].name];
  return item.arrow ? `${from} → ${to}` : from;
}

// All about one thing.
function told(item) {
  const box = element("div", "told"), name = NAME_OF[item.kind] || item.kind;
  const title = element("h2", item.failed ? "bad" : "", item.lost ? `${name}, lost` : name);
  title.style.color = item.failed || item.lost ? "" : `var(--${item.group})`;
  let times = seconds(item.start.time, 9);
  if (item.arrow && item.end) times += ` → ${seconds(item.end.time, 9)}  (${item.lost ? "lost after " : ""}${span(item.end.time - item.start.time)})`;
  else if (item.arrow) times += " → still on its way at the end";
  box.append(title, element("div", "way", `${way(item)}${item.document ? `   ${item.document}` : ""}\n${times}`), item.detail.startsWith(item.text.slice(0, 40)) ? "" : element("div", "text", item.text));
  if (item.detail) box.append(element("pre", "", item.detail));
  return box;
}

function showTooltip(x, y) {
  const tooltip = byId("tooltip");
  tooltip.hidden = !chosen.over;
  if (!chosen.over) return;
  tooltip.replaceChildren(told(chosen.over));
  const box = tooltip.getBoundingClientRect();
  tooltip.style.left = `${Math.max(Math.min(x + 16, window.innerWidth - box.width - 8), 4)}px`;
  tooltip.style.top = `${Math.max(y + 20 + box.height > window.innerHeight ? y - box.height - 12 : y + 20, 4)}px`;
}

const HELP = `Point at something to read it; click to keep it here.

scroll, drag   move       Ctrl+scroll, + −   zoom
Shift+drag     zoom into a part
0 d v          all; last two seconds; violation
↑ ↓            the event before, after
← →            the same, on the same lane
/              search; Enter: the next one found
t              distances are times, or steps
Esc            let go, show all lanes
click on a lane: only what concerns it

→ arrived  ✕ lost  ⋯ still on its way  red: failed
● edit  ○ connect  □ close  ◆ event  ■ note
✖ crash  ▶ restart`;

function showDetail() {
  if (chosen.pinned) byId("detail").replaceChildren(told(chosen.pinned));
  else byId("detail").replaceChildren(element("pre", "empty", HELP));
}

// The list of what is in the window: only the rows that can be seen exist.
const ROW = 20;
let listed = [];

function fillList() {
  listed = drawn.filter(({ match, item }) => match && axis().of(item.start) >= view.from && axis().of(item.start) <= view.to).map(({ item }) => item);
  const hidden = items.length - items.filter(isShown).length;
  byId("list-title").textContent = `${listed.length.toLocaleString("en")} events begin in this window` + (hidden ? `; ${hidden.toLocaleString("en")} are hidden` : "");
  byId("rows").style.height = `${listed.length * ROW}px`;
  fillRows();
}

function fillRows() {
  const list = byId("list"), first = Math.max(Math.floor(list.scrollTop / ROW) - 4, 0);
  const count = Math.ceil(list.clientHeight / ROW) + 8;
  byId("rows").replaceChildren(...listed.slice(first, first + count).map((item, at) => row(item, first + at)));
}

function row(item, at) {
  const made = element("div", `row${item.failed || item.lost ? " bad" : ""}${item === chosen.pinned ? " pinned" : ""}${item === chosen.over ? " over" : ""}`);
  made.style.top = `${at * ROW}px`;
  made.style.borderLeftColor = `var(--${item.group})`;
  made.dataset.at = at;
  made.append(element("span", "time", (item.start.time / 1e9).toFixed(6)), element("span", "way", way(item)), element("span", "text", item.lost ? `✕ ${item.text}` : item.text));
  return made;
}

function scrollListTo(item) {
  const at = listed.indexOf(item), list = byId("list");
  if (at < 0) return;
  if (at * ROW < list.scrollTop || (at + 1) * ROW > list.scrollTop + list.clientHeight) list.scrollTop = at * ROW - list.clientHeight / 2;
  fillRows();
}
