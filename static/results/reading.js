// What a chart says: of the points under the cursor, and of all its curves.

import { element } from "../common/dom.js";
import { counted, number, span } from "../common/format.js";
import { swatch } from "./palette.js";
import { notPositive } from "./view.js";

const MOST_RUNS = 20;
const WHOLE = new Intl.NumberFormat("en");

export function xText(x, { axis }) {
  if (axis === "time") return x < 0 ? `-${span(-x)}` : x < 60 && !Number.isInteger(x) ? `${number(x)} s` : span(x);
  if (axis === "clock") return new Date(x * 1000).toLocaleString();
  return exact(x);
}

// All digits of a number that a chart points at.
export function exact(value) {
  if (!Number.isFinite(value)) return value > 0 ? "∞" : value < 0 ? "-∞" : "NaN";
  const size = Math.abs(value);
  if (size !== 0 && (size >= 1e15 || size < 1e-4)) return String(value);
  const [whole, part] = String(value).split(".");
  return WHOLE.format(Number(whole)) + (part ? `.${part}` : "");
}

// The points nearest to `x`, one of each line, and of the group means: { line, at, slot }.
export function pointsAt(x, view) {
  const lines = view.strokes.filter(({ marks, isStrong }) => marks || isStrong);
  return lines.map(({ line, slot }) => ({ line, slot, at: line.nearest(x, (y) => view.shows(y) || !Number.isFinite(y)) })).filter(({ at }) => at >= 0);
}

// What is under the cursor: of one point all digits; of several a row for each, `most` of them, with `y`,
// a value, those next to it first.
export function rowsOf({ x, points, y }, view, most) {
  if (view.lines.length === 1 && points.length === 1) return [element("div", {}, `${exact(view.lines[0].y(points[0].at))} at ${xText(points[0].line.x(points[0].at), view)}`)];
  const sorted = y == null ? points : points.toSorted((one, other) => distance(one, y, view) - distance(other, y, view));
  const at = xText(points.length ? sorted[0].line.x(sorted[0].at) : x, view);
  const rows = sorted.slice(0, most).map(({ line, at: place, slot }) => element("div", {}, swatch(slot), " ", element("strong", {}, short(line.y(place))), ` ${line.run.name}`));
  if (points.length > most) rows.push(element("div", { class: "faint" }, `and ${points.length - most} more`));
  return [element("div", { class: "faint" }, `${view.axisName} ${at}`), ...rows];
}

function short(value) {
  return Number.isFinite(value) ? number(value) : exact(value);
}

export function distance({ line, at }, y, view) {
  return Math.abs(view.y.share(line.y(at)) - view.y.share(y));
}

// The same for one point, to be read aloud.
export function spoken({ line, at }, view) {
  const name = view.lines.length > 1 ? `${line.run.name}: ` : "";
  return `${name}${exact(line.y(at))} at ${view.axisName} ${xText(line.x(at), view)}`;
}

// What a log scale hides, as text; "" for nothing.
export function hiddenText(lines) {
  const { count, isLeast } = notPositive(lines);
  if (!count) return "";
  return `${isLeast ? "at least " : ""}${counted(count, "value")} of 0 or less can't be shown`;
}

// A description of the curves: how many points each has, over which range, with which values.
export function describe(view) {
  const texts = view.lines.slice(0, MOST_RUNS).map((line) => {
    const name = view.lines.length > 1 ? `${line.run.name}: ` : "";
    return name + ofLine(line, view);
  });
  if (view.lines.length > MOST_RUNS) texts.push(`and ${view.lines.length - MOST_RUNS} more curves`);
  return texts.join(". ");
}

function ofLine(line, view) {
  const { ys, points } = line.series;
  if (!ys.length) return "no points";
  const finite = ys.filter(Number.isFinite);
  const first = line.xs.findIndex((x) => !Number.isNaN(x));
  const last = line.xs.findLastIndex((x) => !Number.isNaN(x));
  const parts = [counted(points, "point")];
  if (first >= 0) parts.push(`${view.axisName} ${xText(line.x(first), view)} to ${xText(line.x(last), view)}`);
  if (finite.length) parts.push(`least ${exact(minOf(finite))}`, `greatest ${exact(-minOf(finite.map((y) => -y)))}`, `mean ${number(line.series.mean)}`);
  parts.push(`newest ${exact(ys.at(-1))}`);
  const others = ys.length - finite.length;
  if (others) parts.push(`${line.series.isThinned ? "at least " : ""}${counted(others, "value")} not finite`);
  if (line.series.isThinned) parts.push(`${counted(ys.length, "point")} of them drawn`);
  return parts.join(", ");
}

function minOf(values) {
  return values.reduce((least, value) => (value < least ? value : least), Infinity);
}
