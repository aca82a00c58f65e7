// Matrices and tables among the values of a run.

import { element } from "../common/dom.js";
import { counted } from "../common/format.js";
import { numberOf } from "./point.js";
import { leaf } from "./tree.js";

// rows that are made at once, and columns that are shown
const ROWS = 100;
const MOST_COLUMNS = 100;
const MOST_TEXT = 200;

const isObject = (value) => value !== null && typeof value === "object" && !Array.isArray(value);

// An array of arrays of numbers, all of the same length.
export function isMatrix(value) {
  return Array.isArray(value) && value.length > 0 && Array.isArray(value[0]) && value[0].length > 0
    && value.every((row) => Array.isArray(row) && row.length === value[0].length && row.every((cell) => numberOf(cell) !== undefined));
}

// An array of objects, or an object with `columns` and `data`, as other trackers make.
export function isTable(value) {
  if (Array.isArray(value)) return value.length > 0 && value.every(isObject);
  return isObject(value) && Array.isArray(value.columns) && Array.isArray(value.data) && value.data.every(Array.isArray);
}

// A matrix as a heat map with its numbers.
export function matrix(value) {
  const columns = value[0].slice(0, MOST_COLUMNS).map((_, at) => String(at));
  const finite = value.flatMap((row) => row.map(numberOf)).filter(Number.isFinite);
  const [low, high] = finite.reduce(([low, high], cell) => [Math.min(low, cell), Math.max(high, cell)], [Infinity, -Infinity]);
  // halves, because the difference of two numbers may be too large
  const shareOf = (cell) => (cell / 2 - low / 2) / (high / 2 - low / 2 || 1);
  return table("matrix", columns, value.length, value[0].length, (at) => columns.map((_, column) => {
    const made = element("td", {}, shown(value[at][column]));
    const number = numberOf(value[at][column]);
    if (Number.isFinite(number)) made.style.setProperty("--heat", `${Math.round(45 * shareOf(number))}%`);
    return made;
  }));
}

export function records(value) {
  const isColumnar = !Array.isArray(value);
  const names = isColumnar ? value.columns.map(String) : [...new Set(value.flatMap((row) => Object.keys(row)))];
  const rows = isColumnar ? value.data : value;
  const columns = names.slice(0, MOST_COLUMNS);
  return table("records", columns, rows.length, names.length, (at) => columns.map((name, column) => {
    const cell = isColumnar ? rows[at][column] : rows[at][name];
    return element("td", { class: numberOf(cell) === undefined ? null : "right" }, cell === undefined ? "" : shown(cell));
  }));
}

// A table whose rows `cellsOf(row)` fills; the next ones are made on demand.
function table(kind, columns, rows, width, cellsOf) {
  const body = element("tbody", {});
  const more = element("button", { type: "button", class: "small", onclick: () => add() });
  const add = () => {
    const from = body.childElementCount;
    for (let at = from; at < Math.min(rows, from + ROWS); at += 1) body.append(element("tr", {}, element("th", { scope: "row" }, String(at)), ...cellsOf(at)));
    const left = rows - body.childElementCount;
    more.hidden = left === 0;
    more.textContent = `${counted(left, "more row")}`;
  };
  add();
  const size = `${counted(rows, "row")}, ${counted(width, "column")}${width > columns.length ? `, of which ${columns.length} are shown` : ""}`;
  return element("div", { class: `value-table ${kind}`, tabindex: "0", role: "region", "aria-label": size },
    element("table", {}, element("thead", {}, element("tr", {}, element("th", {}), ...columns.map((name) => element("th", { scope: "col" }, name)))), body),
    more, element("p", { class: "faint small-text" }, size));
}

function shown(cell) {
  if (typeof cell === "string") return cell.slice(0, MOST_TEXT);
  if (typeof cell === "number" && !Number.isInteger(cell)) return String(+cell.toPrecision(6));
  return leaf(cell).slice(0, MOST_TEXT);
}
