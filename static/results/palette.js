// The colour and the dash of each curve. Ten colours, each with a contrast of at least 3:1 to the page and
// to a card in both schemes; a dash tells curves apart for those who see no colours.

// how many curves look different: no two slots below it have both the same colour and the same dash
export const SLOTS = 50;
const COLOURS = 10;
// lengths of lines and gaps in CSS pixels, as setLineDash takes them
const DASHES = [
  [], [8, 3], [3, 3], [12, 3, 3, 3], [16, 4],
  [8, 3, 2, 3, 2, 3], [1.5, 3.5], [5, 2, 5, 6], [14, 3, 2, 3, 2, 3, 2, 3], [20, 3, 6, 3],
];
const scheme = matchMedia("(prefers-color-scheme: dark)");
const values = new Map();
scheme.addEventListener("change", () => values.clear());
const SVG = "http://www.w3.org/2000/svg";

// The name of the CSS variable with the slot's colour.
export function colourOf(slot) {
  return `--curve-${slot % COLOURS}`;
}

// The next ten slots have the same colours, each with the dash of its neighbour.
export function dashOf(slot) {
  return DASHES[(slot + Math.floor(slot / COLOURS)) % DASHES.length];
}

// The value of a colour's variable. To ask the document each time costs a computation of its styles.
export function valueOf(name) {
  if (!values.has(name)) values.set(name, getComputedStyle(document.documentElement).getPropertyValue(name).trim());
  return values.get(name);
}

// Calls `draw` when the reader's system turns light or dark, until `signal` aborts.
export function onScheme(draw, signal) {
  scheme.addEventListener("change", draw, { signal });
}

// A short line in the slot's colour and dash, for a legend. It says nothing to screen readers: the
// name beside it does.
export function swatch(slot) {
  const line = svg("line", { x1: 0, y1: 6, x2: 36, y2: 6, stroke: "currentColor", "stroke-width": 2.5, "stroke-dasharray": dashOf(slot).join(" ") });
  const root = svg("svg", { class: "swatch", width: 36, height: 12, viewBox: "0 0 36 12", "aria-hidden": "true" });
  root.style.color = `var(${colourOf(slot)})`;
  root.append(line);
  return root;
}

function svg(tag, attributes) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
}
