// A curve's points in order of arrival, thinned as they grow.
//
// Points form buckets: one point each, or many, of which the first, the least, the greatest and the last
// are listed, and the first of each kind that is not finite. A bucket knows how many points it stands
// for, and their mean.

import { numberOf } from "./point.js";

const LISTED = 4;

export class Series {
  // `curve` is the service's; null for a key that had no points. Live points outside of [from, to] are
  // not of this series. `axis` is step or time.
  constructor(curve, axis, most, [from, to] = [-Infinity, Infinity]) {
    this.axis = axis;
    this.most = most;
    this.from = from;
    this.to = to;
    // the newest result that this series knows of
    this.seq = curve?.seq ?? 0;
    // points of the key in the whole run
    this.count = curve?.count ?? 0;
    this.xs = curve?.x ?? [];
    this.ys = (curve?.y ?? []).map(numberOf);
    const buckets = curve?.buckets ?? this.ys.map((y) => [1, 1, y]);
    this.listed = buckets.map(([listed]) => listed);
    this.sizes = buckets.map(([, size]) => size);
    this.means = buckets.map(([, , mean]) => mean ?? NaN);
    // how many points the listed ones stand for
    this.points = this.sizes.reduce((sum, size) => sum + size, 0);
  }

  // Appends a live result; returns false for one that is there already, or is no point.
  append({ seq, step, timestamp, value }) {
    if (seq <= this.seq) return false;
    this.seq = seq;
    const y = numberOf(value);
    if (y === undefined) return false;
    const x = this.axis === "time" ? Date.parse(timestamp) / 1000 : (step ?? this.count);
    this.count += 1;
    if (x < this.from || x > this.to) return false;
    this.xs.push(x);
    this.ys.push(y);
    this.add(1, 1, y);
    if (this.ys.length > 2 * this.most) this.thin();
    return true;
  }

  add(listed, size, mean) {
    this.listed.push(listed);
    this.sizes.push(size);
    this.means.push(mean);
    this.points += size;
  }

  get isThinned() {
    return this.points > this.ys.length;
  }

  // of the finite values
  get mean() {
    return meanOf(this.means, this.sizes, 0, this.sizes.length - 1);
  }

  get newest() {
    return this.ys.at(-1);
  }

  // Joins neighbouring buckets until there are about most / 4.
  thin() {
    const share = (this.points * LISTED) / this.most;
    const { xs, ys, listed, sizes, means } = this;
    Object.assign(this, { xs: [], ys: [], listed: [], sizes: [], means: [], points: 0 });
    let from = 0;
    let first = 0;
    let size = 0;
    let to = 0;
    for (let bucket = 0; bucket < sizes.length; bucket += 1) {
      size += sizes[bucket];
      to += listed[bucket];
      if (size < share && bucket < sizes.length - 1) continue;
      const kept = bucket === first ? range(from, to) : representatives(ys, from, to);
      for (const at of kept) {
        this.xs.push(xs[at]);
        this.ys.push(ys[at]);
      }
      this.add(kept.length, size, meanOf(means, sizes, first, bucket));
      [from, first, size] = [to, bucket + 1, 0];
    }
  }
}

function range(from, to) {
  return Array.from({ length: to - from }, (_, at) => from + at);
}

// The places of the first, least, greatest and last finite value, and of the first of each other kind.
function representatives(ys, from, to) {
  const kept = new Set();
  const kinds = new Set();
  let [first, least, greatest, last] = [-1, -1, -1, -1];
  for (let at = from; at < to; at += 1) {
    const y = ys[at];
    if (!Number.isFinite(y)) {
      if (!kinds.has(String(y))) kept.add(at);
      kinds.add(String(y));
      continue;
    }
    if (first < 0) first = least = greatest = at;
    if (y < ys[least]) least = at;
    if (y > ys[greatest]) greatest = at;
    last = at;
  }
  if (first >= 0) for (const at of [first, least, greatest, last]) kept.add(at);
  return [...kept].sort((one, other) => one - other);
}

function meanOf(means, sizes, first, last) {
  let [mean, weight] = [0, 0];
  for (let bucket = first; bucket <= last; bucket += 1) {
    if (!Number.isFinite(means[bucket])) continue;
    weight += sizes[bucket];
    // a running mean: a sum could be too large
    const share = sizes[bucket] / weight;
    mean = mean * (1 - share) + means[bucket] * share;
  }
  return weight ? mean : NaN;
}
