// Which questions are listed. The filters live in the address (#set=..&outcome=..), so that a view can be linked to.

const FILTERS = ["set", "strategy", "outcome", "text"];

function outcomeChoices(data) {
  const seen = new Set(data.questions.flatMap((question) => Object.values(question.runs).map((run) => run.outcome)));
  const choices = [["", "any"], ...data.outcomes.filter((name) => seen.has(name)).map((name) => [name, OUTCOME_WORDS[name]])];
  if (data.sets.some((set) => set.baseline)) choices.push(["won", "won against the baseline"], ["lost", "lost against the baseline"]);
  if (data.compared) choices.push(["better", "wrong before, right now"], ["worse", "right before, wrong now"]);
  return choices;
}

function stateFromAddress() {
  const given = new URLSearchParams(location.hash.slice(1));
  return Object.fromEntries([...FILTERS, "q"].map((name) => [name, given.get(name) ?? ""]));
}

function addressOf(state) {
  const kept = Object.entries(state).filter(([, value]) => value);
  return `#${kept.length ? new URLSearchParams(kept) : "questions"}`;
}

function hasOutcome(run, outcome) {
  if (!outcome) return true;
  if (outcome === "won" || outcome === "lost") return run.versus === outcome;
  if (outcome === "better" || outcome === "worse") return run.before?.better === (outcome === "better");
  return run.outcome === outcome;
}

function matching(data, state) {
  const words = state.text.toLowerCase().split(/\s+/).filter(Boolean);
  const strategy = data.strategies.indexOf(state.strategy);
  return data.questions.filter((question) => {
    if (state.set && question.set !== state.set) return false;
    const runs = strategy < 0 ? Object.values(question.runs) : [question.runs[strategy]].filter(Boolean);
    return runs.some((run) => hasOutcome(run, state.outcome)) && words.every((word) => haystack(question).includes(word));
  });
}

// What the text search looks at: the question, its id, the right answers and the given ones.
function haystack(question) {
  const answers = Object.values(question.runs).map((run) => run.answer);
  return (question.haystack ??= [question.id, question.question, ...question.answers, ...answers].join("\n").toLowerCase());
}
