// Retrieval curves: the share of the gold among the first k documents, with a band for its interval.

function goldCurves(holder, set, data) {
  const names = data.strategies.filter((name) => set.curves[name]);
  const without = data.strategies.filter((name) => set.outcomes[name] && !set.curves[name]);
  if (!names.length) {
    return void holder.append(el("p", { class: "note" }, set.gold ? "No strategy read a document." : "No gold passages are known."));
  }
  const body = el("div", { class: "chart" });
  const left = without.length ? ` ${without.join(", ")}: no documents.` : "";
  holder.append(body, el("p", { class: "note" },
    `Mean over the ${set.gold} answerable questions with gold; band: 95 % interval.${left}`));
  drawnToWidth(body, (width) => body.replaceChildren(curvePlot(set, data, names, width)));
}

function curvePlot(set, data, names, width) {
  const deepest = Math.max(...names.map((name) => set.curves[name].length));
  const room = Math.min(Math.max(...names.map(textWidth)) + 32, width / 2.5);
  const counts = Array.from({ length: deepest }, (_, at) => at + 1);
  const every = Math.ceil(deepest / (width < 420 ? 6 : 12));
  const ticks = deepest === 1 ? [0, 1] : counts.filter((k) => k === 1 || k === deepest || (k % every === 0 && deepest - k >= every));
  const space = plot({
    width: Math.min(width, 760), height: 280, right: room, xTicks: ticks, yTicks: [0, 0.25, 0.5, 0.75, 1], xTitle: "k documents",
    label: "Gold found in the first k documents: " +
      names.map((name) => `${name} ${fixed(set.curves[name].at(-1).mean, 3)} at ${set.curves[name].length}`).join("; "),
  });
  const ends = names.map((name) => {
    const points = set.curves[name];
    const index = data.strategies.indexOf(name);
    const path = (key) => points.map((point) => `${space.x(point.k)} ${space.y(point[key])}`);
    space.node.append(svg("g", { class: `curve ${colourOf(index)}`, "data-strategy": name },
      svg("title", {}, points.map((point) => `${name}, ${point.k}: ${fixed(point.mean, 3)}`).join("\n")),
      svg("path", { class: "band", d: `M${[...path("high"), ...path("low").reverse()].join("L")}Z` }),
      svg("path", { class: "line", d: `M${path("mean").join("L")}` }),
      points.map((point) => pointAt(index, space.x(point.k), space.y(point.mean)))));
    return { name, y: space.y(points.at(-1).mean) };
  });
  for (const end of spread(ends, 16)) {
    const index = data.strategies.indexOf(end.name);
    space.node.append(svg("g", { class: colourOf(index) },
      pointAt(index, space.box.right + 18, end.at), svg("text", { class: "label", x: space.box.right + 28, y: end.at + 4 }, end.name)));
  }
  return space.node;
}

// Moves labels apart, keeping their order from top to bottom.
function spread(ends, apart) {
  let last = -Infinity;
  const sorted = [...ends].sort((a, b) => a.y - b.y).map((end) => ({ ...end, at: (last = Math.max(end.y, last + apart)) }));
  const over = Math.max(0, last - Math.max(...ends.map((end) => end.y)));
  return sorted.map((end) => ({ ...end, at: end.at - over / 2 }));
}
