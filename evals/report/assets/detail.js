// One question: what every strategy answered, from which passages, in which steps.

function questionDetail(question, data) {
  const right = question.answerable ? question.answers.join(" / ") || "not known" : "none: the question cannot be answered";
  const cards = Object.entries(question.runs).map(([index, run]) => card(question, Number(index), run, data));
  return el("div", { class: "detail" },
    el("p", {}, el("small", {}, "Right answer: "), right),
    question.gold.length ? el("p", {}, el("small", {}, "Gold: "), question.gold.join(", ")) : null,
    el("div", { class: "cards" }, cards));
}

function card(question, index, run, data) {
  const passages = run.documents.map(([number, score, gold], rank) => passage(data.passages[number], score, gold, rank, run));
  const group = el("details", { class: "passages" },
    el("summary", {}, passages.length === 1 ? "1 passage" : `${passages.length} passages`), passages);
  const cite = (rank) => {
    group.open = true;
    passages[rank].open = true;
    passages.forEach((node, at) => node.classList.toggle("flash", at === rank));
    passages[rank].scrollIntoView({ block: "nearest" });
    passages[rank].querySelector("summary").focus({ preventScroll: true });
  };
  return el("article", { class: `card ${colourOf(index)}`, "data-strategy": data.strategies[index] },
    el("header", {}, el("h4", {}, data.strategies[index]), el("span", { class: `chip ${run.outcome}` }, OUTCOME_WORDS[run.outcome]),
      run.versus ? el("span", { class: `chip plain ${run.versus}` }, `${run.versus} against the baseline`) : null),
    answer(run, data, cite),
    run.before ? el("p", {}, el("small", {}, `Before, ${OUTCOME_WORDS[run.before.outcome]}: `), run.before.answer) : null,
    run.missed.length && passages.length ? el("p", {}, el("span", { class: "chip gold" }, "gold not read"), ` ${run.missed.join(", ")}`) : null,
    numbers(run, data),
    passages.length ? group : el("p", {}, el("small", {}, "No passages.")),
    steps(run));
}

// The answer, with a mark after each cited sentence that leads to its passage.
function answer(run, data, cite) {
  if (run.failed) return el("p", { class: "answer none" }, `Failed: ${run.failed}`);
  if (!run.answer) return el("p", { class: "answer none" }, "Empty answer.");
  const marks = new Map(); // end of the sentence -> ranks of its passages
  const lost = [];
  for (const citation of run.citations) {
    const start = citation.sentence ? run.answer.indexOf(citation.sentence) : -1;
    const end = start < 0 ? run.answer.length : start + citation.sentence.length;
    const rank = run.documents.findIndex(([number]) => data.passages[number].id === citation.id);
    if (rank < 0) lost.push(citation.id);
    else marks.set(end, (marks.get(end) ?? new Set()).add(rank));
  }
  const parts = [];
  let done = 0;
  for (const end of [...marks.keys()].sort((a, b) => a - b)) {
    parts.push(run.answer.slice(done, end), ...[...marks.get(end)].map((rank) =>
      el("button", { type: "button", class: "cite", "aria-label": `passage ${rank + 1}`, onclick: () => cite(rank) }, `[${rank + 1}]`)));
    done = end;
  }
  const unread = lost.length ? el("small", {}, ` Cited, but not among the passages: ${[...new Set(lost)].join(", ")}.`) : null;
  return el("p", { class: `answer${run.outcome === "abstained" ? " none" : ""}` }, parts, run.answer.slice(done), unread);
}

function passage(found, score, gold, rank, run) {
  const quotes = run.citations.filter((citation) => citation.id === found.id).map((citation) => citation.quote);
  const where = [found.source, found.page ? `page ${found.page}` : "", typeof score === "number" ? `score ${fixed(score, 3)}` : ""];
  return el("details", { class: "passage" },
    el("summary", {}, `[${rank + 1}] ${found.title || found.id} `,
      gold ? el("span", { class: "chip gold" }, "gold") : null, " ",
      quotes.length ? el("span", { class: "chip plain" }, "cited") : null,
      el("small", {}, ` ${[found.title ? found.id : "", ...where].filter(Boolean).join(" · ")}`)),
    el("p", { class: "passage-text" }, highlighted(found.text, quotes)));
}

// A text with the quotes marked; a quote that does not stand in it verbatim is left out.
function highlighted(text, quotes) {
  const spans = quotes.filter(Boolean).map((quote) => [text.indexOf(quote), quote.length]).filter(([start]) => start >= 0);
  const parts = [];
  let done = 0;
  for (const [start, length] of spans.sort((a, b) => a[0] - b[0])) {
    const from = Math.max(start, done);
    if (start + length <= from) continue;
    parts.push(text.slice(done, from), el("mark", {}, text.slice(from, start + length)));
    done = start + length;
  }
  return [...parts, text.slice(done)];
}

function numbers(run, data) {
  const pairs = [
    ...data.metrics.map((name, at) => [spoken(name), run.metrics[at]]).filter(([, value]) => value !== null)
      .map(([name, value]) => [name, String(Number(value.toFixed(3)))]),
    ["calls", String(run.calls)], ["tokens", `${whole(run.tokens[0])} + ${whole(run.tokens[1])}`],
    ...(run.seconds === null ? [] : [["seconds", fixed(run.seconds, 2) + (run.cached ? " (cached)" : "")]]),
  ];
  return el("dl", { class: "numbers" }, pairs.map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, value))));
}

function steps(run) {
  if (!run.steps.length) return null;
  const timed = run.ms.length === run.steps.length;
  const items = run.steps.map((step, at) => {
    const more = Object.fromEntries(["scores", "details"].filter((name) => step[name]).map((name) => [name, step[name]]));
    return el("li", {}, el("strong", {}, step.node), step.decision ? ` ${step.decision}` : "",
      timed ? el("small", {}, ` ${whole(run.ms[at])} ms`) : null,
      step.reason ? el("div", {}, el("small", {}, step.reason)) : null,
      Object.keys(more).length ? el("details", {}, el("summary", {}, el("small", {}, "details")), el("pre", {}, JSON.stringify(more, null, 2))) : null);
  });
  return el("details", {}, el("summary", {}, items.length === 1 ? "1 step" : `${items.length} steps`), el("ol", { class: "steps" }, items));
}
