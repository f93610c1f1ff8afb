// Reads the data island and fills the page.

const data = JSON.parse(document.getElementById("data").textContent);
const charts = { scatters, outcomes: outcomeBars, curves: goldCurves };

document.querySelectorAll("table.sortable").forEach(sortable);
for (const section of document.querySelectorAll("section.set")) {
  for (const holder of section.querySelectorAll("[data-chart]")) {
    charts[holder.dataset.chart](holder, data.sets[section.dataset.set], data);
  }
}
questionList(document.getElementById("question-list"), data);
document.documentElement.dataset.ready = "true"; // tests and printers wait for it
