// How long a bar's rest will take, from its pace so far. Times are the service's, in milliseconds.

// milliseconds of watching after which the pace of that time counts, instead of the pace since the start
const WATCHED = 20000;

export class Pace {
  // `startedAt` is when the bar began, if that is known.
  constructor(startedAt = null) {
    this.base = startedAt == null ? null : { at: startedAt, current: 0 };
    this.seen = null;
  }

  // Takes a report, and returns the seconds that are left; null if nobody can know.
  left({ current, total }, at) {
    const isNew = this.newest && (this.newest.total !== total || current < this.newest.current);
    // a new bar, of another epoch for example, has its own pace
    if (isNew) this.base = this.seen = { at, current };
    this.newest = { current, total };
    this.seen ??= { at, current };
    this.base ??= this.seen;
    if (at - this.seen.at > WATCHED && current > this.seen.current) this.base = this.seen;
    const done = current - this.base.current;
    const took = at - this.base.at;
    return total && done > 0 && took > 0 && current < total ? ((total - current) * took) / done / 1000 : null;
  }
}
