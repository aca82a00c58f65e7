// The columns that a table of runs may have: fixed ones, the keys of configurations, and metrics. A column
// has {id, title, type, value(item)}, where `type` says how values are compared, written and aligned, and
// perhaps `terms(item)`, the list that a filter looks in.
// Ids are those of the address: `took`, `config.lr`, `last.loss`, `least.loss`, `greatest.loss`.

import { serviceNow } from "../common/clock.js";
import { displayName, lastLine } from "../common/format.js";
import { metricNumber } from "./values.js";

export const STATUSES = ["running", "stale", "pending", "failed", "completed", "cancelled"];
const METRIC = /^(last|least|greatest|best)\.(.+)$/s;
const LEAST = /^(loss(es)?|err(or|s)?|perplexity|ppl|nll|mse|mae|rmse|mape|bpc|wer|cer|fid|cost|regret|kl|divergence|distance|latency|time|seconds|ms|bits|violations?|failures?)$/;
const GREATEST = /^(acc(uracy)?|scores?|rewards?|returns?|f1|auc|auroc|ap|map|bleu|rouge|iou|miou|dice|precision|recall|psnr|ssim|success|wins?|r2|throughput|speed|rate|top|top1|top5|hits?|ndcg|mrr|em|sps|fps|correct)$/;
// tokens of the address for columns that are chosen by themselves
export const DIFFERING = "config";
export const METRICS = "metrics";

export const FIXED = [
  { id: "status", title: "status", type: "choice", choices: STATUSES, width: 6.6, value: ({ run }) => statusOf(run), terms: ({ run }) => [statusOf(run), run.status] },
  { id: "experiment", title: "experiment", type: "text", width: 11, value: (item) => item.experiment },
  { id: "began", title: "began", type: "time", width: 6.4, value: ({ run }) => (run.started_at ? Date.parse(run.started_at) : undefined) },
  { id: "took", title: "took", type: "span", width: 5.8, value: ({ run }) => took(run) },
  { id: "progress", title: "progress", type: "percent", width: 12.5, value: ({ run, progress }) => part(run, progress) },
  { id: "tags", title: "tags", type: "tags", width: 9, value: ({ run }) => tagsOf(run) },
  { id: "notes", title: "notes", type: "text", width: 14, value: ({ run }) => textOf(run.metadata?.notes) },
  { id: "error", title: "error", type: "text", width: 18, value: ({ run }) => (run.error ? lastLine(run.error) : undefined) },
  { id: "created", title: "created", type: "time", width: 6.8, value: ({ run }) => Date.parse(run.created_at) },
  { id: "ended", title: "ended", type: "time", width: 6.8, value: ({ run }) => (run.completed_at ? Date.parse(run.completed_at) : undefined) },
  { id: "lines", title: "log lines", type: "number", width: 5.5, value: ({ run }) => run.log_count },
  { id: "id", title: "id", type: "text", width: 14, value: ({ run }) => run.id },
];
export const NAME = { id: "name", title: "name", type: "text", width: 15, value: ({ run }) => displayName(run) };
// what a filter finds, and no column shows
const HIDDEN = [{ id: "age", title: "age", type: "span", value: ({ run }) => (serviceNow() - Date.parse(run.created_at)) / 1000 }];
const BY_ID = new Map([NAME, ...FIXED, ...HIDDEN].map((column) => [column.id, column]));
const ALIASES = { tag: "tags", note: "notes", progress: "progress", instance: "experiment", started: "began", lines: "lines", duration: "took" };

export function statusOf(run) {
  return run.status === "running" && run.stale ? "stale" : run.status;
}

// In seconds; until now for one that runs.
export function took(run) {
  if (!run.started_at) return undefined;
  const end = run.completed_at ? Date.parse(run.completed_at) : serviceNow();
  return Math.max(0, end - Date.parse(run.started_at)) / 1000;
}

export function tagsOf(run) {
  const { tags } = run.metadata ?? {};
  return Array.isArray(tags) ? tags.filter((tag) => typeof tag === "string") : textOf(tags) ? [tags] : [];
}

export function textOf(value) {
  return typeof value === "string" ? value : "";
}

// How much of a run is done, from 0 to 1; undefined if that is not known.
function part(run, progress) {
  if (progress?.total > 0) return Math.min(1, progress.current / progress.total);
  return run.status === "completed" ? 1 : undefined;
}

// Whether the least or the greatest value of a metric is the best, by its name: its last word that says so.
export function bestOf(key) {
  const words = key.replace(/([a-z])([A-Z])/g, "$1 $2").toLowerCase().split(/[^a-z0-9]+/);
  const word = words.findLast((each) => LEAST.test(each) || GREATEST.test(each));
  return word && GREATEST.test(word) ? "greatest" : "least";
}

// The column with an id; null if no id is like this.
export function columnOf(id) {
  if (BY_ID.has(id)) return BY_ID.get(id);
  if (id.startsWith("config.")) return configColumn(id.slice(7));
  const [, which, key] = id.match(METRIC) ?? [];
  return which ? metricColumn(which === "best" ? bestOf(key) : which, key) : null;
}

function configColumn(key) {
  return { id: `config.${key}`, title: key, key, kind: "config", type: "setting", width: 7, value: (item) => item.config.get(key) ?? undefined };
}

// `which` is last, least or greatest.
function metricColumn(which, key) {
  return { id: `${which}.${key}`, title: key, key, kind: "metric", which, type: "number", width: 6.6, value: (item) => metricNumber(item.summary[key]?.[which]) };
}

// Finds columns by what people write in a filter. `configs` is a map of the keys of configurations, which says of each
// whether it has numbers; `metrics` is the set of their keys, and with `arePartial` there may be more of them.
export class Names {
  constructor({ configs, metrics, arePartial }) {
    Object.assign(this, { configs, metrics, arePartial });
  }

  // Raises Error if nothing has the name.
  find(name) {
    const id = ALIASES[name] ?? name;
    if (BY_ID.has(id)) return BY_ID.get(id);
    const [, prefix, key] = name.match(/^(config|last|least|greatest|best)\.(.+)$/s) ?? [];
    if (prefix && ((prefix === "config" ? this.configs : this.metrics).has(key) || (this.arePartial && prefix !== "config"))) return columnOf(name);
    if (this.configs.has(name)) return columnOf(`config.${name}`);
    return this.nested(name);
  }

  // `lr` finds `optimizer.lr` if no other key ends so. It is rather this one than a metric of that name; but not
  // if it has no numbers, as `model.loss` has the name of a loss.
  nested(name) {
    const found = [...this.configs.keys()].filter((key) => key.endsWith(`.${name}`)).sort();
    const isMetric = this.metrics.has(name);
    if (found.length === 1 && (!isMetric || this.configs.get(found[0]))) return columnOf(`config.${found[0]}`);
    if (isMetric) return columnOf(`last.${name}`);
    if (found.length) throw new Error(`“${name}” is ${found.slice(0, 4).join(" or ")}: write one of them`);
    const near = this.near(name);
    throw new Error(`no run has “${name}”${near ? `; is it ${near}?` : ""}`);
  }

  near(name) {
    let [nearest, best] = [null, Math.min(3, name.length / 2)];
    for (const known of [...BY_ID.keys(), ...[...this.configs.keys(), ...this.metrics].slice(0, 5000)]) {
      const far = distance(name.toLowerCase(), known.toLowerCase(), best);
      if (far < best) [nearest, best] = [known, far];
    }
    return nearest;
  }
}

// How many letters differ between two words (Levenshtein); Infinity if they are more than `most`.
function distance(one, other, most) {
  if (Math.abs(one.length - other.length) > most) return Infinity;
  let row = Array.from({ length: other.length + 1 }, (_, at) => at);
  for (let i = 1; i <= one.length; i += 1) {
    const next = [i];
    for (let j = 1; j <= other.length; j += 1) {
      next.push(Math.min(row[j] + 1, next[j - 1] + 1, row[j - 1] + (one[i - 1] === other[j - 1] ? 0 : 1)));
    }
    row = next;
  }
  return row.at(-1);
}

// The metrics that a table shows by itself: those of most runs first, those whose name speaks of quality before others.
export function leadingMetrics(metrics, most) {
  const score = ({ key }) => {
    if (/^system[/._]/.test(key)) return -1;
    const words = key.toLowerCase().split(/[^a-z0-9]+/);
    const judges = words.some((word) => LEAST.test(word) || GREATEST.test(word));
    return (judges ? 2 : 0) + (words.some((word) => /^(val|valid|validation|test|eval|dev)$/.test(word)) ? 1 : 0);
  };
  return metrics.filter((metric) => metric.points > 0 && score(metric) >= 0)
    .sort((one, other) => score(other) - score(one) || other.runs - one.runs || (one.key < other.key ? -1 : 1))
    .slice(0, most).map(({ key }) => key);
}
