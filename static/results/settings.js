// How charts are shown: kept in the address, and chosen in a row of controls.

import { element } from "../common/dom.js";

const NAMES = { x: "x", log: "log", smooth: "smooth", group: "group", filter: "filter", chart: "chart", zoom: "zoom", band: "band" };
// metrics that the menu offers as an x axis
const MOST_METRICS = 500;
const AXES = { step: "step", time: "time", clock: "wall clock" };
const BANDS = { range: "min to max", deviation: "± std", none: "no band" };
// milliseconds; a browser allows some hundred changes of the address in half a minute
const PAUSE = 300;

export class Settings {
  // `fields` are other names of the address's fields; `onChange(name)` is called after a change.
  constructor(address, fields, onChange) {
    this.address = address;
    this.names = { ...NAMES, ...fields };
    this.onChange = onChange;
    // step, time (since the run's begin), clock (time of day), or metric:KEY
    this.x = this.read("x") ?? "step";
    this.smooth = Math.min(0.99, Math.max(0, Number(this.read("smooth")) || 0));
    this.filter = this.read("filter") ?? "";
    this.band = this.read("band") in BANDS ? this.read("band") : "range";
    // the key of the chart that is enlarged
    this.chart = this.read("chart");
    this.logs = new Set(this.list("log"));
    this.closed = new Set(this.list("group"));
    this.zooms = new Map(this.list("zoom").map(zoomOf).filter(Boolean));
    this.root = this.controls();
  }

  read(name) {
    return this.address?.get(this.names[name]) ?? null;
  }

  list(name) {
    return this.address?.getAll(this.names[name]) ?? [];
  }

  // The other metric over which curves are drawn.
  get metric() {
    return this.x.startsWith("metric:") ? this.x.slice(7) : null;
  }

  // What the service calls x.
  get axis() {
    return this.x === "time" || this.x === "clock" ? "time" : "step";
  }

  get axisName() {
    return this.metric ?? AXES[this.x] ?? "step";
  }

  set(name, value) {
    this[name] = value;
    // a range of one axis means nothing on another
    if (name === "x") this.zooms.clear();
    this.changed(name);
  }

  // `names` is logs or closed
  toggle(names, key, isIn = !this[names].has(key)) {
    if (isIn === this[names].has(key)) return;
    if (isIn) this[names].add(key);
    else this[names].delete(key);
    this.changed(names);
  }

  zoom(key, range) {
    if (range) this.zooms.set(key, range);
    else this.zooms.delete(key);
    this.changed("zooms");
  }

  changed(name) {
    clearTimeout(this.keeping);
    this.keeping = setTimeout(() => this.root.checkVisibility() && this.keep(), PAUSE);
    this.onChange(name);
  }

  // Writes the settings into the address.
  keep() {
    clearTimeout(this.keeping);
    this.keeping = null;
    this.address?.set({
      [this.names.x]: this.x === "step" ? null : this.x,
      [this.names.smooth]: this.smooth || null,
      [this.names.filter]: this.filter,
      [this.names.band]: this.band === "range" ? null : this.band,
      [this.names.chart]: this.chart,
      [this.names.log]: [...this.logs],
      [this.names.group]: [...this.closed],
      [this.names.zoom]: [...this.zooms].map(([key, [from, to]]) => `${from}~${to}~${key}`),
    });
  }

  controls() {
    this.search = element("input", { type: "search", placeholder: "Filter charts  /", "aria-label": "filter charts", value: this.filter, oninput: () => this.set("filter", this.search.value) });
    this.over = element("select", { onchange: () => this.set("x", this.over.value) });
    this.offer([]);
    const slider = element("input", { type: "range", min: 0, max: 0.99, step: 0.01, value: this.smooth, oninput: () => this.set("smooth", Number(slider.value)) });
    const band = element("select", { onchange: () => this.set("band", band.value) }, ...options(BANDS, this.band));
    this.bands = element("label", { hidden: true }, "band ", band);
    return element("div", { class: "tools", role: "group", "aria-label": "charts" },
      this.search,
      element("label", {}, "over ", this.over),
      element("label", {}, "smoothing ", slider),
      this.bands,
      element("span", { class: "faint hint" }, "drag to zoom, double-click to reset"));
  }

  // Offers these metrics as an x axis.
  offer(keys) {
    const shown = keys.slice(0, MOST_METRICS);
    if (this.metric && !shown.includes(this.metric)) shown.push(this.metric);
    const text = shown.join("\n");
    if (this.offered === text) return;
    this.offered = text;
    const metrics = shown.map((key) => element("option", { value: `metric:${key}` }, key));
    this.over.replaceChildren(...options(AXES), ...(metrics.length ? [element("optgroup", { label: "metric" }, ...metrics)] : []));
    this.over.value = this.x;
  }

  close() {
    if (this.keeping) clearTimeout(this.keeping);
  }
}

function options(texts, chosen) {
  return Object.entries(texts).map(([value, text]) => element("option", { value, selected: value === chosen }, text));
}

// The key and the range of a text `from~to~key`; null for another text.
function zoomOf(text) {
  const [, from, to, key] = text.match(/^([^~]+)~([^~]+)~(.*)$/s) ?? [];
  const range = [Number(from), Number(to)];
  return range.every(Number.isFinite) && range[0] < range[1] ? [key, range] : null;
}
