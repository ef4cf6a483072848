// The network: a list of instructions, each of which makes one value of those before (see deploy/program.py).

function fromBase64(text) {
  const plain = atob(text);
  const bytes = new Uint8Array(plain.length);
  for (let i = 0; i < plain.length; i++) bytes[i] = plain.charCodeAt(i);
  return bytes.buffer;
}

// Weights as numbers: 32 bits, or 8 bits with a step for each output.
function weightsOf(constant) {
  if (!constant.steps) return new Float32Array(fromBase64(constant.data));
  const stored = new Int8Array(fromBase64(constant.data));
  const steps = new Float32Array(fromBase64(constant.steps));
  return Float32Array.from(stored, (weight, i) => weight * steps[i % steps.length]);
}

function Network(program) {
  this.hours = program.hours;
  this.shapes = program.shapes;
  this.output = program.output;
  this.instructions = program.instructions;
  this.constants = program.constants.map(weightsOf);
  this.values = this.shapes.map(([width, hours]) => new Float64Array(width * (hours ? this.hours : 1)));
}

// The risk of a stay, from hours * features numbers.
Network.prototype.risk = function (x) {
  this.values[0] = x;
  for (const instruction of this.instructions) this.run(instruction);
  return this.values[this.output][0];
};

Network.prototype.run = function (instruction) {
  OPERATIONS[instruction.operation](this, instruction, this.values[instruction.out]);
};

Network.prototype.rows = function (value) {
  return this.shapes[value][1] ? this.hours : 1;
};

// A number of a value by row and column; one column, and one row, stand for all.
Network.prototype.reader = function (value) {
  const [width, hours] = this.shapes[value];
  const numbers = this.values[value];
  return (row, column) => numbers[(hours ? row * width : 0) + (width === 1 ? 0 : column)];
};

function larger(a, b) {
  return a > b || a !== a ? a : b;
}

function smaller(a, b) {
  return a < b || a !== a ? a : b;
}

function eachNumber(compute) {
  return (network, instruction, out) => {
    const x = network.values[instruction.inputs[0]];
    for (let i = 0; i < out.length; i++) out[i] = compute(x[i]);
  };
}

function eachPlace(network, instruction, out, compute) {
  const width = network.shapes[instruction.out][0];
  for (let row = 0; row < network.rows(instruction.out); row++) {
    for (let column = 0; column < width; column++) out[row * width + column] = compute(row, column);
  }
}

function ofTwo(compute) {
  return (network, instruction, out) => {
    const values = [...instruction.inputs];
    const constants = [...instruction.constants];
    const [a, b] = instruction.facts.sides.map((side) => {
      if (side === "value") return network.reader(values.shift());
      if (typeof side === "number") return () => side;
      const numbers = network.constants[constants.shift()];
      if (side === "constant") return (row, column) => numbers[column];
      const width = numbers.length / network.hours; // an hourly one
      return (row, column) => numbers[width === 1 ? row : row * width + column];
    });
    eachPlace(network, instruction, out, (row, column) => compute(a(row, column), b(row, column)));
  };
}

function choose(network, instruction, out) {
  const [condition, x, other] = instruction.inputs.map((value) => network.reader(value));
  eachPlace(network, instruction, out, (row, column) => (condition(row, column) > 0 ? x : other)(row, column));
}

function overHours(compute) {
  return (network, instruction, out) => {
    const x = network.values[instruction.inputs[0]];
    const column = new Float64Array(network.hours);
    for (let j = 0; j < out.length; j++) {
      for (let hour = 0; hour < network.hours; hour++) column[hour] = x[hour * out.length + j];
      out[j] = compute(column);
    }
  };
}

function total(numbers) {
  return numbers.reduce((sum, x) => sum + x, 0);
}

function deviation(numbers) {
  const mean = total(numbers) / numbers.length;
  return Math.sqrt(total(numbers.map((x) => (x - mean) * (x - mean))) / numbers.length);
}

function linear(network, instruction, out) {
  const [source] = instruction.inputs;
  const inputs = network.shapes[source][0];
  const outputs = network.shapes[instruction.out][0];
  const x = network.values[source];
  const kernel = network.constants[instruction.constants[0]];
  const bias = network.constants[instruction.constants[1]];
  for (let row = 0; row < network.rows(instruction.out); row++) {
    for (let j = 0; j < outputs; j++) out[row * outputs + j] = bias ? bias[j] : 0;
    for (let i = 0; i < inputs; i++) {
      const factor = x[row * inputs + i];
      if (factor === 0) continue;
      for (let j = 0; j < outputs; j++) out[row * outputs + j] += factor * kernel[i * outputs + j];
    }
  }
}

function concatenate(network, instruction, out) {
  const width = network.shapes[instruction.out][0];
  let start = 0;
  for (const value of instruction.inputs) {
    const own = network.shapes[value][0];
    for (let row = 0; row < network.rows(instruction.out); row++) {
      for (let j = 0; j < own; j++) out[row * width + start + j] = network.values[value][row * own + j];
    }
    start += own;
  }
}

function columns(network, instruction, out) {
  const x = network.reader(instruction.inputs[0]);
  const chosen = instruction.facts.columns;
  eachPlace(network, instruction, out, (row, column) => x(row, chosen[column]));
}

function ofHour(network, instruction, out) {
  const { index } = instruction.facts;
  const start = (index < 0 ? network.hours + index : index) * out.length;
  out.set(network.values[instruction.inputs[0]].subarray(start, start + out.length));
}

function differs(network, instruction, out) {
  const x = network.values[instruction.inputs[0]];
  const width = network.shapes[instruction.inputs[0]][0];
  for (let hour = 0; hour < network.hours; hour++) {
    const row = x.subarray(hour * width, (hour + 1) * width);
    out[hour] = row.some((number) => number !== instruction.facts.value) ? 1 : 0;
  }
}

// Step through the hours; an hour that does not count leaves the states as they are.
function scan(network, instruction, out) {
  const { hour: now, states, next, backwards } = instruction.facts;
  const [x, counts] = instruction.inputs.map((value) => network.values[value]);
  const width = network.values[now].length;
  const units = network.shapes[instruction.out][0];
  for (const state of states) network.values[state].fill(0);
  for (let step = 0; step < network.hours; step++) {
    const hour = backwards ? network.hours - 1 - step : step;
    if (!counts || counts[hour] > 0) {
      network.values[now].set(x.subarray(hour * width, (hour + 1) * width));
      for (const inner of instruction.block) network.run(inner);
      const after = next.map((value) => network.values[value].slice());
      states.forEach((state, index) => network.values[state].set(after[index]));
    }
    out.set(network.values[states[0]], hour * units);
  }
}

const OPERATIONS = {
  linear,
  concatenate,
  columns,
  choose,
  differs,
  scan,
  hour: ofHour,
  flatten: (network, instruction, out) => out.set(network.values[instruction.inputs[0]]),
  sigmoid: eachNumber((x) => 1 / (1 + Math.exp(-x))),
  tanh: eachNumber(Math.tanh),
  relu: eachNumber((x) => larger(x, 0)),
  exp: eachNumber(Math.exp),
  log: eachNumber(Math.log),
  sqrt: eachNumber(Math.sqrt),
  absolute: eachNumber(Math.abs),
  positive: eachNumber((x) => (x > 0 ? 1 : 0)),
  add: ofTwo((a, b) => a + b),
  subtract: ofTwo((a, b) => a - b),
  multiply: ofTwo((a, b) => a * b),
  divide: ofTwo((a, b) => a / b),
  maximum: ofTwo(larger),
  minimum: ofTwo(smaller),
  mean: overHours((numbers) => total(numbers) / numbers.length),
  sum: overHours(total),
  least: overHours((numbers) => numbers.reduce(smaller)),
  largest: overHours((numbers) => numbers.reduce(larger)),
  deviation: overHours(deviation),
};
