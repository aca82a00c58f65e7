// The curves of runs: requested in batches when they are wanted, and continued by live results.

import { getJson, runPath } from "../common/api.js";
import { Live } from "./live.js";
import { Series } from "./series.js";

const MOST_KEYS = 50;
const MOST_RUNS = 50;
// points in one answer: a first chart should not wait for all of them
const BATCH = 12000;
const AT_ONCE = 2;
// curves that are kept; those that were not seen for the longest time are forgotten
const MOST_CURVES = 1500;
// milliseconds until a failed request is sent again, at least
const RETRY = 2000;

export class Curves {
  // `onCurve(key)` is called for each key whose curves came, `onState(text)` with an error, or "".
  constructor({ onCurve, onState }) {
    this.onCurve = onCurve;
    this.onState = onState;
    this.axis = "step";
    this.points = 1000;
    this.refused = new Set();
    this.leaving = new AbortController();
    this.forget();
  }

  // Forgets all curves, for another axis.
  forget(axis = this.axis) {
    this.axis = axis;
    this.curves = new Map();
    this.details = new Map();
    this.stop();
  }

  series(run, key) {
    return this.curves.get(nameOf(run, key))?.value ?? null;
  }

  // A part of the curve with more points, if it has come; `series` has all of it.
  detail(run, key) {
    return this.details.get(nameOf(run, key))?.value ?? null;
  }

  // Whether it was requested, be it that it has not come, or could not be had.
  hasDetail(run, key) {
    return this.details.has(nameOf(run, key));
  }

  // Requests the curves of these keys and runs that are not here, the first ones first, and no others
  // that are still waiting.
  want(runs, keys) {
    this.wanted = new Map();
    for (const key of keys) {
      const missing = runs.filter((run) => !this.refused.has(run) && !this.has(run, key));
      if (missing.length) this.wanted.set(key, missing);
    }
    this.clear(new Set(keys.flatMap((key) => runs.map((run) => nameOf(run, key)))));
    this.pump();
  }

  clear(needed) {
    for (const [name, curve] of this.curves) {
      if (this.curves.size <= MOST_CURVES) break;
      if (!needed.has(name) && !curve.isLoading) this.curves.delete(name);
    }
  }

  has(run, key) {
    return this.curves.get(nameOf(run, key))?.isCurrent ?? false;
  }

  pump() {
    while (this.underWay < AT_ONCE && this.wanted.size && !this.waiting) this.request(this.batch());
  }

  // The first key, and others that the same runs miss, as far as one request may have them.
  batch() {
    const [[, missing]] = this.wanted;
    const runs = missing.slice(0, MOST_RUNS);
    const most = Math.max(1, Math.min(MOST_KEYS, Math.floor(BATCH / (runs.length * this.points))));
    const keys = [];
    for (const [key, others] of this.wanted) {
      if (keys.length === most) break;
      if (runs.some((run, at) => others[at] !== run)) continue;
      keys.push(key);
      if (others.length > runs.length) this.wanted.set(key, others.slice(runs.length));
      else this.wanted.delete(key);
    }
    return { runs, keys };
  }

  async request({ runs, keys }) {
    const age = this.age;
    const begun = [];
    for (const run of runs) {
      for (const key of keys) {
        const name = nameOf(run, key);
        if (!this.curves.has(name)) this.curves.set(name, new Live((curve) => new Series(curve, this.axis, this.points)));
        const live = this.curves.get(name);
        begun.push([name, live, live.begin()]);
      }
    }
    this.underWay += 1;
    try {
      const answers = await this.ask(runs, keys, this.points);
      if (age === this.age) this.onState("");
      for (const [name, live, since] of begun) live.end(since, answers.get(name));
      if (age === this.age) for (const key of keys) this.onCurve(key);
    } catch (error) {
      for (const [, live, since] of begun) live.fail(since);
      if (age === this.age && !this.leaving.signal.aborted) this.failed(error, runs, keys);
    } finally {
      if (age === this.age) {
        this.underWay -= 1;
        this.pump();
      }
    }
  }

  // A run that is gone, or not allowed, must not keep the others from being shown.
  failed(error, runs, keys) {
    const isRefusal = error.status === 403 || error.status === 404;
    if (isRefusal && runs.length === 1) {
      this.refused.add(runs[0]);
      this.onState(error.message);
      return;
    }
    if (isRefusal) {
      for (const run of runs) this.request({ runs: [run], keys });
      return;
    }
    this.onState(error.status ? error.message : "the service does not answer; trying again");
    // the same request would be refused again
    if (error.status >= 400 && error.status < 500 && error.status !== 429) return;
    for (const key of keys) this.wanted.set(key, [...new Set([...(this.wanted.get(key) ?? []), ...runs])]);
    this.waiting = setTimeout(() => {
      this.waiting = null;
      this.pump();
    }, (error.retryAfter ?? 0) * 1000 || RETRY * (1 + Math.random()));
  }

  // The curves by name.
  async ask(runs, keys, points, [from, to] = []) {
    const query = new URLSearchParams([...keys.map((key) => ["key", key]), ["points", points], ["x", this.axis]]);
    if (from != null) query.set("from", from);
    if (to != null) query.set("to", to);
    if (runs.length > 1) for (const run of runs) query.append("run", run);
    const path = runs.length > 1 ? "curves" : `${runPath(runs[0])}/curves`;
    const { curves } = await getJson(`${path}?${query}`, { signal: this.leaving.signal });
    return new Map(curves.map((curve) => [nameOf(curve.run_id, curve.key), curve]));
  }

  // Requests a part of the curves of one key, or with `range` null all of it, with more points.
  // `ranges` is a map of [from, to] by run.
  async look(key, ranges, points) {
    const { age } = this;
    const byRange = Map.groupBy([...ranges], ([, range]) => JSON.stringify(range));
    await Promise.all([...byRange.values()].map(async (same) => {
      const range = same[0][1] ?? undefined;
      const begun = same.map(([run]) => {
        const live = new Live((curve) => new Series(curve, this.axis, points, range));
        this.details.set(nameOf(run, key), live);
        return [nameOf(run, key), live, live.begin()];
      });
      try {
        const answers = await this.ask(same.map(([run]) => run), [key], points, range);
        for (const [name, live, since] of begun) live.end(since, answers.get(name));
      } catch {
        // the curve is drawn with the points it has
        for (const [, live, since] of begun) live.fail(since);
      }
    }));
    if (age === this.age) this.onCurve(key);
  }

  unlook(runs, key) {
    for (const run of runs) this.details.delete(nameOf(run, key));
  }

  append(run, result) {
    const name = nameOf(run, result.key);
    const isNew = this.curves.get(name)?.append(result);
    return this.details.get(name)?.append(result) || isNew;
  }

  // Live results are missing. The curves stay until those that are wanted are loaded again.
  expire() {
    for (const curve of this.curves.values()) curve.expire();
    this.details.clear();
    this.refused.clear();
    this.stop();
  }

  // Answers to requests under way count no more.
  stop() {
    this.wanted = new Map();
    this.underWay = 0;
    this.age = {};
    clearTimeout(this.waiting);
    this.waiting = null;
  }

  close() {
    this.leaving.abort();
    clearTimeout(this.waiting);
  }
}

function nameOf(run, key) {
  return `${run} ${key}`;
}
