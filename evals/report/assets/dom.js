// Elements from text. Nothing here, or anywhere in these scripts, parses HTML: a passage can only become a text node.

const SVG = "http://www.w3.org/2000/svg";

function build(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== ""));
  return node;
}

const el = (tag, attributes = {}, ...children) => build(document.createElement(tag), attributes, children);
const svg = (tag, attributes = {}, ...children) => build(document.createElementNS(SVG, tag), attributes, children);

const spoken = (name) => name.replaceAll("_", " ");
const fixed = (value, digits) => (typeof value === "number" ? value.toFixed(digits) : "–");
const whole = (value) => Math.round(value).toLocaleString("en");

// A labelled select box; `options` are [value, text] pairs.
function choice(label, options, chosen, onchange) {
  const items = options.map(([value, text]) => el("option", { value, selected: value === chosen }, text));
  const select = el("select", { onchange: () => onchange(select.value) }, items);
  return { node: el("label", {}, label, select), select };
}

// Draws into `node` now and whenever its width changes.
function drawnToWidth(node, draw) {
  let last = 0;
  const redraw = () => {
    const width = Math.floor(node.clientWidth);
    if (width && width !== last) draw((last = width));
  };
  new ResizeObserver(redraw).observe(node);
  redraw();
}
