// From raw measurements to the network's input, as predict does it (see deploy/preparation.py).

const NUMBER = /^[ \t-\r]*[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?[ \t-\r]*$/;
const LIMIT = /^\s*([<>]=?|LESS THAN|GREATER THAN)/i;

const REPAIRS = {
  fraction: (value) => (value > 1 ? value / 100 : value),
  percent: (value) => (value <= 1 ? value * 100 : value),
  ph: (value) => (value < 60 ? value : value >= 600 ? value / 100 : value / 10),
  celsius: (value) => (value >= 79 ? ((value - 32) * 5) / 9 : value),
  centimetres: (value) => (value <= 3 ? value * 100 : value > 300 ? value / 2.54 : value),
};

function numberOf(text) {
  return NUMBER.test(text) ? Number(text) : NaN;
}

function trimmed(text) {
  return text.replace(/^ +| +$/g, "");
}

function isMissing(preparation, text) {
  return preparation.missing.includes(text.replace(/^[ \t\r\n\u00a0]+|[ \t\r\n\u00a0]+$/g, "").toLowerCase());
}

// What a text means: {value}, or {why} it is left out: missing, unreadable, size, below, above.
function cleaned(preparation, measure, text) {
  const plain = trimmed(text);
  if (plain === "") return { why: "missing" };
  const read = measure.categories.length ? categoryOf(measure, plain, true) : quantityOf(preparation, measure, plain);
  return read.why === "unreadable" && isMissing(preparation, plain) ? { why: "missing" } : read;
}

function quantityOf(preparation, measure, text) {
  const number = numberOf(measure.rule === "limit" ? text.replace(LIMIT, "") : text);
  const value = measure.rule in REPAIRS ? REPAIRS[measure.rule](number) : number;
  if (Number.isNaN(value)) return { why: "unreadable" };
  if (Math.abs(value) > preparation.largest) return { why: "size" };
  if (measure.low !== null && value < measure.low) return { why: "below" };
  if (measure.high !== null && value > measure.high) return { why: "above" };
  return { value };
}

function folded(text) {
  return text.trim().replace(/\s+/g, " ").toLowerCase();
}

// The category that a text means: by a name, else by a spelling, as it is written, else in other letters or as another
// form of a number, where that means but one; else as points. Facts count as they are written.
function categoryOf(measure, text, loose) {
  const number = numberOf(text);
  for (let tier = 0; tier < 3; tier++) {
    const words = measure.texts.filter((known) => known[2] === tier);
    const exact = words.find(([known]) => known === text);
    if (exact) return { value: exact[1] };
    if (!loose) continue;
    const meant = words.filter(([known]) => folded(known) === folded(text));
    meant.push(...measure.numbers.filter(([known, , own]) => own === tier && known === number));
    const categories = new Set(meant.map(([, category]) => category));
    if (categories.size === 1) return { value: meant[0][1] };
  }
  return { why: "unreadable" };
}

function inWindow(preparation, hours) {
  return hours > -preparation.tolerance_hours && hours < preparation.hours + preparation.tolerance_hours;
}

function hourOf(preparation, hours) {
  return Math.min(Math.trunc(hours - preparation.tolerance_hours), preparation.hours - 1);
}

// The hours of a stay: of each variable in each hour the last value; of several at one time that of the first name,
// then the largest; sums add up. events: {hours, variable, place, value}.
function gridOf(preparation, events) {
  const count = preparation.measures.length;
  const cells = new Array(preparation.hours * count).fill(null);
  const scales = new Map();
  for (const event of events) {
    if (!inWindow(preparation, event.hours)) continue;
    keep(preparation, cells, hourOf(preparation, event.hours) * count + event.variable, event);
    keepComponent(preparation, scales, event);
  }
  for (const [hours, scale] of scales) addTotal(preparation, cells, hours, scale);
  return cells;
}

function keep(preparation, cells, index, { hours, place, value, variable }) {
  const old = cells[index];
  if (old && preparation.measures[variable].summed) {
    cells[index] = { hours, place, value: old.value + value };
  } else if (!old || hours > old.hours || (hours === old.hours && wins({ place, value }, old))) {
    cells[index] = { hours, place, value };
  }
}

function wins(event, old) {
  return event.place < old.place || (event.place === old.place && event.value > old.value);
}

function keepComponent(preparation, scales, event) {
  const part = preparation.total ? preparation.total.components.indexOf(event.variable) : -1;
  if (part < 0) return;
  if (!scales.has(event.hours)) scales.set(event.hours, [null, null, null]);
  const scale = scales.get(event.hours);
  if (!scale[part] || wins(event, scale[part])) scale[part] = event;
}

// The total of the Glasgow coma scale, where all three components have one time and no total was measured then.
function addTotal(preparation, cells, hours, scale) {
  if (scale.includes(null)) return;
  const { variable, points } = preparation.total;
  const value = scale.reduce((sum, event, part) => sum + points[part][event.value], 0);
  const index = hourOf(preparation, hours) * preparation.measures.length + variable;
  if (!cells[index] || hours > cells[index].hours) cells[index] = { hours, place: 0, value };
}

// The input of the network, hours * features numbers, from what was measured in the first `until` hours.
function inputOf(preparation, cells, facts, until) {
  const { hours, features, measures } = preparation;
  const x = new Float64Array(hours * features.length);
  const known = measures.map((measure, index) => start(measure, facts[index]));
  for (let hour = 0; hour < hours; hour++) {
    measures.forEach((measure, index) => {
      if (measure.static) return;
      learn(known[index], measure, hour < until ? cells[hour * measures.length + index] : null, hour);
    });
    features.forEach((feature, index) => {
      const value = PARTS[feature.part](known[feature.variable], hour);
      x[hour * features.length + index] = Math.fround(scaled(feature, value));
    });
  }
  return x;
}

function start(measure, fact) {
  const normal = measure.normal === null ? 0 : measure.normal;
  const now = fact !== undefined ? fact : measure.categories.length ? -1 : normal;
  return { normal, now, latest: normal, measured: 0, last: 0, lowest: normal, highest: normal, sum: 0, count: 0 };
}

function learn(state, measure, cell, hour) {
  state.measured = cell ? 1 : 0;
  state.now = measure.summed ? state.normal : state.latest;
  if (!cell) return;
  state.now = state.latest = cell.value;
  state.last = hour;
  state.lowest = state.count && state.lowest < cell.value ? state.lowest : cell.value;
  state.highest = state.count && state.highest > cell.value ? state.highest : cell.value;
  state.sum += cell.value;
  state.count += 1;
}

const PARTS = {
  value: (state) => state.now,
  static: (state) => state.now,
  mask: (state) => state.measured,
  delta: (state, hour) => Math.log1p(hour - state.last),
  min: (state) => state.lowest,
  max: (state) => state.highest,
  mean: (state) => (state.count ? state.sum / state.count : state.normal),
};

function scaled(feature, value) {
  if (feature.category >= 0) return ((value === feature.category ? 1 : 0) - feature.mean) / feature.std;
  return ((feature.log ? Math.log1p(Math.max(value, 0)) : value) - feature.mean) / feature.std;
}
