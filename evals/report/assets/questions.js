// The list of questions: filtered, a page at a time, each opening in place.

const PAGE = 50;

function questionList(holder, data) {
  let state = stateFromAddress();
  let shown = PAGE;
  const count = el("p", { class: "note", role: "status" });
  const list = el("ol", { class: "questions" });
  const more = el("button", { type: "button", class: "button", onclick: () => { shown += PAGE; render(); } });
  const update = (name) => (value) => {
    state = { ...state, [name]: value, q: "" };
    shown = PAGE;
    history.replaceState(null, "", addressOf(state));
    render();
  };
  const controls = {
    set: choice("set", [["", "any"], ...data.sets.map((set) => [set.name, set.name])], "", update("set")),
    strategy: choice("strategy", [["", "any"], ...data.strategies.map((name) => [name, name])], "", update("strategy")),
    outcome: choice("outcome", outcomeChoices(data), "", update("outcome")),
  };
  const search = el("input", { type: "search", placeholder: "words of question or answer", oninput: () => update("text")(search.value) });
  const controlNodes = Object.values(controls).map((control) => control.node);
  holder.append(el("div", { class: "controls" }, controlNodes, el("label", { class: "search" }, "text", search)), count, list, more);

  function render() {
    for (const name of Object.keys(controls)) controls[name].select.value = state[name];
    if (search.value !== state.text) search.value = state.text;
    const found = matching(data, state);
    count.textContent = `${found.length} of ${data.questions.length} questions`;
    list.replaceChildren(...found.slice(0, shown).map((question) => item(question)));
    more.hidden = found.length <= shown;
    more.textContent = `Show ${Math.min(PAGE, found.length - shown)} more`;
    return found;
  }

  function item(question) {
    const body = el("div", {});
    const runs = Object.entries(question.runs).map(([index, run]) =>
      el("span", {}, `${data.strategies[index]} `, el("span", { class: `chip ${run.outcome}` }, run.outcome)));
    const opener = el("button", { type: "button", class: "opener", "aria-expanded": "false", onclick: () => {
      const open = !body.hasChildNodes();
      toggle(opener, body, question, open);
      state = { ...state, q: open ? question.id : "" };
      const address = addressOf(open && !state.set && ambiguous(question) ? { ...state, set: question.set } : state);
      history.replaceState(null, "", address);
    } },
      el("span", { class: "what" }, question.question, el("small", {}, `${question.set} · ${question.id}`)),
      el("span", { class: "chips" }, runs));
    const node = el("li", {}, opener, body);
    node.open = () => toggle(opener, body, question, true);
    return node;
  }

  function toggle(opener, body, question, open) {
    opener.setAttribute("aria-expanded", String(open));
    body.replaceChildren(...(open ? [questionDetail(question, data)] : []));
  }

  const ambiguous = (question) => data.questions.some((other) => other.id === question.id && other.set !== question.set);

  // Follows the address: opens the question it names, without filters if they would hide it.
  function follow() {
    const anchor = !location.hash.includes("=");
    if (anchor && list.hasChildNodes()) return;
    state = stateFromAddress();
    const named = (question) => question.id === state.q && (!state.set || question.set === state.set);
    shown = PAGE;
    let at = state.q ? matching(data, state).findIndex(named) : -1;
    if (state.q && at < 0) {
      at = data.questions.findIndex(named);
      state = { ...stateFromAddress(), strategy: "", outcome: "", text: "", set: "" };
    }
    shown = Math.max(PAGE, Math.ceil((at + 1) / PAGE) * PAGE);
    render();
    if (at < 0) return;
    list.children[at].open();
    list.children[at].scrollIntoView({ block: "start", behavior: "instant" });
    list.children[at].querySelector("button").focus({ preventScroll: true });
  }

  addEventListener("hashchange", follow);
  follow();
}
