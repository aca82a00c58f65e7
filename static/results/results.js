// The Results tab: a chart for each key with numbers, and a tree for each other value.

import { getJson, nextPath, runPath } from "../common/api.js";
import { Chart, Series } from "./curve.js";
import { element } from "../common/dom.js";
import { downloadMenu } from "../common/download.js";
import { counted } from "../common/format.js";

const NOT_FINITE = new Map([["NaN", NaN], ["Infinity", Infinity], ["-Infinity", -Infinity]]);
const MOST_CHILDREN = 200;
const MOST_DEPTH = 40;
const MOST_VALUES = 200;

// A run's results so far: a series of numbers per key, and the other values.
export class Results {
  constructor(id) {
    this.id = id;
    this.seq = 0;
    this.series = new Map();
    this.values = new Map();
  }

  // Loads all results after those that are loaded, page by page.
  async load(onPage) {
    let path = `${runPath(this.id)}/results?after=${this.seq}&limit=10000`;
    while (path) {
      const page = await getJson(path);
      this.take(page.results);
      onPage?.();
      path = nextPath(path, page.next);
    }
  }

  take(results) {
    for (const { seq, key, value, step, timestamp } of results) {
      if (seq <= this.seq) continue;
      this.seq = seq;
      // text that means a number is one where the key has numbers (docs/protocol.md)
      const number = typeof value === "number" ? value : this.series.has(key) ? NOT_FINITE.get(value) : undefined;
      if (number !== undefined) {
        if (!this.series.has(key)) this.series.set(key, new Series());
        this.series.get(key).add(step, Date.parse(timestamp) / 1000, number);
      } else {
        if (!this.values.has(key)) this.values.set(key, []);
        const kept = this.values.get(key);
        kept.push({ seq, value, step });
        if (kept.length > MOST_VALUES) kept.shift();
      }
    }
  }
}

export class ChartSettings {
  constructor(onChange) {
    this.x = "step";
    this.log = false;
    this.smooth = 0;
    const change = (name, value) => {
      this[name] = value;
      onChange(name);
    };
    this.root = element("div", { class: "tools" },
      element("label", {}, "over ", element("select", { onchange: (event) => change("x", event.target.value) }, element("option", { value: "step" }, "step"), element("option", { value: "time" }, "time"))),
      element("label", {}, element("input", { type: "checkbox", onchange: (event) => change("log", event.target.checked) }), " log scale"),
      element("label", {}, "smoothing ", element("input", { type: "range", min: 0, max: 0.99, step: 0.01, value: 0, oninput: (event) => change("smooth", Number(event.target.value)) })),
      element("span", { class: "faint hint" }, "drag to zoom, double-click to reset"),
    );
  }
}

export class ResultsTab {
  constructor(id) {
    this.id = id;
    this.results = new Results(id);
    this.charts = new Map();
    this.trees = new Map();
    this.settings = new ChartSettings((name) => this.redraw(name));
    this.state = element("span", { class: "faint" });
    const menu = downloadMenu(id, "results", "download results", ["csv", "ndjson", "json"], this.state);
    this.settings.root.append(element("span", { class: "space" }), this.state, menu);
    this.grid = element("div", { class: "charts" });
    this.others = element("div", { class: "values" });
    this.empty = element("p", { class: "faint" }, "No results yet. In a script: run.log({\"loss\": 0.3}, step=1)");
    this.root = element("div", { class: "results-tab" }, this.settings.root, this.empty, this.grid, this.others);
  }

  async load() {
    await this.results.load(() => this.show());
    this.show();
  }

  append(results) {
    this.results.take(results);
    this.show();
  }

  show() {
    for (const [key, series] of this.results.series) {
      if (!this.charts.has(key)) {
        const chart = new Chart(key, this.settings);
        chart.curve(key, 0, series);
        this.charts.set(key, chart);
        this.grid.append(chart.root);
      }
      this.charts.get(key).draw();
    }
    for (const [key, kept] of this.results.values) {
      if (!this.trees.has(key)) {
        this.trees.set(key, new Values(key));
        this.others.append(this.trees.get(key).root);
      }
      this.trees.get(key).show(kept);
    }
    this.empty.hidden = this.charts.size + this.trees.size > 0;
  }

  redraw(name) {
    for (const chart of this.charts.values()) {
      if (name === "x") chart.zoom = null;
      chart.draw();
    }
  }

  get count() {
    return this.results.seq;
  }

  close() {
    for (const chart of this.charts.values()) chart.close();
  }
}

// The values of one key that are not numbers, the newest first.
class Values {
  constructor(key) {
    this.count = element("span", { class: "faint" });
    this.list = element("div", {});
    this.root = element("section", { class: "card" }, element("div", { class: "line" }, element("h3", {}, key), this.count), this.list);
    this.newest = 0;
  }

  show(kept) {
    const fresh = kept.filter(({ seq }) => seq > this.newest);
    if (!fresh.length) return;
    this.newest = kept.at(-1).seq;
    for (const { value, step } of fresh) this.list.prepend(tree(value, step == null ? "" : `step ${step}`, 0));
    while (this.list.childElementCount > MOST_VALUES) this.list.lastElementChild.remove();
    this.count.textContent = counted(this.list.childElementCount, "value");
  }
}

// A value as a tree. Children are created when their parent is opened, so a large value costs
// nothing before.
export function tree(value, name, depth) {
  const label = name ? element("span", { class: "key" }, `${name.slice(0, 200)}: `) : "";
  if (value === null || typeof value !== "object") {
    const text = JSON.stringify(value) ?? "";
    return element("div", { class: `leaf ${typeof value}` }, label, text.length > 2000 ? `${text.slice(0, 2000)}… (${text.length} characters)` : text);
  }
  const entries = Object.entries(value);
  const kind = Array.isArray(value) ? `[${entries.length}]` : `{${entries.length}}`;
  const preview = depth < 2 ? brief(value) : "";
  const root = element("details", {}, element("summary", {}, label, element("span", { class: "faint" }, `${kind} ${preview}`)));
  root.addEventListener("toggle", () => {
    if (!root.open || root.childElementCount > 1) return;
    if (depth >= MOST_DEPTH) {
      root.append(element("div", { class: "faint" }, "deeper levels are not shown"));
      return;
    }
    more(root, entries, 0, depth);
  });
  return root;
}

// Appends the entries of an object to `root`.
export function branches(root, value) {
  more(root, Object.entries(value), 0, 0);
}

function more(root, entries, from, depth) {
  root.append(...entries.slice(from, from + MOST_CHILDREN).map(([key, child]) => tree(child, key, depth + 1)));
  if (entries.length <= from + MOST_CHILDREN) return;
  const button = element("button", { type: "button", class: "small" }, `${counted(entries.length - from - MOST_CHILDREN, "more")}`.replace(/s$/, ""));
  button.addEventListener("click", () => {
    button.remove();
    more(root, entries, from + MOST_CHILDREN, depth);
  });
  root.append(button);
}

function brief(value) {
  const parts = [];
  for (const [key, child] of Object.entries(value).slice(0, 6)) {
    const shown = child !== null && typeof child === "object" ? "…" : String(JSON.stringify(child)).slice(0, 24);
    parts.push(Array.isArray(value) ? shown : `${key.slice(0, 24)}: ${shown}`);
  }
  return parts.join(", ").slice(0, 120);
}
