// Where an axis has its ticks, and what they say: three or more of them, whatever the range.

import { span } from "../common/format.js";

// A range is at least so wide, relative to its numbers: 64 steps of double precision. A tick's number
// times its step is then exact.
const LEAST_SPAN = 2 ** -46;
const LEAST = 1e-290;
const MOST = Number.MAX_VALUE;
// no step is so small
const LEAST_POWER = -330;
// beyond it, the difference of two numbers may be no number
const HUGE = 1e300;
// digits of a label above which an axis shows differences from its first tick
const MOST_DIGITS = 7;
const SECONDS = [1, 2, 5, 10, 15, 30];
const TIMES = [
  ...SECONDS, ...SECONDS.map((each) => each * 60), ...[1, 2, 3, 6, 12].map((each) => each * 3600),
];
const DAY = 86400;
const MOST_TICKS = 50;
const DIGITS = new Intl.NumberFormat("en", { maximumFractionDigits: 20 });

// The factor that keeps sums and differences of a range finite.
export function unitOf(low, high) {
  return Math.max(Math.abs(low), Math.abs(high)) > HUGE ? 1e-4 : 1;
}

// A range in which three ticks have room, with `pad` (a share of its width) more at both ends.
export function widen(low, high, pad = 0) {
  const unit = unitOf(low, high);
  const [from, to] = [low * unit, high * unit];
  const size = Math.max(Math.abs(from), Math.abs(to));
  const least = Math.max(size * LEAST_SPAN, LEAST);
  const more = from === to ? Math.max(least / 2, pad ? size * pad || 0.5 : 0.5) : Math.max((to - from) * pad, (least - (to - from)) / 2);
  const limit = MOST * unit;
  return [Math.min(low, Math.max(-limit, from - more) / unit), Math.max(high, Math.min(limit, to + more) / unit)];
}

// Round numbers in a range that `widen` made: three at least, and `most` if that allows it.
export function ticks(low, high, most) {
  const unit = unitOf(low, high);
  const [from, to] = [low * unit, high * unit];
  let power = Math.floor(Math.log10(to - from)) + 1;
  let found = [];
  for (; power > LEAST_POWER; power -= 1) {
    for (const part of [5, 2, 1]) {
      const next = multiples(from, to, part, power);
      if (found.length >= 3 && next.length > most) return found.map((tick) => tick / unit);
      found = next;
      if (found.length >= Math.max(3, most)) return found.map((tick) => tick / unit);
    }
  }
  return found.map((tick) => tick / unit);
}

// The multiples of part × 10^power in the range.
function multiples(from, to, part, power) {
  const step = scaled(part, power);
  if (!(step > 0)) return [];
  const last = Math.floor(to / step);
  const found = [];
  for (let times = Math.ceil(from / step); times <= last; times += 1) {
    const tick = scaled(times * part, power) + 0;
    if (tick >= from && tick <= to) found.push(tick);
  }
  return found;
}

// number × 10^power; a division by an exact power rounds once, so that 3 × 10^-1 is 0.3
function scaled(number, power) {
  return power < 0 && power >= -22 ? number / 10 ** -power : number * 10 ** power;
}

// Powers of ten in a positive range; in a short one their multiples by 2 and 5, or round numbers.
export function logTicks(low, high, most) {
  const first = Math.ceil(Math.log10(low) - 1e-9);
  const last = Math.floor(Math.log10(high) + 1e-9);
  const inside = (tick) => tick >= low && tick <= high && Number.isFinite(tick);
  const powers = [];
  for (let power = first - 1; power <= last; power += 1) powers.push(10 ** power);
  const whole = powers.filter(inside);
  if (whole.length >= 3) {
    const every = Math.max(1, Math.min(Math.ceil(whole.length / most), Math.floor((whole.length - 1) / 2)));
    return whole.filter((_, at) => at % every === 0);
  }
  const parts = powers.flatMap((power) => [power, 2 * power, 5 * power]).filter(inside);
  return parts.length >= 3 ? parts : ticks(low, high, most);
}

// Ticks of seconds: at whole minutes, hours and days where the range is so long. `offset` is the time
// zone's, in seconds, for times of day.
export function timeTicks(low, high, most, offset = 0) {
  const width = high - low;
  if (width < 3) return ticks(low, high, most);
  const [from, to] = [low + offset, high + offset];
  if (width > 3 * DAY) return ticks(from / DAY, to / DAY, most).map((tick) => tick * DAY - offset).filter((tick) => tick >= low && tick <= high);
  const found = TIMES.filter((step) => step * 2 < width && width / step < MOST_TICKS)
    .map((step) => multiples(from, to, step, 0).map((tick) => tick - offset).filter((tick) => tick >= low && tick <= high))
    .filter(({ length }) => length >= 3);
  return found.find(({ length }) => length <= most) ?? found.at(-1) ?? ticks(low, high, most);
}

// The labels of ticks: as many digits as tell them apart. If that is too many, each says what it is
// more than the first tick, and `base` is the first one.
export function labels(values) {
  const digits = digitsOf(values, gapOf(values));
  if (digits <= MOST_DIGITS) return { texts: values.map((value) => plain(value, digits)), base: "" };
  const more = values.map((value) => value - values[0]);
  const few = digitsOf(more, gapOf(values));
  return { texts: more.map((value) => `+${plain(value, few)}`), base: String(values[0]) };
}

function gapOf(values) {
  const unit = unitOf(values[0], values.at(-1));
  return Math.min(...values.slice(1).map((value, at) => value * unit - values[at] * unit)) / unit;
}

// How many digits it takes to say all values well enough.
function digitsOf(values, gap) {
  let digits = 1;
  while (digits < 17 && values.some((value) => Math.abs(Number(value.toPrecision(digits)) - value) > gap / 20)) digits += 1;
  return digits;
}

// The labels of durations in seconds.
export function spanLabels(values) {
  const whole = values.every((value) => Math.abs(value - Math.round(value)) < 1e-6);
  if (whole) return { texts: values.map((value) => (value < 0 ? `-${span(-value)}` : span(value))), base: "" };
  const { texts, base } = labels(values);
  return { texts: texts.map((text) => `${text} s`), base };
}

// The labels of times of day, in the reader's time zone; seconds since the epoch. The date is the base.
export function clockLabels(values) {
  const whole = values.every((value) => value === Math.round(value));
  const dates = values.map((value) => new Date(value * 1000));
  const isLong = values.at(-1) - values[0] > 3 * DAY;
  const day = { month: "short", day: "numeric" };
  if (isLong) return { texts: dates.map((date) => date.toLocaleDateString([], day)), base: "" };
  const part = { hour: "2-digit", minute: "2-digit", hourCycle: "h23", ...(values.every((value) => value % 60 === 0) ? {} : { second: "2-digit" }), ...(whole ? {} : { fractionalSecondDigits: 3 }) };
  return { texts: dates.map((date) => date.toLocaleTimeString([], part)), base: dates[0].toLocaleDateString([], { ...day, year: "numeric" }) };
}

function plain(value, digits) {
  const short = Number(value.toPrecision(digits));
  const size = Math.abs(short);
  if (size !== 0 && (size >= 1e7 || size < 1e-4)) return short.toExponential().replace("e+", "e");
  return DIGITS.format(short);
}
