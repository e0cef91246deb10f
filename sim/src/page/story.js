// The story as the page needs it: everything that happened in one list, each
// with its place on two axes: time, and steps, where each thing has its own.
const story = JSON.parse(document.getElementById("story").textContent);

const GROUPS = {
  update: "Update", sync: "Sync", awareness: "Awareness", frame: "Other frame",
  connection: "Connection", store: "Store", journal: "Journal", bus: "Bus",
  edit: "Edit", crash: "Crash, restart", event: "Event", tick: "Tick", note: "Note",
};
const GROUP_OF = {
  Open: "connection", Accept: "connection", Refuse: "connection", Close: "connection", Connect: "connection",
  Sync: "sync", Update: "update", Awareness: "awareness", Frame: "frame",
  Load: "store", Save: "store", StoreAnswer: "store",
  JournalCommand: "journal", JournalAnswer: "journal", Bus: "bus",
  Edit: "edit", Tick: "tick", Crash: "crash", Restart: "crash", Event: "event", Note: "note",
};
const NAME_OF = {
  StoreAnswer: "Store answers", JournalCommand: "To the journal", JournalAnswer: "Journal answers",
};

// A point on both axes. Its step is known once all points are.
const points = [];
// Of these, what can be seen now.
let steps = [];
function point(time, order) {
  const made = { time, order, step: 0 };
  points.push(made);
  return made;
}

function arrowItem(arrow) {
  const fate = Object.keys(arrow.end)[0];
  const end = typeof arrow.end === "string" ? null : arrow.end[fate];
  return {
    arrow, kind: arrow.kind, text: arrow.text, detail: arrow.detail, document: arrow.document, failed: arrow.failed,
    from: arrow.from, to: arrow.to,
    start: point(arrow.left, arrow.order),
    end: end && point(end.at, end.order),
    lost: end !== null && fate === "Lost",
  };
}

function momentItem(moment) {
  const start = point(moment.at, moment.order);
  return {
    arrow: null, kind: moment.kind, text: moment.text, detail: moment.detail, document: "", failed: moment.kind === "Crash",
    from: moment.lane, to: moment.lane, start, end: start, lost: false,
  };
}

const items = [...story.arrows.map(arrowItem), ...story.moments.map(momentItem)];
const verdict = story.violation && { ...story.violation, point: point(story.violation.at, story.violation.order) };
const byPlace = (a, b) => a.time - b.time || a.order - b.order;
points.sort(byPlace);
items.sort((a, b) => byPlace(a.start, b.start));
items.forEach((item, index) => {
  item.index = index;
  item.group = GROUP_OF[item.kind];
  const names = [story.lanes[item.from].name, story.lanes[item.to].name];
  item.words = [item.kind, item.text, item.detail, item.document, ...names, item.lost ? "lost" : "", item.failed ? "failed" : ""]
    .join("\n").toLowerCase();
});

// What the reader chose to see.
const choice = { hidden: new Set(["tick"]), lanes: new Set(), document: "", terms: [], axis: "time" };
// Clients say all the time that they are there: at first this is shown only
// where it is few or what the failure is about.
const presence = items.filter((item) => item.group === "awareness").length;
const isAboutPresence = verdict && /presence|awareness|keepalive/i.test(`${verdict.invariant} ${verdict.detail.slice(0, 2000)}`);
if (presence > 40 && presence < items.length && !isAboutPresence) choice.hidden.add("awareness");

function isShown(item) {
  if (choice.hidden.has(item.group)) return false;
  if (choice.lanes.size && !choice.lanes.has(item.from) && !choice.lanes.has(item.to)) return false;
  return !choice.document || !item.document || item.document === choice.document;
}

// Counts the steps anew: those of what is shown, one each; what is not shown
// stands where the next that is would.
function countSteps() {
  const seen = new Set(verdict ? [verdict.point] : []);
  for (const item of items) if (isShown(item)) seen.add(item.start).add(item.end);
  steps = [];
  for (const each of points) {
    each.step = steps.length;
    if (seen.has(each)) steps.push(each);
  }
}

function isMatch(item) {
  return choice.terms.every((term) => (term.length > 1 && term[0] === "-" ? !item.words.includes(term.slice(1)) : item.words.includes(term)));
}

// Where things stand on the axis in use.
const AXES = {
  time: {
    of: (point) => point.time,
    at: (time) => time,
    time: (value) => value,
    range: () => [story.start, Math.max(story.end, story.start + 1)],
    least: 1000,
  },
  steps: {
    of: (point) => point.step,
    at: (time) => {
      let low = 0, high = steps.length;
      while (low < high) {
        const middle = (low + high) >> 1;
        if (steps[middle].time < time) low = middle + 1; else high = middle;
      }
      return low - 0.5;
    },
    time: (value) => {
      if (!steps.length) return 0;
      const at = Math.min(Math.max(value, 0), steps.length - 1);
      const [before, after] = [steps[Math.floor(at)].time, steps[Math.ceil(at)].time];
      return before + (after - before) * (at - Math.floor(at));
    },
    range: () => [-1, Math.max(steps.length, 1)],
    least: 8,
  },
};
const axis = () => AXES[choice.axis];

function seconds(time, digits = 6) {
  return `${(time / 1e9).toFixed(digits)} s`;
}

function span(time) {
  if (time < 1e6) return `${(time / 1e3).toFixed(1)} µs`;
  return time < 1e9 ? `${(time / 1e6).toFixed(time < 1e7 ? 2 : 1)} ms` : `${(time / 1e9).toFixed(2)} s`;
}
