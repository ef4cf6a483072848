// What is shown: the stays, and of one stay its risk, what it means and what it rests on.

function node(name, attributes, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

// words("key", {places}) gives a text of the page; words.label(name) the name of a variable, unit or category.
function wordsOf(strings) {
  const words = (key, places) => strings[key].replace(/\{(\w+)\}/g, (_, name) => places[name]);
  words.label = (name) => strings.labels[name] || name;
  return words;
}

const MODEL = JSON.parse(document.getElementById("model").textContent);
const PREPARATION = MODEL.preparation;
const NETWORK = new Network(MODEL.program);
const WORDS = wordsOf(MODEL.strings);
const LISTED = 500; // stays, and values left out, in a table
const PRINTED = 12; // values left out, on paper
const BATCH = 20; // stays between two signs of life

const state = { stays: [], ignored: new Map(), lost: [], work: 0 };

function percent(risk, digits = 1) {
  const form = { style: "percent", minimumFractionDigits: digits, maximumFractionDigits: digits };
  return new Intl.NumberFormat(MODEL.strings.language, form).format(risk);
}

function points(change) {
  const form = { minimumFractionDigits: 1, maximumFractionDigits: 1, signDisplay: "exceptZero" };
  return WORDS("points", { value: new Intl.NumberFormat(MODEL.strings.language, form).format(100 * change) });
}

function riskOf(events, facts, until) {
  return NETWORK.risk(inputOf(PREPARATION, gridOf(PREPARATION, events), facts, until));
}

// Compute what the list of stays needs.
function summarise(stay) {
  const cells = gridOf(PREPARATION, stay.events);
  const count = PREPARATION.measures.length;
  const hours = new Array(count).fill(0);
  let missing = 0;
  for (let hour = 0; hour < PREPARATION.hours; hour++) {
    const row = cells.slice(hour * count, (hour + 1) * count);
    row.forEach((cell, index) => (hours[index] += cell ? 1 : 0));
    missing += row.every((cell) => !cell) ? 1 : 0;
  }
  const measured = hours.some((number) => number > 0);
  const never = PREPARATION.measures.filter((measure, index) => !measure.static && !hours[index]);
  stay.hours = hours;
  stay.never = never.map((measure) => measure.name);
  stay.warning = 2 * missing > PREPARATION.hours ? WORDS("warning", { missing, hours: PREPARATION.hours }) : "";
  stay.risk = measured ? NETWORK.risk(inputOf(PREPARATION, cells, stay.facts, PREPARATION.hours)) : NaN;
}

// Compute all stays, some at a time, so that the page stays alive; work begun later ends this one.
function compute(stays, done) {
  const work = ++state.work;
  const status = document.getElementById("status");
  let next = 0;
  const some = () => {
    if (work !== state.work) return;
    for (const end = Math.min(next + BATCH, stays.length); next < end; next++) summarise(stays[next]);
    if (next === stays.length) return done();
    status.className = "";
    status.textContent = WORDS("working", { done: next, all: stays.length });
    setTimeout(some, 0);
  };
  some();
}

function useStays({ stays, ignored, lost }) {
  showFault(null);
  clearShown();
  state.stays = stays;
  state.ignored = ignored;
  state.lost = lost;
  compute(stays, () => {
    listStays();
    showStay(stays[0]);
  });
}

function useTyped(typing) {
  const stay = typing.stay();
  state.stays = [stay];
  state.ignored = new Map();
  state.lost = [];
  showFault(null);
  compute([stay], () => {
    document.getElementById("stays").replaceChildren();
    showStay(stay);
  });
}

function clearShown() {
  state.work++;
  state.stays = [];
  state.ignored = new Map();
  state.lost = [];
  document.getElementById("stays").replaceChildren();
  document.getElementById("stay").replaceChildren();
  document.getElementById("now").textContent = "";
  document.getElementById("status").textContent = WORDS("result_none");
  document.getElementById("status").className = "";
}

function showFault(fault) {
  const place = document.getElementById("fault");
  if (!fault) return place.replaceChildren();
  clearShown();
  place.replaceChildren(node("p", { class: "fault" }, `${WORDS("fault")} ${WORDS(fault.key, fault.facts)}`));
}

// The texts of one or two files: a table of events, and perhaps one of stays.
function useTexts(texts) {
  try {
    const isEvents = (text) => /(^|,)\s*"?variable"?\s*(,|$)/i.test(text.slice(0, 5000).split(/[\r\n]/)[0]);
    const events = texts.length === 1 ? texts[0] : texts.find(isEvents);
    if (events === undefined) throw new Fault("fault_events", {});
    const found = staysOf(PREPARATION, events);
    for (const text of texts) {
      if (text === events) continue;
      const facts = factsOf(PREPARATION, text);
      for (const stay of found.stays) stay.facts = facts.get(stay.id) || [];
    }
    useStays(found);
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
    showFault(error);
  }
}

function useFiles(files) {
  if (files.length) Promise.all([...files].map((file) => file.text())).then(useTexts);
}

// The list of stays.

function listStays() {
  const place = document.getElementById("stays");
  if (state.stays.length < 2) return place.replaceChildren();
  const [count, shown] = [state.stays.length, LISTED];
  const rows = state.stays.slice(0, LISTED).map(stayRow);
  const heads = ["stay_column", "risk", "never", "left_out"].map((key) => node("th", { scope: "col" }, WORDS(key)));
  const table = node("table", {}, node("thead", {}, node("tr", {}, ...heads)), node("tbody", {}, ...rows));
  const region = { class: "scroll list", role: "region", tabindex: 0, "aria-label": WORDS("stays_done", { count }) };
  const more = count > LISTED ? [node("p", {}, WORDS("stays_shown", { shown, count }))] : [];
  place.replaceChildren(node("div", region, table), ...more, saveButton());
}

function stayRow(stay) {
  const open = node("button", { type: "button" }, stay.id);
  open.addEventListener("click", () => {
    showStay(stay);
    document.getElementById("stay").querySelector("h3").focus();
  });
  const risk = Number.isNaN(stay.risk) ? "–" : percent(stay.risk);
  const numbers = [risk, stay.never.length, stay.left.length].map((text) => node("td", {}, String(text)));
  return node("tr", { "data-stay": stay.id }, node("th", { scope: "row" }, open), ...numbers);
}

// One stay in full.

function showStay(stay) {
  for (const row of document.querySelectorAll("[data-stay]")) {
    if (row.dataset.stay === stay.id) row.setAttribute("aria-current", "true");
    else row.removeAttribute("aria-current");
  }
  const count = state.stays.length;
  const none = count === 1 && Number.isNaN(stay.risk) && !stay.left.length && stay.id === "";
  const brief = Number.isNaN(stay.risk) ? "" : `${WORDS("risk")}: ${percent(stay.risk)}`;
  const status = document.getElementById("status");
  status.textContent = none ? WORDS("result_none") : count > 1 ? WORDS("stays_done", { count }) : brief;
  status.className = count === 1 && brief ? "heard" : ""; // it is seen below
  document.getElementById("now").textContent = stay.id === "" ? brief : "";
  const place = document.getElementById("stay");
  if (none) return place.replaceChildren();
  const title = node("h3", { tabindex: -1 }, stay.id === "" ? WORDS("typed") : WORDS("stay", { id: stay.id }));
  if (Number.isNaN(stay.risk)) {
    const unknown = node("p", { class: "risk none" }, WORDS("risk_unknown", { hours: PREPARATION.hours }));
    return place.replaceChildren(title, unknown, ...leftOut(stay), ...tools());
  }
  const parts = [...headline(stay), ...byHour(stay), ...moved(stay), ...never(stay), ...leftOut(stay)];
  place.replaceChildren(title, ...parts, ...tools());
}

function headline(stay) {
  const whole = Math.round(100 * stay.risk);
  const risk = node("p", { class: "risk" }, `${WORDS("risk")}: `, node("strong", { "data-risk": stay.risk }, percent(stay.risk)));
  const meaning = node("p", {}, [WORDS("meaning", { count: whole }), prevalence(), threshold(stay)].join(" "));
  const warning = stay.warning ? [node("p", { class: "warning" }, stay.warning)] : [];
  return [risk, ...warning, hundred(whole, WORDS("hundred", { count: whole })), meaning];
}

function prevalence() {
  if (MODEL.prevalence === null) return WORDS("prevalence_unknown");
  return WORDS("prevalence", { count: Math.round(100 * MODEL.prevalence) });
}

function threshold(stay) {
  if (MODEL.threshold === null) return WORDS("threshold_none");
  const key = stay.risk >= MODEL.threshold ? "threshold_above" : "threshold_below";
  return WORDS(key, { threshold: percent(MODEL.threshold) });
}

function byHour(stay) {
  const risks = [];
  for (let until = 1; until <= PREPARATION.hours; until++) {
    const begun = stay.events.some((event) => hourOf(PREPARATION, event.hours) < until);
    risks.push(begun ? riskOf(stay.events, stay.facts, until) : NaN);
  }
  const marks = MODEL.prevalence === null ? [] : [{ risk: MODEL.prevalence, label: WORDS("by_hour_mark", { value: percent(MODEL.prevalence, 0) }) }];
  const curve = riskCurve(risks, marks, WORDS("by_hour"), WORDS("by_hour_axis"), (risk) => percent(risk, 0));
  const rows = risks.map((risk, index) => {
    const text = Number.isNaN(risk) ? "–" : percent(risk);
    return node("tr", {}, node("th", { scope: "row" }, String(index + 1)), node("td", { "data-risk": risk }, text));
  });
  const heads = node("tr", {}, node("th", { scope: "col" }, WORDS("hours_known")), node("th", { scope: "col" }, WORDS("risk")));
  const table = node("table", {}, node("thead", {}, heads), node("tbody", {}, ...rows));
  const details = node("details", { class: "screen" }, node("summary", {}, WORDS("by_hour_table")), table);
  return [node("h4", {}, WORDS("by_hour")), node("p", { class: "help" }, WORDS("by_hour_help")), curve, details];
}

function moved(stay) {
  const measured = PREPARATION.measures.flatMap((measure, index) => (stay.events.some((event) => event.variable === index) ? [index] : []));
  const changes = measured.map((index) => {
    const rest = stay.events.filter((event) => event.variable !== index);
    const without = riskOf(rest, stay.facts, PREPARATION.hours);
    return { index, without, change: stay.risk - without };
  });
  changes.sort((a, b) => Math.abs(b.change) - Math.abs(a.change));
  const most = Math.max(...changes.map(({ change }) => Math.abs(change)));
  const rows = changes.map(({ index, without, change }) => {
    const name = node("th", { scope: "row" }, WORDS.label(PREPARATION.measures[index].name));
    const amount = node("td", { "data-without": without }, movedBar(change, most), ` ${points(change)}`);
    return node("tr", {}, name, amount, node("td", {}, percent(without)), node("td", {}, String(stay.hours[index])));
  });
  const heads = ["variable", "moved_by", "without", "measured_hours"].map((key) => node("th", { scope: "col" }, WORDS(key)));
  const table = node("table", { class: "moved" }, node("thead", {}, node("tr", {}, ...heads)), node("tbody", {}, ...rows));
  const region = node("div", { class: "scroll", role: "region", tabindex: 0, "aria-label": WORDS("moved") }, table);
  return [node("h4", {}, WORDS("moved")), node("p", { class: "help" }, WORDS("moved_help")), region];
}

function never(stay) {
  const names = stay.never.map((name) => WORDS.label(name)).join(", ");
  const text = names ? `${names}. ${WORDS("never_help")}` : WORDS("never_none");
  return [node("h4", {}, WORDS("never")), node("p", { id: "never" }, text)];
}

function leftOut(stay) {
  const ignored = [...state.ignored].map(([name, count]) => `${name} (${count})`).join(", ");
  const note = ignored ? [node("p", { id: "ignored" }, WORDS("ignored", { names: ignored }))] : [];
  const [row] = state.lost;
  if (row) note.push(node("p", { id: "lost" }, WORDS("lost", { count: state.lost.length, row })));
  const title = node("h4", {}, WORDS("left_out"));
  if (!stay.left.length) return [title, node("p", {}, WORDS("left_none")), ...note];
  const rows = stay.left.slice(0, LISTED).map((left) => {
    const where = left.line ? ` (${WORDS("row", { row: left.line })})` : "";
    const cells = [String(left.hours), left.text, reasonOf(left) + where].map((text) => node("td", {}, text));
    return node("tr", {}, node("th", { scope: "row" }, WORDS.label(left.name)), ...cells);
  });
  const heads = ["variable", "time", "value", "reason"].map((key) => node("th", { scope: "col" }, WORDS(key)));
  const table = node("table", { id: "left" }, node("thead", {}, node("tr", {}, ...heads)), node("tbody", {}, ...rows));
  const region = node("div", { class: "scroll", role: "region", tabindex: 0, "aria-label": WORDS("left_out") }, table);
  const count = node("p", {}, WORDS("left_count", { count: stay.left.length }));
  const shown = [[LISTED, "screen"], [PRINTED, "print"]].filter(([most]) => stay.left.length > most);
  const more = shown.map(([most, kind]) => node("p", { class: kind }, WORDS("left_shown", { shown: most })));
  return [title, count, region, ...more, ...note];
}

function reasonOf({ why, measure }) {
  const limit = why === "below" ? measure.low : measure.high;
  return WORDS(`why_${why}`, { limit, hours: PREPARATION.hours });
}

// Saving and printing.

function tools() {
  const print = node("button", { type: "button" }, WORDS("print"));
  print.addEventListener("click", () => window.print());
  const buttons = state.stays.length > 1 ? [print] : [saveButton(), print];
  return [node("p", { class: "tools screen" }, ...buttons)];
}

function saveButton() {
  const save = node("button", { type: "button", class: "save" }, WORDS("save"));
  save.addEventListener("click", () => {
    const link = node("a", { download: "risk.csv", href: URL.createObjectURL(new Blob([asCsv()], { type: "text/csv" })) });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  });
  return save;
}

// The columns of predict, and how many values were left out.
function asCsv() {
  const quoted = (text) => (/[",\n\r]/.test(text) ? `"${text.replace(/"/g, '""')}"` : text);
  const reason = `no_events_in_window (needs an event in the first ${PREPARATION.hours} hours)`;
  const rows = state.stays.map((stay) => {
    const said = [stay.risk.toFixed(6), stay.never.join(";"), stay.warning, ""];
    const cells = Number.isNaN(stay.risk) ? ["", "", "", reason] : said;
    return [stay.id, ...cells, String(stay.left.length)].map(quoted).join(",");
  });
  return ["stay_id,risk,never_measured,warning,reason,left_out", ...rows, ""].join("\n");
}

function begin() {
  let waiting = 0;
  const typing = new Typing(PREPARATION, WORDS, () => {
    clearTimeout(waiting);
    waiting = setTimeout(() => useTyped(typing), 150);
  });
  document.getElementById("example").addEventListener("click", () => typing.fill(MODEL.example));
  const file = document.getElementById("file");
  file.addEventListener("change", () => useFiles(file.files));
  file.addEventListener("click", () => (file.value = ""));
  document.getElementById("use-pasted").addEventListener("click", () => useTexts([document.getElementById("pasted").value]));
  document.addEventListener("dragover", (event) => event.preventDefault());
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    useFiles(event.dataTransfer.files);
  });
}

begin();
