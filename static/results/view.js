// What a chart shows at a moment: its scales, and in which strength each curve is drawn.

import { bandOf } from "./band.js";
import { Line } from "./line.js";
import { Scale } from "./scale.js";

const PAD = 0.05;

// What a group is highlighted by; no run's id has a space.
export function groupId(group) {
  return `group ${group}`;
}

// `lines` are the curves; `settings` has axis, axisName, isLog, smooth, band; `zoom` is a range of x or
// null; `highlight` is the id of a run or of a group, or null.
export function viewOf(lines, { axis, axisName, isLog, smooth, band }, zoom, highlight) {
  const shows = (y) => Number.isFinite(y) && (!isLog || y > 0);
  const groups = [...Map.groupBy(lines.filter(({ run }) => run.group != null), ({ run }) => run.group).values()];
  const means = groups.filter((group) => group.length > 1).map((group) => meanOf(group, smooth, band, highlight));
  const slots = new Map(means.flatMap(({ group, slot }) => group.map((line) => [line, slot])));
  const strokes = lines.flatMap((line) => strokesOf(line, smooth, slots.get(line), highlight));
  for (const { line, slot, isFaint } of means) strokes.push({ line, slot, isFaint, isStrong: true });
  const bands = band === "none" ? [] : means;
  const view = { axis, axisName, shows, strokes, bands, lines, text: "", x: null, y: null };
  Object.assign(view, scalesOf(view, isLog, zoom));
  if (!view.y) view.text = lines.some((line) => line.length) ? "no value can be shown here" : "no points";
  return view;
}

// A group's mean as a line, and its band.
function meanOf(group, smooth, kind, highlight) {
  const parts = smooth > 0 ? group.map((line) => line.smooth(smooth)) : group;
  const band = bandOf(parts, kind);
  const [{ run }] = group;
  const isFaint = highlight != null && highlight !== groupId(run.group) && !group.some((line) => line.run.id === highlight);
  return { group, band, slot: run.slot, isFaint, line: new Line({ ...run, name: `mean of ${run.group}` }, { ys: band.means, isThinned: false }, band.xs) };
}

// With smoothing, the points are faint behind the smoothed curve; so are the runs of a group.
function strokesOf(line, smooth, groupSlot, highlight) {
  const { id } = line.run;
  const slot = groupSlot ?? line.run.slot;
  const isInGroup = groupSlot !== undefined;
  const isOther = highlight != null && highlight !== id;
  const isStrong = highlight === id;
  const raw = { line, slot, marks: true, isFaint: isOther || (isInGroup && !isStrong), isStrong, hasDash: !isInGroup };
  if (!(smooth > 0)) return [raw];
  const above = { ...raw, line: line.smooth(smooth), marks: false };
  return [{ ...raw, isFaint: true, isStrong: false, hasDash: false }, ...(isInGroup && !isStrong ? [] : [above])];
}

// The ranges of what is drawn: of all x without a zoom, and of the values inside it.
function scalesOf({ strokes, bands, shows }, log, zoom) {
  const [xs, ys] = [new Range(), new Range()];
  const [from, to] = zoom ?? [-Infinity, Infinity];
  const add = (x, y) => {
    if (!(x >= from && x <= to)) return;
    xs.add(x);
    if (shows(y)) ys.add(y);
  };
  for (const { line } of strokes) for (let at = 0; at < line.length; at += 1) add(line.x(at), line.y(at));
  for (const { band } of bands) band.xs.forEach((x, at) => [band.lows[at], band.highs[at]].forEach((y) => add(x, y)));
  if (!xs.isEmpty && ys.isEmpty) ys.add(1);
  if (ys.isEmpty) return { x: null, y: null };
  return { x: zoom ? new Scale(...zoom) : new Scale(xs.low, xs.high), y: new Scale(ys.low, ys.high, { log, pad: PAD }) };
}

class Range {
  constructor() {
    this.low = Infinity;
    this.high = -Infinity;
  }

  add(value) {
    if (value < this.low) this.low = value;
    if (value > this.high) this.high = value;
  }

  get isEmpty() {
    return this.low > this.high;
  }
}

// How many values of these series a log scale can't show, and whether it may be more: of a bucket, its
// least and greatest value are known, and its number of points.
export function notPositive(lines) {
  let [count, isLeast] = [0, false];
  for (const { series: { ys, listed, sizes } } of lines) {
    let from = 0;
    for (let bucket = 0; bucket < sizes.length; bucket += 1) {
      const to = from + listed[bucket];
      let [low, finite] = [0, 0];
      for (; from < to; from += 1) {
        if (!Number.isFinite(ys[from])) continue;
        finite += 1;
        if (ys[from] <= 0) low += 1;
      }
      const all = low > 0 && low === finite;
      count += all && finite === listed[bucket] ? sizes[bucket] : low;
      isLeast ||= low > 0 && sizes[bucket] > listed[bucket] && !(all && finite === listed[bucket]);
    }
  }
  return { count, isLeast };
}
