// The picture: lanes from left to right, the axis downwards.
const GUTTER = 100, LABEL = 13, FONT = 11.5;
const picture = document.getElementById("picture");
const overview = document.getElementById("overview");
const view = { from: 0, to: 1 };
// What is pointed at, and what is pinned.
const chosen = { over: null, pinned: null };
// The picture without these marks.
const still = document.createElement("canvas");
let colours = {}, letter = 7, drawn = [];

function readColours() {
  const style = getComputedStyle(document.documentElement);
  const names = [...Object.keys(GROUPS), "ground", "raised", "line", "text", "faint", "accent", "red", "lane", "shade", "down", "window"];
  colours = Object.fromEntries(names.map((name) => [name, style.getPropertyValue(`--${name}`).trim()]));
  colours.mono = style.getPropertyValue("--mono");
}

// A canvas with as many dots as the screen has there.
function fit(canvas) {
  const ratio = window.devicePixelRatio || 1, box = canvas.getBoundingClientRect();
  const [width, height] = [Math.round(box.width * ratio), Math.round(box.height * ratio)];
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
  const pen = canvas.getContext("2d");
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  pen.clearRect(0, 0, box.width, box.height);
  return [pen, box.width, box.height];
}

const laneWidth = (width) => (width - GUTTER) / Math.max(story.lanes.length, 1);
const laneX = (lane, width) => GUTTER + laneWidth(width) * (lane + 0.5);
const toY = (value, height) => ((value - view.from) / (view.to - view.from)) * height;
const toValue = (y, height) => view.from + (y / height) * (view.to - view.from);

// The ends of an item in the picture.
function place(item, width, height) {
  const { of } = axis();
  const a = { x: laneX(item.from, width), y: toY(of(item.start), height) };
  if (!item.arrow) return [a, a];
  const b = { x: laneX(item.to, width), y: item.end ? toY(of(item.end), height) : height + 40 };
  if (item.lost || !item.end) {
    // It never got there: it ends half way, not far below where it began.
    const part = item.lost ? 0.55 : 0.8;
    b.x = a.x + (b.x - a.x) * part;
    b.y = Math.min(b.y, a.y + 26);
  }
  if (item.from === item.to) b.x = a.x + 12;
  return [a, b];
}

function draw() {
  const [pen, width, height] = fit(picture);
  pen.font = `${FONT}px ${colours.mono}`;
  letter = pen.measureText("0123456789").width / 10;
  pen.textBaseline = "middle";
  const taken = new Map();
  drawGrid(pen, width, height);
  drawLanes(pen, width, height);
  drawShades(pen, width, height, taken);
  drawVerdict(pen, width, height, taken);
  drawn = [];
  for (const item of items) {
    if (!isShown(item)) continue;
    const [a, b] = place(item, width, height);
    if (Math.max(a.y, b.y) < -8 || Math.min(a.y, b.y) > height + 8) continue;
    drawn.push({ item, a, b, match: isMatch(item) });
  }
  const shown = drawn.length > 4000 ? withoutTwins(drawn) : drawn;
  const strength = drawn.length > 4000 ? 0.45 : drawn.length > 1200 ? 0.65 : 0.9;
  drawArrows(pen, shown.filter(({ match }) => !match), 0.08);
  drawArrows(pen, shown.filter(({ match }) => match), strength);
  for (const each of shown) if (!each.item.arrow) drawMoment(pen, each, each.match ? 1 : 0.12);
  const first = ({ item }) => (item.failed || item.lost ? 0 : item.group === "awareness" ? 2 : 1);
  const labelled = drawn.filter(({ match }) => match).sort((x, y) => first(x) - first(y));
  for (const each of labelled.slice(0, 3000)) drawLabel(pen, each, width, height, taken);
  // On top of all, where its room was kept.
  drawVerdict(pen, width, height, new Map());
  Object.assign(still, { width: picture.width, height: picture.height });
  still.getContext("2d").drawImage(picture, 0, 0);
  drawMarks();
  drawOverview();
}

// Of what would look the same in the same place, one.
function withoutTwins(all) {
  const seen = new Set();
  return all.filter(({ item, a, b, match }) => {
    const twin = [item.from, item.to, item.kind, item.failed, item.lost, match, Math.round(a.y), Math.round(b.y)].join();
    return !seen.has(twin) && seen.add(twin);
  });
}

// What is pointed at or pinned, over the picture as it was drawn last.
function drawMarks() {
  const [pen, width, height] = fit(picture);
  pen.drawImage(still, 0, 0, width, height);
  pen.font = `${FONT}px ${colours.mono}`;
  pen.textBaseline = "middle";
  for (const each of drawn) {
    if (each.item !== chosen.over && each.item !== chosen.pinned) continue;
    if (each.item.arrow) drawArrows(pen, [each], 1, true); else drawMoment(pen, each, 1, true);
    drawLabel(pen, each, width, height, new Map(), true);
  }
}

const TICKS = [1, 2, 5].flatMap((step) => Array.from({ length: 11 }, (_, power) => step * 10 ** power)).sort((a, b) => a - b);

function drawGrid(pen, width, height) {
  const rows = Math.max(height / 60, 2), pauses = findPauses(height);
  pen.textAlign = "right";
  const line = (y, text) => {
    pen.fillStyle = colours.line;
    pen.globalAlpha = 0.6;
    pen.fillRect(GUTTER, Math.round(y), width - GUTTER, 1);
    pen.globalAlpha = 1;
    pen.fillStyle = colours.faint;
    if (pauses.every((pause) => Math.abs(pause.y - y) >= LABEL)) pen.fillText(text, GUTTER - 8, y);
  };
  const range = view.to - view.from;
  const least = choice.axis === "time" ? range / rows : Math.max(range / rows, 1);
  const step = TICKS.find((tick) => tick >= least) || 1e11;
  const digits = choice.axis === "time" ? Math.min(Math.max(9 - Math.floor(Math.log10(step)), 0), 6) : 6;
  for (let value = Math.ceil(view.from / step) * step; value <= view.to; value += step) {
    if (choice.axis === "steps" && !steps[value]) continue;
    line(toY(value, height), seconds(axis().time(value), digits));
  }
  for (const pause of pauses) drawPause(pen, width, pause);
}

// Between steps any time may pass: where it is long, that is said.
function findPauses(height) {
  const apart = height / (view.to - view.from), pauses = [];
  if (choice.axis !== "steps" || apart < 5) return pauses;
  for (let step = Math.max(Math.floor(view.from), 0); step < Math.min(view.to, steps.length - 1); step += 1) {
    const time = steps[step + 1].time - steps[step].time;
    if (time >= 1e9) pauses.push({ y: toY(step + 0.5, height), time });
  }
  return pauses;
}

function drawPause(pen, width, { y, time }) {
  pen.setLineDash([2, 6]);
  pen.strokeStyle = colours.faint;
  pen.beginPath();
  pen.moveTo(GUTTER, y);
  pen.lineTo(width, y);
  pen.stroke();
  pen.setLineDash([]);
  pen.fillStyle = colours.text;
  pen.fillText(`⋮ ${span(time)}`, GUTTER - 8, y);
}

function drawLanes(pen, width, height) {
  story.lanes.forEach((_, lane) => {
    pen.fillStyle = choice.lanes.has(lane) ? colours.accent : colours.lane;
    pen.fillRect(Math.round(laneX(lane, width)) - 1, 0, 2, height);
  });
}

function drawShades(pen, width, height, taken) {
  // What is wrong everywhere lies under what is wrong in one place.
  const shades = [...story.shades].sort((a, b) => (a.lane === null ? -1 : 0) - (b.lane === null ? -1 : 0));
  for (const shade of shades) {
    const top = toY(axis().at(shade.from), height), bottom = Math.max(toY(axis().at(shade.until), height), top + 2);
    if (bottom < 0 || top > height) continue;
    const all = shade.lane === null, column = laneWidth(width);
    const x = all ? GUTTER : laneX(shade.lane, width) - column * 0.42, wide = all ? width - GUTTER : column * 0.84;
    pen.fillStyle = all ? colours.shade : colours.down;
    pen.fillRect(x, Math.max(top, -4), wide, Math.min(bottom, height + 4) - Math.max(top, -4));
    pen.fillStyle = colours.faint;
    pen.fillRect(x, top, wide, 1);
    pen.fillRect(x, bottom - 1, wide, 1);
    const room = Math.min(bottom, height) - Math.max(top, 0);
    if (room < LABEL) continue;
    const text = short(shade.text, wide - 8);
    for (let y = Math.max(top, 0) + 9; y < Math.min(bottom, height) - 3; y += LABEL) {
      if (!take(taken, x + 4, y, text.length * letter)) continue;
      pen.fillStyle = colours.text;
      pen.globalAlpha = 0.75;
      pen.textAlign = "left";
      pen.fillText(text, x + 5, y);
      pen.globalAlpha = 1;
      break;
    }
  }
}

function drawVerdict(pen, width, height, taken) {
  if (!verdict) return;
  const y = toY(axis().of(verdict.point), height);
  pen.fillStyle = colours.red;
  if (y < 0 || y > height) return drawVerdictFar(pen, y < 0, width, height, taken);
  pen.fillRect(0, y - 1, width, 2.5);
  if (verdict.lane !== null) {
    pen.beginPath();
    pen.arc(laneX(verdict.lane, width), y, 6, 0, 7);
    pen.fill();
  }
  const text = short(`✗ ${verdict.invariant}: ${verdict.detail.split("\n")[0]}`, width - GUTTER - 20);
  const below = y + 12 < height ? y + 10 : y - 10;
  take(taken, GUTTER, below, text.length * letter + 12);
  pen.fillRect(GUTTER, below - 8, text.length * letter + 12, 16);
  pen.fillStyle = colours.raised;
  pen.textAlign = "left";
  pen.fillText(text, GUTTER + 6, below);
  pen.fillStyle = colours.red;
}

// The violation is outside of the window: how far, and which way.
function drawVerdictFar(pen, isAbove, width, height, taken) {
  const far = isAbove ? axis().time(view.from) - verdict.at : verdict.at - axis().time(view.to);
  const text = `${isAbove ? "↑" : "↓"} violation ${span(Math.max(far, 0))} ${isAbove ? "before" : "after"} (v)`;
  const wide = text.length * letter + 16, x = GUTTER + (width - GUTTER - wide) / 2, y = isAbove ? 10 : height - 10;
  take(taken, x, y, wide);
  pen.fillRect(x, y - 9, wide, 18);
  pen.fillStyle = colours.raised;
  pen.textAlign = "left";
  pen.fillText(text, x + 8, y);
}

// Arrows that look the same are one path: a page may have tens of thousands.
function drawArrows(pen, arrows, strength, marked = false) {
  const alike = new Map();
  for (const each of arrows) {
    if (!each.item.arrow) continue;
    const look = `${each.item.failed ? "red" : each.item.group} ${each.item.failed ? "5 3" : each.item.end ? "" : "2 4"}`;
    if (!alike.has(look)) alike.set(look, []);
    alike.get(look).push(each);
  }
  pen.globalAlpha = strength;
  for (const [look, group] of alike) {
    const [colour, ...dashes] = look.split(" ");
    pen.strokeStyle = pen.fillStyle = colours[colour];
    pen.lineWidth = marked ? 3 : 1.3;
    pen.setLineDash(arrows.length > 4000 ? [] : dashes.filter(Boolean).map(Number));
    pen.beginPath();
    for (const { a, b } of group) {
      pen.moveTo(a.x, a.y);
      pen.lineTo(b.x, b.y);
    }
    pen.stroke();
    pen.setLineDash([]);
    if (arrows.length <= 4000) drawHeads(pen, group, marked ? 11 : 7);
  }
  pen.globalAlpha = 1;
}

function drawHeads(pen, group, size) {
  pen.beginPath();
  for (const { item, a, b } of group) {
    if (item.lost || !item.end) continue;
    const angle = Math.atan2(b.y - a.y, b.x - a.x);
    pen.moveTo(b.x, b.y);
    for (const side of [-0.4, 0.4]) pen.lineTo(b.x - size * Math.cos(angle + side), b.y - size * Math.sin(angle + side));
  }
  pen.fill();
  pen.lineWidth = 2.2;
  pen.beginPath();
  for (const { item, b } of group) {
    if (!item.lost) continue;
    for (const side of [5, -5]) {
      pen.moveTo(b.x - 5, b.y - side);
      pen.lineTo(b.x + 5, b.y + side);
    }
  }
  pen.stroke();
}

// What moments look like, around (0, 0).
const SIGNS = {
  Edit: (pen) => { pen.arc(0, 0, 4, 0, 7); pen.fill(); },
  Connect: (pen) => { pen.arc(0, 0, 4, 0, 7); pen.stroke(); },
  Close: (pen) => { pen.rect(-4, -4, 8, 8); pen.stroke(); },
  Tick: (pen) => { pen.rect(-4, -0.5, 8, 1); pen.fill(); },
  Crash: (pen) => { for (const side of [-1, 1]) { pen.moveTo(-7, -7 * side); pen.lineTo(7, 7 * side); } pen.lineWidth = 4; pen.stroke(); },
  Restart: (pen) => { pen.moveTo(-6, -6); pen.lineTo(7, 0); pen.lineTo(-6, 6); pen.fill(); },
  Event: (pen) => { pen.moveTo(0, -5); pen.lineTo(5, 0); pen.lineTo(0, 5); pen.lineTo(-5, 0); pen.fill(); },
  Note: (pen) => { pen.rect(-3, -3, 6, 6); pen.fill(); },
};

function drawMoment(pen, { item, a }, strength, marked = false) {
  pen.save();
  pen.translate(a.x, a.y);
  if (marked) pen.scale(1.6, 1.6);
  pen.globalAlpha = strength;
  pen.strokeStyle = pen.fillStyle = colours[item.group];
  pen.lineWidth = 2;
  pen.beginPath();
  SIGNS[item.kind](pen);
  pen.restore();
}

const short = (text, room) => {
  const letters = Math.max(Math.floor(room / letter), 1);
  return text.length <= letters ? text : `${text.slice(0, Math.max(letters - 1, 0))}…`;
};

// Takes the room for a label, unless another has some of it.
function take(taken, x, y, wide) {
  const rows = [Math.floor((y - LABEL / 2) / LABEL), Math.floor((y + LABEL / 2 - 1) / LABEL)];
  const free = (row) => (taken.get(row) || []).every(([from, to, at]) => to < x || x + wide < from || Math.abs(at - y) >= LABEL);
  if (!rows.every(free)) return false;
  for (const row of new Set(rows)) taken.set(row, [...(taken.get(row) || []), [x - 6, x + wide + 6, y]]);
  return true;
}

function drawLabel(pen, { item, a, b }, width, height, taken, isMarked = false) {
  if (item.kind === "Tick" || !item.text) return;
  const room = item.arrow ? Math.max(Math.abs(b.x - a.x) - 18, 110) : Math.max(laneWidth(width) - 16, 110);
  const text = short(item.text, room), wide = text.length * letter;
  const spots = item.arrow ? [0.5, 0.35, 0.65, 0.2, 0.8].map((part) => [a.x + (b.x - a.x) * part - wide / 2, a.y + (b.y - a.y) * part]) : [[a.x + 9, a.y]];
  for (let [x, y] of spots) {
    x = Math.min(Math.max(x, GUTTER), width - wide - 4);
    if (y < 4 || y > height - 4 || !take(taken, x, y, wide)) continue;
    pen.globalAlpha = 0.88;
    pen.fillStyle = colours.ground;
    pen.fillRect(x - 3, y - LABEL / 2, wide + 6, LABEL);
    pen.globalAlpha = 1;
    pen.fillStyle = item.failed ? colours.red : colours[item.group];
    pen.textAlign = "left";
    pen.fillText(text, x, y + 0.5);
    if (isMarked) { pen.strokeStyle = pen.fillStyle; pen.lineWidth = 1; pen.strokeRect(x - 3, y - LABEL / 2 - 1, wide + 6, LABEL + 2); }
    return;
  }
}

// The whole run beside the picture: how much happened when, and the window.
function drawOverview() {
  const [pen, width, height] = fit(overview), [low, high] = axis().range();
  const y = (value) => ((value - low) / (high - low)) * height;
  const counts = new Float64Array(Math.max(Math.ceil(height / 2), 1)), found = new Float64Array(counts.length);
  for (const item of items) {
    if (!isShown(item)) continue;
    const row = Math.min(Math.max(Math.floor(y(axis().of(item.start)) / 2), 0), counts.length - 1);
    counts[row] += 1;
    if (choice.terms.length && isMatch(item)) found[row] += 1;
  }
  for (const shade of story.shades) {
    pen.fillStyle = shade.lane === null ? colours.shade : colours.down;
    const top = y(axis().at(shade.from));
    pen.fillRect(shade.lane === null ? 0 : width - 14, top, shade.lane === null ? width : 14, Math.max(y(axis().at(shade.until)) - top, 1));
  }
  const most = Math.max(...counts, 1);
  counts.forEach((count, row) => {
    pen.fillStyle = colours.faint;
    if (count) pen.fillRect(0, row * 2, Math.max((Math.sqrt(count / most)) * (width - 8), 1), 1.5);
    pen.fillStyle = colours.accent;
    if (found[row]) pen.fillRect(0, row * 2, width, 2);
  });
  for (const item of items) {
    if (item.kind !== "Crash") continue;
    pen.fillStyle = colours.crash;
    pen.fillRect(width - 14, y(axis().of(item.start)) - 1, 14, 2);
  }
  if (verdict) {
    pen.fillStyle = colours.red;
    pen.fillRect(0, y(axis().of(verdict.point)) - 1.5, width, 3);
  }
  const top = y(view.from), tall = Math.max(y(view.to) - top, 4);
  pen.fillStyle = colours.window;
  pen.fillRect(0, top, width, tall);
  pen.strokeStyle = colours.accent;
  pen.lineWidth = 1.5;
  pen.strokeRect(1, top + 0.75, width - 2, Math.max(tall - 1.5, 2));
}
