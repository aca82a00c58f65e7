// What is known of each key of a run: the service's summary, and what has come since.

import { getExactJson, nextPath, runPath } from "../common/api.js";
import { Live } from "./live.js";
import { numberOf } from "./point.js";

const LIMIT = 10000;
let shapes = 0;

export class RunMetrics {
  constructor(id) {
    this.id = id;
    this.live = new Live((pages) => new Metrics(pages));
  }

  // Loads the metrics, again after a pause. Raises ApiError, TypeError without a connection.
  async load(options) {
    const since = this.live.begin();
    try {
      const pages = [];
      let path = `${runPath(this.id)}/metrics?limit=${LIMIT}`;
      while (path) {
        const page = await getExactJson(path, options);
        pages.push(page);
        path = nextPath(path, page.next);
      }
      this.live.end(since, pages);
    } catch (error) {
      this.live.fail(since);
      throw error;
    }
  }

  append(result) {
    return this.live.append(result);
  }

  get isLoaded() {
    return this.live.value !== null;
  }

  // A map of metrics (docs/protocol.md) by key.
  get keys() {
    return this.live.value?.keys ?? new Map();
  }

  // Changes when there is another key, or a key is to be shown in another way (keys.js).
  get shape() {
    return this.live.value?.shape ?? 0;
  }

  // The seq of the newest result, which is also how many the run has had.
  get seq() {
    return this.live.value?.seq ?? 0;
  }
}

class Metrics {
  // Each page may be newer than the one before it.
  constructor(pages) {
    this.keys = new Map();
    this.seqs = new Map();
    for (const { metrics, seq } of pages) {
      for (const metric of metrics) {
        this.keys.set(metric.key, metric);
        this.seqs.set(metric.key, seq);
      }
    }
    this.shape = shapes += 1;
    this.first = pages[0].seq;
    this.seq = pages.at(-1).seq;
  }

  append({ seq, key, value, step }) {
    this.seq = Math.max(this.seq, seq);
    if (seq <= (this.seqs.get(key) ?? this.first)) return false;
    if (!this.keys.has(key)) this.keys.set(key, { key, count: 0, points: 0, last: null, last_step: null });
    const metric = this.keys.get(key);
    metric.count += 1;
    if (numberOf(value) === undefined) {
      if (metric.count === metric.points + 1) this.shape = shapes += 1;
      return true;
    }
    metric.last = value;
    metric.last_step = step ?? metric.points;
    metric.points += 1;
    if (metric.points <= 2) this.shape = shapes += 1;
    return true;
  }
}
