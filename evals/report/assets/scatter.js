// Quality against time and against cost: one point a strategy, labelled, with the interval of its quality.

const TIMES = [["p50_s", "p50 seconds"], ["p95_s", "p95 seconds"], ["first_token_p50_s", "p50 seconds to the first token"]];
const COSTS = [["tokens", "tokens per question"], ["calls", "model calls per question"]];

const costOf = (row, name) => (name === "tokens" ? row.tokens_in + row.tokens_out : row[name]);

function scatters(holder, set, data) {
  if (!set.rows.length || !set.metrics.length) return void holder.append(el("p", { class: "note" }, "No summary."));
  const known = (options) => options.filter(([name]) => set.rows.some((row) => Number.isFinite(costOf(row, name))));
  const shown = { metric: set.metrics.includes("f1") ? "f1" : set.metrics[0] };
  const charts = [TIMES, COSTS].map(known).filter((options) => options.length).map((options) => ({
    options, cost: options[0][0], body: el("div", { class: "chart" }),
  }));
  const drawAll = () => charts.forEach((chart) => chart.draw?.());
  const metric = choice("quality", set.metrics.map((name) => [name, spoken(name)]), shown.metric, (value) => {
    shown.metric = value;
    drawAll();
  });
  const figures = charts.map((chart) => {
    const select = choice("against", chart.options, chart.cost, (value) => {
      chart.cost = value;
      chart.draw();
    });
    return el("figure", {}, el("div", { class: "controls" }, select.node), chart.body);
  });
  holder.append(el("div", { class: "controls" }, metric.node), el("div", { class: "pair" }, figures));
  for (const chart of charts) {
    drawnToWidth(chart.body, (width) => {
      chart.draw = () => chart.body.replaceChildren(...scatter(set, data, shown.metric, chart, width));
      chart.draw();
    });
  }
}

function scatter(set, data, metric, chart, width) {
  const title = chart.options.find(([name]) => name === chart.cost)[1];
  const rows = set.rows.filter((row) => Number.isFinite(row[metric]) && Number.isFinite(costOf(row, chart.cost)));
  const left = set.rows.filter((row) => !rows.includes(row)).map((row) => row.strategy);
  const note = left.length ? el("p", { class: "note" }, `Not defined for ${left.join(", ")}.`) : null;
  if (!rows.length) return [note];
  const points = rows.map((row) => {
    const [low, high] = row.ci95?.[metric] ?? [row[metric], row[metric]];
    return { row, index: data.strategies.indexOf(row.strategy), value: row[metric], low, high, cost: costOf(row, chart.cost) };
  });
  const low = Math.min(...points.map((point) => point.low));
  const high = Math.max(...points.map((point) => point.high));
  const pad = Math.max((high - low) * 0.08, 0.02);
  const space = plot({
    width, height: 300, xTitle: title,
    xTicks: ticksOver(0, Math.max(...points.map((point) => point.cost)) * 1.05 || 1, width < 420 ? 4 : 6),
    yTicks: ticksOver(Math.max(low - pad, 0), Math.min(high + pad, 1), 5),
    label: `${spoken(metric)} against ${title}: ` +
      points.map((point) => `${point.row.strategy} ${fixed(point.value, 3)} at ${fixed(point.cost, 2)}`).join("; "),
  });
  const taken = points.flatMap((point) => {
    const at = { x: space.x(point.cost), y: space.y(point.value) };
    const [top, bottom] = [space.y(point.high), space.y(point.low)];
    return [{ left: at.x - 7, right: at.x + 7, top: at.y - 7, bottom: at.y + 7 }, { left: at.x - 4, right: at.x + 4, top, bottom }];
  });
  for (const point of points) space.node.append(marked(point, space, metric, title));
  for (const point of points) space.node.append(labelled(point.row.strategy, space.x(point.cost), space.y(point.value), space.box, taken));
  return [space.node, note].filter(Boolean);
}

function marked(point, space, metric, title) {
  const [x, top, bottom] = [space.x(point.cost), space.y(point.high), space.y(point.low)];
  const words = `${point.row.strategy}: ${spoken(metric)} ${fixed(point.value, 3)} ` +
    `(${fixed(point.low, 3)} to ${fixed(point.high, 3)}), ${title} ${fixed(point.cost, 2)}`;
  return svg("g", { class: `mark ${colourOf(point.index)}`, "data-strategy": point.row.strategy },
    svg("title", {}, words),
    svg("path", { class: "interval", d: `M${x} ${top}V${bottom}M${x - 4} ${top}h8M${x - 4} ${bottom}h8` }),
    pointAt(point.index, x, space.y(point.value)));
}

// Puts a label where it covers least of what is drawn already, and remembers its place.
function labelled(text, x, y, box, taken) {
  const width = textWidth(text);
  const places = [[10, 4], [-10 - width, 4], [10, -9], [10, 17], [-10 - width, -9], [-10 - width, 17], [-width / 2, -12], [-width / 2, 22]];
  const covered = ([dx, dy]) => {
    const label = { left: x + dx, right: x + dx + width, top: y + dy - 11, bottom: y + dy + 3 };
    const outside = Math.max(box.left - label.left, 0) + Math.max(label.right - box.right - MARGIN.right, 0) +
      Math.max(label.bottom - box.bottom, 0) + Math.max(-label.top, 0);
    const over = taken.map((other) =>
      Math.max(Math.min(label.right, other.right) - Math.max(label.left, other.left), 0) *
      Math.max(Math.min(label.bottom, other.bottom) - Math.max(label.top, other.top), 0));
    return { label, dx, dy, cost: outside * 100 + over.reduce((sum, area) => sum + area, 0) };
  };
  const best = places.map(covered).reduce((least, place) => (place.cost < least.cost ? place : least));
  taken.push(best.label);
  return svg("text", { class: "label", x: x + best.dx, y: y + best.dy }, text);
}
