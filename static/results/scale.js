// From values to a share of an axis, and back.

import { logTicks, ticks, unitOf, widen } from "./ticks.js";

// decades that a log scale has at least, so that its ticks differ in double precision; more of them among
// the least numbers, which have few digits
const [LEAST_LOG, TINY, TINY_LOG] = [1e-9, -290, 4];

export class Scale {
  // `pad`: the share of the range that stays free at both ends
  constructor(low, high, { log = false, pad = 0 } = {}) {
    this.log = log;
    if (log) {
      [this.from, this.to] = widenLog(...widen(Math.log10(low), Math.log10(high), pad));
      [this.low, this.high] = [Math.max(Number.MIN_VALUE, 10 ** this.from), Math.min(Number.MAX_VALUE, 10 ** this.to)];
      this.unit = 1;
    } else {
      [this.from, this.to] = [this.low, this.high] = widen(low, high, pad);
      this.unit = unitOf(this.low, this.high);
    }
    this.width = this.to * this.unit - this.from * this.unit;
  }

  // 0 at the low end, 1 at the high one
  share(value) {
    return ((this.log ? Math.log10(value) : value) * this.unit - this.from * this.unit) / this.width;
  }

  value(share) {
    const at = (this.from * this.unit + share * this.width) / this.unit;
    return this.log ? 10 ** at : at;
  }

  ticks(most) {
    return this.log ? logTicks(this.low, this.high, most) : ticks(this.low, this.high, most);
  }
}

function widenLog(from, to) {
  const least = from < TINY ? TINY_LOG : LEAST_LOG;
  return to - from < least ? [from - (least - (to - from)) / 2, to + (least - (to - from)) / 2] : [from, to];
}
