// The mean of several runs' curves, and how far they lie apart.

import { between } from "./line.js";

const MOST_PLACES = 300;

// The band of `lines` over common x: { xs, means, lows, highs, runs }, where `runs` says how many lines
// have a value there. `kind` is range (least to greatest) or deviation (mean ± one standard deviation of a sample).
export function bandOf(lines, kind) {
  const sorted = lines.map(increasing).filter(({ xs }) => xs.length);
  const band = { xs: [], means: [], lows: [], highs: [], runs: [] };
  for (const x of commonPlaces(sorted)) {
    const values = sorted.map(({ xs, ys }) => between(xs, ys, x)).filter(Number.isFinite);
    if (!values.length) continue;
    const mean = values.reduce((sum, value) => sum + value / values.length, 0);
    const [low, high] = kind === "deviation" ? deviation(values, mean) : [Math.min(...values), Math.max(...values)];
    band.xs.push(x);
    band.means.push(mean);
    band.lows.push(low);
    band.highs.push(high);
    band.runs.push(values.length);
  }
  return band;
}

function deviation(values, mean) {
  const std = Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / Math.max(1, values.length - 1));
  return [mean - std, mean + std];
}

// A line's finite points by x; of points with the same x the newest.
function increasing(line) {
  const order = [];
  for (let at = 0; at < line.length; at += 1) if (Number.isFinite(line.x(at)) && Number.isFinite(line.y(at))) order.push(at);
  order.sort((one, other) => line.x(one) - line.x(other));
  const [xs, ys] = [[], []];
  for (const at of order) {
    if (xs.at(-1) === line.x(at)) {
      xs.pop();
      ys.pop();
    }
    xs.push(line.x(at));
    ys.push(line.y(at));
  }
  return { xs, ys };
}

// All x of the lines, if they are few; else as many at equal distances.
function commonPlaces(lines) {
  const all = [...new Set(lines.flatMap(({ xs }) => xs))].sort((one, other) => one - other);
  if (all.length <= MOST_PLACES) return all;
  const [first, last] = [all[0], all.at(-1)];
  return Array.from({ length: MOST_PLACES }, (_, at) => first + ((last - first) * at) / (MOST_PLACES - 1));
}
