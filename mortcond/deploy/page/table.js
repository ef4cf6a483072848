// A table of events as text -> stays with their measurements; what cannot be used is told by its row.

function Fault(key, facts) {
  this.key = key;
  this.facts = facts;
}

// Cut CSV into rows of cells; each row knows its line, counted as an editor does.
function rowsOf(text) {
  const rows = [];
  let [cells, cell, quoted, wasQuoted, line, first] = [[], "", false, false, 1, 1];
  const endRow = () => {
    cells.push(cell);
    if (cells.length > 1 || cell !== "" || wasQuoted) rows.push({ line: first, cells });
    [cells, cell, wasQuoted] = [[], "", false];
  };
  for (let i = text.charCodeAt(0) === 0xfeff ? 1 : 0; i < text.length; i++) {
    const c = text[i];
    if (c === "\n" || (c === "\r" && text[i + 1] !== "\n")) line++;
    if (quoted) {
      if (c !== '"') cell += c;
      else if (text[i + 1] === '"') cell += text[++i];
      else quoted = false;
    } else if (c === '"' && cell === "") {
      quoted = wasQuoted = true;
    } else if (c === ",") {
      cells.push(cell);
      cell = "";
    } else if (c === "\r" && text[i + 1] === "\n") {
      continue;
    } else if (c === "\n" || c === "\r") {
      endRow();
      first = line;
    } else {
      cell += c;
    }
  }
  if (quoted) throw new Fault("fault_quote", { row: first });
  endRow();
  return rows;
}

// The rows as objects by lower-case column name; wanted: the columns that must be there.
function tableOf(text, wanted) {
  if (/[\0\uFFFD]/.test(text)) throw new Fault("fault_binary", {});
  const [head, ...rows] = rowsOf(text);
  if (!head) throw new Fault("fault_empty", {});
  const names = head.cells.map((name) => name.trim().toLowerCase());
  const missing = wanted.filter((name) => !names.includes(name));
  const found = names.join(", ").slice(0, 200);
  if (missing.length) throw new Fault("fault_columns", { columns: missing.join(", "), found });
  return rows.map(({ line, cells }) => {
    const counts = { row: line, cells: cells.length, wanted: names.length };
    if (cells.length !== names.length) throw new Fault("fault_cells", counts);
    const row = { line };
    names.forEach((name, index) => (row[name] = cells[index].trim()));
    return row;
  });
}

// A whole number as its digits; one that may have lost digits is none.
function idOf(row) {
  const text = row.stay_id;
  const fault = new Fault("fault_id", { row: row.line, text });
  const digits = /^([-+]?)0*([0-9]+)$/.exec(text);
  if (digits) {
    const id = BigInt((digits[1] === "-" ? "-" : "") + digits[2]);
    if (BigInt.asIntN(64, id) !== id) throw fault;
    return String(id);
  }
  const value = numberOf(text);
  const most = /e/i.test(text) ? 1e11 : 2 ** 53;
  if (!Number.isInteger(value) || Math.abs(value) >= most) throw fault;
  return String(value);
}

function byNumber(a, b) {
  const [x, y] = [BigInt(a.id), BigInt(b.id)];
  return x < y ? -1 : x > y ? 1 : 0;
}

function newStay(id) {
  return { id, events: [], left: [], facts: [] };
}

// Take one measurement into a stay: kept, or left out with the reason.
function take(preparation, stay, source, hours, text, line) {
  const measure = preparation.measures[source.variable];
  const { value, why } = cleaned(preparation, measure, text);
  if (why === "missing") return;
  const reason = why || (inWindow(preparation, hours) ? "" : "outside");
  if (reason) stay.left.push({ name: source.name, hours, text: trimmed(text), line, why: reason, measure });
  else stay.events.push({ hours, variable: source.variable, place: source.place, value });
}

// A unit, where one is written, must be the variable's own: others are converted by mortcond, and not here.
function refuseOthers(preparation, source, row) {
  const { unit } = preparation.measures[source.variable];
  if (row.text && !isMissing(preparation, row.text)) throw new Fault("fault_text", { row: row.line });
  if (!row.unit || isMissing(preparation, row.unit) || !unit || folded(row.unit) === folded(unit)) return;
  throw new Fault("fault_unit", { row: row.line, text: row.unit, unit });
}

// A table of events (stay_id, hours, variable, value) -> {stays, sorted by id; ignored: counts of names unknown; lost:
// rows without a place}. A row without a value only tells that its stay is there.
function staysOf(preparation, text) {
  const known = new Map(preparation.sources.map((source) => [source.name, source]));
  const stays = new Map();
  const [ignored, lost] = [new Map(), []];
  let used = 0;
  for (const row of tableOf(text, ["stay_id", "hours", "variable", "value"])) {
    const id = isMissing(preparation, row.stay_id) ? null : idOf(row);
    if (id !== null && !stays.has(id)) stays.set(id, newStay(id));
    const placed = id !== null && row.variable !== "" && !isMissing(preparation, row.hours);
    const hours = numberOf(row.hours);
    if (!isMissing(preparation, row.hours) && !Number.isFinite(hours)) {
      throw new Fault("fault_hours", { row: row.line, text: row.hours });
    }
    if (row.value === "") continue;
    if (!placed) {
      lost.push(row.line);
    } else if (known.has(row.variable)) {
      refuseOthers(preparation, known.get(row.variable), row);
      take(preparation, stays.get(id), known.get(row.variable), hours, row.value, row.line);
      used++;
    } else {
      ignored.set(row.variable, (ignored.get(row.variable) || 0) + 1);
    }
  }
  if (!used) throw new Fault("fault_nothing", {});
  return { stays: [...stays.values()].sort(byNumber), ignored, lost };
}

// A table of stays (stay_id and facts such as age, sex) -> facts by stay.
function factsOf(preparation, text) {
  const rows = tableOf(text, ["stay_id"]);
  return new Map(rows.map((row) => [idOf(row), factsFrom(preparation, (name) => row[name] || "", row.line)]));
}

// Facts by the index of their variable; what is not known has none, nor has a unit of care that is no category.
function factsFrom(preparation, textOf, line) {
  const facts = [];
  preparation.measures.forEach((measure, index) => {
    const text = measure.static ? textOf(measure.name) : "";
    if (isMissing(preparation, text)) return;
    const value = measure.categories.length ? categoryOf(measure, text, false).value : numberOf(text);
    if (Number.isFinite(value)) facts[index] = value;
    else if (measure.name !== "icu_type") throw new Fault("fault_fact", { row: line, name: measure.name, text });
  });
  return facts;
}
