// Drawings: plain SVG, told apart by shape and place and not by colour alone.

function svg(name, attributes, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

// A hundred figures, so many of them filled.
function hundred(count, label) {
  const figures = [];
  for (let i = 0; i < 100; i++) {
    const place = { cx: 8 + (i % 20) * 15, cy: 8 + Math.floor(i / 20) * 15, r: 5.5 };
    figures.push(svg("circle", { ...place, class: i < count ? "filled" : "empty" }));
  }
  return svg("svg", { viewBox: "0 0 301 76", class: "hundred", role: "img", "aria-label": label }, ...figures);
}

// The risk by hour: risks[i] is the risk after hour i + 1, or NaN.
function riskCurve(risks, marks, label, axis, percent) {
  const [width, height, left, bottom] = [640, 230, 52, 44];
  const known = risks.filter((risk) => !Number.isNaN(risk));
  const top = Math.min(1, Math.max(0.1, Math.ceil(Math.max(...known, ...marks.map((mark) => mark.risk)) * 10) / 10));
  const x = (hour) => left + ((width - left - 12) * hour) / risks.length;
  const y = (risk) => 10 + (height - bottom - 10) * (1 - risk / top);
  const parts = [];
  for (let step = 0; step <= 5; step++) { // fifths of a multiple of a tenth: whole percents
    const risk = (top * step) / 5;
    parts.push(svg("line", { x1: left, x2: width - 12, y1: y(risk), y2: y(risk), class: "rule" }));
    parts.push(svg("text", { x: left - 6, y: y(risk) + 4, "text-anchor": "end" }, percent(risk)));
  }
  for (let hour = 0; hour <= risks.length; hour += Math.max(1, Math.round(risks.length / 8))) {
    parts.push(svg("text", { x: x(hour), y: height - bottom + 18, "text-anchor": "middle" }, String(hour)));
  }
  parts.push(svg("text", { x: (left + width) / 2, y: height - 3, "text-anchor": "middle" }, axis));
  for (const mark of marks) {
    parts.push(svg("line", { x1: left, x2: width - 12, y1: y(mark.risk), y2: y(mark.risk), class: "mark" }));
    parts.push(svg("text", { x: width - 14, y: y(mark.risk) - 4, "text-anchor": "end", class: "mark" }, mark.label));
  }
  let path = "";
  risks.forEach((risk, hour) => {
    if (Number.isNaN(risk)) return;
    path += `${path ? "L" : "M"}${x(hour + 1).toFixed(1)} ${y(risk).toFixed(1)}`;
  });
  parts.push(svg("path", { d: path, class: "curve" }));
  const last = risks.length - 1;
  parts.push(svg("circle", { cx: x(last + 1), cy: y(risks[last]), r: 4, class: "filled" }));
  return svg("svg", { viewBox: `0 0 ${width} ${height}`, class: "curve", role: "img", "aria-label": label }, ...parts);
}

// A bar to the right for more risk, filled, and to the left for less, outlined.
function movedBar(change, most) {
  const length = most > 0 ? (58 * Math.abs(change)) / most : 0;
  const bar = { x: change > 0 ? 60 : 60 - length, y: 3, width: length, height: 10, class: change > 0 ? "filled" : "empty" };
  const line = svg("line", { x1: 60, x2: 60, y1: 0, y2: 16, class: "rule" });
  return svg("svg", { viewBox: "0 0 120 16", preserveAspectRatio: "none", class: "bar", "aria-hidden": "true" }, line, svg("rect", bar));
}
