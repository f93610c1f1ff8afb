// What became of the questions: stacked bars, answerable and unanswerable apart.

const OUTCOME_WORDS = {
  right: "answered right", wrong: "answered wrong", unjudged: "answered, no right answer known",
  abstained: "abstained", failed: "failed",
};

function outcomeBars(holder, set, data) {
  const strategies = data.strategies.filter((name) => set.outcomes[name]);
  const used = data.outcomes.filter((name) =>
    strategies.some((strategy) => Object.values(set.outcomes[strategy]).some((counts) => counts[name])));
  holder.append(el("ul", { class: "legend" }, used.map((name) =>
    el("li", {}, el("span", { class: `swatch ${name}` }), OUTCOME_WORDS[name]))));
  const groups = [["answerable", "Answerable questions"], ["unanswerable", "Unanswerable questions: abstaining is right"]];
  const figures = groups.map(([group, title]) => outcomeGroup(set, strategies, used, group, title)).filter(Boolean);
  holder.append(el("div", { class: "pair" }, figures));
}

function outcomeGroup(set, strategies, used, group, title) {
  const total = (strategy) => Object.values(set.outcomes[strategy][group]).reduce((sum, count) => sum + count, 0);
  const most = Math.max(0, ...strategies.map(total));
  if (!most) return null;
  const rows = strategies.filter(total).map((strategy) => {
    const counts = set.outcomes[strategy][group];
    const parts = used.filter((name) => counts[name]).map((name) => {
      const words = `${OUTCOME_WORDS[name]}: ${counts[name]} of ${total(strategy)}`;
      const share = counts[name] / most;
      const part = el("span", { class: name, title: words }, share > 0.05 ? String(counts[name]) : "");
      part.style.flexGrow = counts[name]; // through the object model: the policy allows no style attributes
      return part;
    });
    const bar = el("div", {
      class: "bar", role: "img", "data-strategy": strategy,
      "aria-label": used.map((name) => `${OUTCOME_WORDS[name]} ${counts[name] ?? 0}`).join(", "),
    }, parts);
    bar.style.width = `${(100 * total(strategy)) / most}%`;
    return el("div", { class: "bar-row" }, el("span", {}, strategy), bar);
  });
  return el("figure", {}, el("figcaption", {}, `${title} (${most})`), el("div", { class: "bars" }, rows));
}
