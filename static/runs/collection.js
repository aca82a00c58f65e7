// The runs of the service, or of one experiment: loaded page by page, kept up to date by events.

import { getExactJson, getJson, nextPath, runPath } from "../common/api.js";
import { RUN_ENDS } from "../stream/stream.js";
import { displayName } from "../common/format.js";
import { flat } from "./values.js";

// keys of a request, and keys of a run in an answer to `summary=*`
const MOST_KEYS = 50;
const SUMMARY_KEYS = 20;
const PAGE = 1000;
// a page with summaries has at most so many runs
const SUMMARY_PAGE = 250;
// milliseconds without a sign of life of a running run after which the page asks whether it is stale
const SILENCE = 61000;
// milliseconds between two reads of the metrics of running runs
const REFRESH = 4000;

export class Runs {
  // `path` is that of a list of runs. `handlers` are `changed(item, what)`, for a run's progress or metric; `listed()`, when runs
  // came or went or ended; `reported()`, when there may be new metrics; and `experimentOf(run)`, which gives
  // {name, config} of the run's experiment. `keys` are the metrics that are shown.
  constructor(path, handlers) {
    this.path = path;
    this.handlers = handlers;
    this.items = new Map();
    this.progress = new Map();
    this.keys = [];
    this.loaded = new Set();
    this.isComplete = false;
    // grows when any configuration may be another one
    this.version = 0;
    this.cursor = null;
    this.newest = 0;
    this.closed = false;
  }

  // Reads all runs; the first pages can be drawn before the last ones come. Returns the cursor of the first page:
  // a stream after it repeats what the later pages contain, in order.
  async load() {
    const before = this.items;
    const fresh = new Map();
    const isFirst = !before.size;
    if (isFirst) this.items = fresh;
    let oldest = 0;
    let cursor = null;
    this.isComplete = false;
    for await (const page of this.pages(this.path, this.keys)) {
      cursor ??= this.cursor = page.last_event_id;
      for (const run of page.runs) {
        fresh.set(run.id, this.item(run, (oldest -= 1), before.get(run.id)));
      }
      if (isFirst) this.handlers.listed();
    }
    this.items = fresh;
    this.version += 1;
    this.loaded = new Set(this.keys);
    this.newest = 0;
    this.isComplete = true;
    this.handlers.listed();
    return cursor;
  }

  // The pages of a list of runs, with summaries of `keys`.
  async *pages(path, keys) {
    const fields = new URLSearchParams(keys.slice(0, MOST_KEYS).map((key) => ["summary", key]));
    fields.set("limit", keys.length ? SUMMARY_PAGE : PAGE);
    let next = `${path}${path.includes("?") ? "&" : "?"}${fields}`;
    while (next && !this.closed) {
      const page = await getExactJson(next);
      if (this.closed) return;
      yield page;
      next = nextPath(next, page.next);
    }
  }

  // `rank` orders the runs by their creation: the greater, the newer.
  item(run, rank, before) {
    const { summary, progress, ...rest } = run;
    const item = before ?? { id: run.id, summary: {}, progress: null };
    if (summary) item.summary = { ...item.summary, ...summary };
    item.rank = rank;
    item.progress = progress ?? item.progress ?? this.progress.get(run.id) ?? null;
    this.describe(item, rest);
    return item;
  }

  describe(item, run) {
    this.version += 1;
    const experiment = this.handlers.experimentOf(run);
    item.run = run;
    item.heardAt ??= performance.now();
    item.experiment = experiment?.name ?? run.instance_id;
    item.config = flat(run.metadata?.config ?? experiment?.config ?? {});
    item.words = null;
  }

  // An experiment has another name or configuration.
  redescribe(instanceId) {
    for (const item of this.items.values()) if (item.run.instance_id === instanceId) this.describe(item, item.run);
    this.handlers.listed();
  }

  // Takes an event of the stream; whether it concerned a run.
  take(event) {
    if (event.type === "run_progress") return this.advance(event);
    if (event.type === "run_deleted") {
      this.version += 1;
      if (this.items.delete(event.run_id)) this.handlers.listed();
    } else if (event.run) this.replace(event);
    else return false;
    return true;
  }

  advance(event) {
    const item = this.items.get(event.run_id);
    this.progress.set(event.run_id, event);
    if (!item) return true;
    item.progress = event;
    this.sign(item, "progress");
    return true;
  }

  // The run may have given a sign of life; a stream begins with progress that is old, though.
  sign(item, what) {
    item.heardAt = performance.now();
    this.handlers.changed(item, what);
    this.refresh();
  }

  replace({ type, run }) {
    const item = this.items.get(run.id);
    if (item) item.heardAt = performance.now();
    if (item) this.describe(item, { ...run, stale: type === "run_updated" && item.run.stale });
    else this.items.set(run.id, this.item(run, (this.newest += 1)));
    if (RUN_ENDS.includes(type) && run.result_count) this.settle(run.id);
    this.handlers.listed();
  }

  delete(instanceId) {
    this.version += 1;
    for (const [id, { run }] of this.items) if (run.instance_id === instanceId) this.items.delete(id);
    this.handlers.listed();
  }

  // Shows these metrics: reads those of all runs that were not read before.
  async want(keys) {
    this.keys = keys;
    if (!this.isComplete) return;
    const fresh = keys.filter((key) => !this.loaded.has(key)).slice(0, MOST_KEYS);
    if (!fresh.length) return;
    for (const key of fresh) this.loaded.add(key);
    try {
      for await (const page of this.pages(this.path, fresh)) this.merge(page.runs);
    } catch (error) {
      for (const key of fresh) this.loaded.delete(key);
      throw error;
    }
  }

  // Reads the first metrics of each run; returns which there are: {key, runs, points}.
  async discover() {
    const found = new Map();
    let isCut = false;
    for await (const page of this.pages(this.path, ["*"])) {
      for (const { summary } of page.runs) {
        const entries = Object.entries(summary ?? {});
        isCut ||= entries.length >= SUMMARY_KEYS;
        for (const [key, { points }] of entries) {
          const { runs, points: before } = found.get(key) ?? { runs: 0, points: 0 };
          found.set(key, { runs: runs + 1, points: before + points });
        }
      }
      this.merge(page.runs);
    }
    if (!isCut) for (const key of found.keys()) this.loaded.add(key);
    return [...found].map(([key, counts]) => ({ key, ...counts }));
  }

  merge(runs) {
    for (const run of runs) {
      const item = this.items.get(run.id);
      if (!item) continue;
      if (run.summary) item.summary = { ...item.summary, ...run.summary };
      if (item.run.status === "running" && run.stale !== undefined) item.run = { ...item.run, stale: run.stale };
    }
    this.handlers.listed();
  }

  // A result that another stream brought: the summary follows at once. A result that the summary contains
  // already changes nothing for long.
  fold(runId, { key, value }) {
    const item = this.items.get(runId);
    const isPoint = typeof value === "number" || ["NaN", "Infinity", "-Infinity"].includes(value);
    if (!item || !isPoint) return;
    const before = item.summary[key] ?? { least: null, greatest: null };
    const now = { ...before, last: value };
    if (typeof value === "number") {
      now.least = before.least === null || value < before.least ? value : before.least;
      now.greatest = before.greatest === null || value > before.greatest ? value : before.greatest;
    }
    item.summary = { ...item.summary, [key]: now };
    this.sign(item, "metric");
  }

  // Progress says that there may be new metrics: reads those of the running runs, at most every few seconds.
  refresh() {
    if (this.refreshing || !this.isComplete) return;
    this.refreshing = setTimeout(() => this.look(), REFRESH);
  }

  // Reads the running runs: their metrics, and whether they are stale.
  async look() {
    try {
      if (document.hidden || this.closed) return;
      for await (const page of this.pages("runs?status=running", this.keys)) {
        this.merge(page.runs);
        for (const { id } of page.runs) if (this.items.has(id)) this.items.get(id).heardAt = performance.now();
      }
      this.handlers.reported?.();
    } catch (error) {
      console.warn(error);
    } finally {
      this.refreshing = 0;
    }
  }

  // Asks about runs that are silent: no event says that a run is stale.
  listen() {
    if (this.refreshing || document.hidden || !this.isComplete) return;
    const now = performance.now();
    const isSilent = ({ run, heardAt }) => run.status === "running" && !run.stale && now - heardAt > SILENCE;
    if ([...this.items.values()].some(isSilent)) this.refreshing = setTimeout(() => this.look());
  }

  // Reads the metrics of a run that has ended.
  async settle(id) {
    if (!this.isComplete) return;
    try {
      const { summary } = await getJson(runPath(id));
      if (Object.keys(summary ?? {}).length >= 100) await this.settleAll(id, summary);
      this.merge([{ id, summary }]);
      this.handlers.reported?.();
    } catch (error) {
      if (error.status !== 404) console.warn(error);
    }
  }

  // A run's summary has its first 100 keys only.
  async settleAll(id, summary) {
    let path = `${runPath(id)}/metrics?limit=10000`;
    while (path) {
      const page = await getJson(path);
      for (const { key, ...metric } of page.metrics) if (this.keys.includes(key)) summary[key] = metric;
      path = nextPath(path, page.next);
    }
  }

  close() {
    this.closed = true;
    clearTimeout(this.refreshing);
  }
}

// The text that a search without a name looks in, in small letters.
export function wordsOf(item) {
  const { run } = item;
  item.words ??= [run.id, displayName(run), item.experiment, run.status, run.error, run.metadata?.notes, ...[run.metadata?.tags ?? []].flat()]
    .filter((text) => typeof text === "string").join("\n").toLowerCase();
  return item.words;
}
