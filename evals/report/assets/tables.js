// Makes the tables sortable by their column headings.

function sortable(table) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    const button = el("button", { type: "button", onclick: () => sortBy(table, heads, column) }, head.textContent);
    head.replaceChildren(button);
  });
}

function sortBy(table, heads, column) {
  // Numbers begin with the largest, names with the first; what is not defined stays at the end.
  const was = heads[column].getAttribute("aria-sort");
  const down = was ? was === "ascending" : column > 0;
  const valueOf = (row) => (column ? Number(row.cells[column].dataset.value ?? NaN) : row.cells[0].textContent);
  const order = (a, b) => {
    const [left, right] = [valueOf(a), valueOf(b)];
    if (Number.isNaN(left) || Number.isNaN(right)) return Number.isNaN(left) - Number.isNaN(right);
    return (left < right ? -1 : left > right ? 1 : 0) * (down ? -1 : 1);
  };
  heads.forEach((head) => head.removeAttribute("aria-sort"));
  heads[column].setAttribute("aria-sort", down ? "descending" : "ascending");
  table.tBodies[0].append(...[...table.tBodies[0].rows].sort(order));
}
