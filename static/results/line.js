// One run's curve in one chart: a series over an axis.

import { smoothed } from "./smooth.js";

export class Line {
  // `series` has the points to draw; `xs` their places on the axis, less `offset`; NaN for none.
  constructor(run, series, xs = series.xs, offset = 0) {
    this.run = run;
    this.series = series;
    this.xs = xs;
    this.offset = offset;
  }

  get length() {
    return this.series.ys.length;
  }

  x(at) {
    return this.xs[at] - this.offset;
  }

  y(at) {
    return this.series.ys[at];
  }

  // The smoothed curve, as a line of its own.
  smooth(ratio) {
    const { places, values } = smoothed(this.series, ratio);
    return new Line(this.run, { ys: values, isThinned: false }, places.map((at) => this.xs[at]), this.offset);
  }

  // The place of the point whose x is the nearest, of those with a y that `accepts`; -1 for none. Steps
  // may go back, so all are looked at.
  nearest(x, accepts = () => true) {
    let [found, least] = [-1, Infinity];
    for (let at = 0; at < this.length; at += 1) {
      const distance = Math.abs(this.x(at) - x);
      if (distance <= least && accepts(this.y(at))) [found, least] = [at, distance];
    }
    return found;
  }
}

// The places of a series' points over another metric of the same run: what that metric was at the same
// step, between two of its points on the line between them. NaN where it has no value.
export function placesOver(series, other) {
  const order = other.xs.map((_, at) => at).filter((at) => Number.isFinite(other.ys[at])).sort((one, two) => other.xs[one] - other.xs[two]);
  const steps = order.map((at) => other.xs[at]);
  const values = order.map((at) => other.ys[at]);
  return series.xs.map((step) => between(steps, values, step));
}

// The value at `x`, by linear interpolation; `xs` increase. NaN outside of them.
export function between(xs, ys, x) {
  let [low, high] = [0, xs.length - 1];
  if (high < 0 || x < xs[0] || x > xs[high]) return NaN;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (xs[middle] <= x) low = middle;
    else high = middle;
  }
  const width = xs[high] - xs[low];
  if (x === xs[high] || !width) return ys[high];
  const share = (x - xs[low]) / width;
  return ys[low] * (1 - share) + ys[high] * share;
}
