// The hourly table: what is typed is kept by hour and variable; some hours are shown at a time.

function Typing(preparation, words, changed) {
  this.preparation = preparation;
  this.words = words;
  this.changed = changed;
  this.typed = new Map(); // "hour variable" -> text
  this.first = 0;
  this.count = window.innerWidth < 600 ? 2 : window.innerWidth < 1100 ? 6 : 8;
  this.table = document.getElementById("grid");
  this.shown = document.getElementById("shown");
  this.fillShown();
  this.shown.addEventListener("change", () => this.show(Number(this.shown.value)));
  document.getElementById("before").addEventListener("click", () => this.show(this.first - this.count));
  document.getElementById("after").addEventListener("click", () => this.show(this.first + this.count));
  document.getElementById("clear").addEventListener("click", () => this.fill([]));
  this.table.addEventListener("input", (event) => this.take(event.target));
  this.table.addEventListener("keydown", (event) => this.move(event));
  for (const input of this.factInputs()) input.addEventListener("input", this.changed);
  this.show(0);
}

Typing.prototype.factInputs = function () {
  return [...document.querySelectorAll("[data-fact]")];
};

Typing.prototype.fillShown = function () {
  for (let first = 0; first < this.preparation.hours; first += this.count) {
    const last = Math.min(first + this.count, this.preparation.hours);
    this.shown.append(node("option", { value: first }, this.words("hours_range", { first: first + 1, last })));
  }
};

Typing.prototype.show = function (first) {
  if (first < 0 || first >= this.preparation.hours) return;
  this.first = first;
  this.shown.value = String(first);
  document.getElementById("before").disabled = first === 0;
  document.getElementById("after").disabled = first + this.count >= this.preparation.hours;
  const hours = [];
  for (let hour = first; hour < Math.min(first + this.count, this.preparation.hours); hour++) hours.push(hour);
  const heads = hours.map((hour) => node("th", { scope: "col" }, this.words("hour", { hour: hour + 1 })));
  const head = node("tr", {}, node("th", { scope: "col" }, this.words("variable")), ...heads);
  const body = this.preparation.measures.flatMap((measure, index) => (measure.static ? [] : [this.row(measure, index, hours)]));
  this.table.replaceChildren(node("thead", {}, head), node("tbody", {}, ...body));
};

Typing.prototype.row = function (measure, index, hours) {
  const label = this.words.label(measure.name);
  const unit = measure.unit && measure.unit !== "1" ? ` (${this.words.label(measure.unit)})` : "";
  const range = node("span", { class: "range" }, rangeOf(this.words, measure));
  const cells = hours.map((hour) => node("td", {}, this.cell(measure, index, hour)));
  return node("tr", {}, node("th", { scope: "row" }, label + unit, range), ...cells);
};

function rangeOf(words, measure) {
  const [low, high] = [measure.low, measure.high];
  if (low !== null && high !== null) return words("range", { low, high });
  if (low !== null) return words("range_from", { low });
  return high !== null ? words("range_to", { high }) : "";
}

Typing.prototype.cell = function (measure, index, hour) {
  const name = this.words("cell", { variable: this.words.label(measure.name), hour: hour + 1 });
  const value = this.typed.get(`${hour} ${index}`) || "";
  const facts = { "aria-label": name, "data-hour": hour, "data-variable": index };
  if (!measure.categories.length) {
    const input = node("input", { ...facts, inputmode: "decimal", autocomplete: "off", size: 5 });
    input.value = value;
    this.mark(input);
    return input;
  }
  const options = measure.categories.map((text) => node("option", { value: text }, this.words.label(text)));
  const select = node("select", facts, node("option", { value: "" }, ""), ...options);
  select.value = value;
  return select;
};

// Say at once, by frame and for screen readers, that a value cannot count.
Typing.prototype.mark = function (input) {
  const measure = this.preparation.measures[Number(input.dataset.variable)];
  const { why } = cleaned(this.preparation, measure, input.value);
  if (why && why !== "missing") input.setAttribute("aria-invalid", "true");
  else input.removeAttribute("aria-invalid");
};

Typing.prototype.take = function (input) {
  const key = `${input.dataset.hour} ${input.dataset.variable}`;
  if (input.value.trim() === "") this.typed.delete(key);
  else this.typed.set(key, input.value);
  this.mark(input);
  this.changed();
};

Typing.prototype.move = function (event) {
  const { target, key } = event;
  const vertical = { ArrowDown: 1, Enter: 1, ArrowUp: -1 }[key];
  const edge = target.tagName === "INPUT" && target.value === "";
  const horizontal = edge ? { ArrowRight: 1, ArrowLeft: -1 }[key] : undefined;
  if (event.altKey || event.ctrlKey || event.metaKey || (!vertical && !horizontal)) return;
  if (target.tagName === "SELECT" && key !== "Enter") return;
  const cell = target.closest("td");
  const rows = [...this.table.tBodies[0].rows];
  const row = rows[rows.indexOf(cell.parentElement) + (vertical || 0)];
  const next = row && row.cells[cell.cellIndex + (horizontal || 0)];
  const input = next && next.querySelector("input, select");
  if (!input) return;
  event.preventDefault();
  input.focus();
};

Typing.prototype.fill = function (cells) {
  this.typed = new Map(cells.map(([hour, variable, text]) => [`${hour} ${variable}`, text]));
  if (!cells.length) for (const input of this.factInputs()) input.value = "";
  this.show(0);
  this.changed();
};

// The typed patient; a value counts as measured at the end of its hour.
Typing.prototype.stay = function () {
  const stay = newStay("");
  for (const [key, text] of this.typed) {
    const [hour, variable] = key.split(" ").map(Number);
    const { name } = this.preparation.measures[variable];
    take(this.preparation, stay, { name, variable, place: 0 }, hour + 1, text, 0);
  }
  const texts = Object.fromEntries(this.factInputs().map((input) => [input.dataset.fact, input.value.trim()]));
  for (const input of this.factInputs()) {
    const given = (name) => (name === input.dataset.fact ? texts[name] : "");
    try {
      Object.assign(stay.facts, factsFrom(this.preparation, given, 0));
      input.removeAttribute("aria-invalid");
    } catch (error) {
      if (!(error instanceof Fault)) throw error;
      input.setAttribute("aria-invalid", "true");
      stay.left.push({ name: error.facts.name, hours: "", text: error.facts.text, line: 0, why: "unreadable", measure: {} });
    }
  }
  return stay;
};
