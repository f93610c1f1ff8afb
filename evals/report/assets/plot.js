// Axes that scatter plots and curves share.

const MARGIN = { top: 12, right: 16, bottom: 40, left: 44 };

// Round numbers that cover [low, high].
function ticksOver(low, high, about) {
  const rough = (high - low || 1) / about;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].map((factor) => factor * power).find((size) => size >= rough * 0.999);
  const first = Math.floor(low / step + 1e-9);
  const last = Math.ceil(high / step - 1e-9);
  return Array.from({ length: Math.max(last - first, 1) + 1 }, (_, at) => Number(((first + at) * step).toPrecision(10)));
}

function textWidth(text) {
  textWidth.context ??= document.createElement("canvas").getContext("2d");
  textWidth.context.font = `12px ${getComputedStyle(document.body).fontFamily}`;
  return textWidth.context.measureText(text).width;
}

// An empty plot: {node, x, y, box}, where x and y turn values into pixels.
function plot({ width, height, xTicks, yTicks, xTitle, label, right = MARGIN.right }) {
  const box = { left: MARGIN.left, right: width - right, top: MARGIN.top, bottom: height - MARGIN.bottom };
  const scale = (ticks, from, to) => (value) =>
    from + ((value - ticks[0]) / (ticks.at(-1) - ticks[0])) * (to - from);
  const x = scale(xTicks, box.left, box.right);
  const y = scale(yTicks, box.bottom, box.top);
  const node = svg("svg", { viewBox: `0 0 ${width} ${height}`, width, height, role: "img", "aria-label": label });
  for (const tick of yTicks) {
    node.append(
      svg("line", { class: "grid", x1: box.left, x2: box.right, y1: y(tick), y2: y(tick) }),
      svg("text", { x: box.left - 8, y: y(tick) + 4, "text-anchor": "end" }, String(tick)),
    );
  }
  for (const tick of xTicks) {
    node.append(
      svg("line", { class: "axis", x1: x(tick), x2: x(tick), y1: box.bottom, y2: box.bottom + 4 }),
      svg("text", { x: x(tick), y: box.bottom + 18, "text-anchor": "middle" }, tick.toLocaleString("en")),
    );
  }
  node.append(
    svg("line", { class: "axis", x1: box.left, x2: box.right, y1: box.bottom, y2: box.bottom }),
    svg("text", { x: box.right, y: height - 4, "text-anchor": "end" }, xTitle),
  );
  return { node, x, y, box };
}

// The mark of a strategy: its shape goes with its number, so that colour is never needed to tell two apart.
function pointAt(index, x, y) {
  const size = 5.5;
  const shapes = [
    () => svg("circle", { cx: x, cy: y, r: size }),
    () => svg("rect", { x: x - size + 0.5, y: y - size + 0.5, width: 2 * size - 1, height: 2 * size - 1 }),
    () => svg("path", { d: `M${x} ${y - size - 1}L${x + size + 1} ${y + size}L${x - size - 1} ${y + size}Z` }),
    () => svg("path", { d: `M${x} ${y - size - 1.5}L${x + size + 1.5} ${y}L${x} ${y + size + 1.5}L${x - size - 1.5} ${y}Z` }),
    () => svg("path", { d: `M${x} ${y + size + 1}L${x + size + 1} ${y - size}L${x - size - 1} ${y - size}Z` }),
  ];
  const node = shapes[index % shapes.length]();
  node.setAttribute("class", "point");
  return node;
}

const colourOf = (index) => `s${index % 8}`;
