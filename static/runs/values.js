// Values of runs: nested settings as a flat map, an order for values of any kind, and their texts.

import { text as json } from "../common/json.js";
import { number } from "../common/format.js";

const MOST_DEPTH = 6;
const MOST_KEYS = 2000;
const collator = new Intl.Collator("en", { numeric: true, sensitivity: "base" });

// A map of nested settings: the path, `optimizer.lr` for example, and the value. Arrays, and objects that
// are too deep, are values as JSON.
export function flat(config, prefix = "", into = new Map(), depth = 0) {
  for (const [key, value] of Object.entries(config ?? {})) {
    if (into.size >= MOST_KEYS) break;
    const name = prefix ? `${prefix}.${key}` : key;
    const isObject = value !== null && typeof value === "object";
    if (isObject && !Array.isArray(value) && depth < MOST_DEPTH) flat(value, name, into, depth + 1);
    else into.set(name, isObject ? json(value) : value);
  }
  return into;
}

// A number of a metric: the service writes those that are not finite as strings.
export function metricNumber(value) {
  return value == null ? undefined : typeof value === "bigint" ? value : Number(value);
}

export function isNumeric(value) {
  return typeof value === "number" || typeof value === "bigint";
}

// The order of two values: numbers, then NaN, then texts; what is missing comes last in both directions.
export function compare(one, other, sign = 1) {
  const [kind, otherKind] = [kindOf(one), kindOf(other)];
  if (kind !== otherKind) return kind - otherKind;
  if (kind === 0) return one < other ? -sign : one > other ? sign : 0;
  return kind === 2 ? sign * collator.compare(String(one), String(other)) : 0;
}

function kindOf(value) {
  if (value == null || value === "") return 3;
  if (!isNumeric(value)) return 2;
  return Number.isNaN(value) ? 1 : 0;
}

// A value as a cell shows it.
export function shown(value) {
  if (value === undefined) return "";
  if (typeof value === "bigint") return value.toLocaleString("en");
  if (typeof value === "number") return number(value);
  return String(value).slice(0, 200);
}

// A setting as it was given: no separators in a seed or a size, which one copies.
export function plain(value) {
  return value === undefined ? "" : String(value).slice(0, 200);
}

// The mean and the sample standard deviation of the finite numbers among `values`.
export function spread(values) {
  const finite = values.filter(isNumeric).map(Number).filter(Number.isFinite);
  const count = finite.length;
  if (!count) return { count, mean: undefined, deviation: 0 };
  const mean = finite.reduce((sum, value) => sum + value / count, 0);
  const square = finite.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  return { count, mean, deviation: count > 1 ? Math.sqrt(square / (count - 1)) : 0 };
}
