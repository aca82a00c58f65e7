// The charts of one run or of several: grouped, filtered, loaded when they are seen, continued by events.

import { element } from "../common/dom.js";
import { counted } from "../common/format.js";
import { Chart } from "./chart.js";
import { Curves } from "./curves.js";
import { Enlarged } from "./enlarged.js";
import { Group } from "./group.js";
import { groupOf, layOut } from "./keys.js";
import { Legend } from "./legend.js";
import { Line, placesOver } from "./line.js";
import { RunMetrics } from "./metrics.js";
import { Painter } from "./painter.js";
import { onScheme } from "./palette.js";
import { Settings } from "./settings.js";
import { Tile } from "./tile.js";
import { Values } from "./values.js";

// points of a curve in a chart, in a large one, and of all curves of a chart together
const POINTS = 1000;
const LARGE = 4000;
const MOST_POINTS = 8000;
// milliseconds between two drawings of live points, and between two layouts
const LIVE = 250;
// milliseconds after which a zoom requests its points
const ZOOM = 200;
const RETRY = 2000;

export class ChartGrid {
  // `address` keeps the settings, and `fields` are other names of its fields. `onHover(id)` is called with
  // the run that is pointed at, or null; `onRemove(id)` when a run is removed in the legend; `onCount()`
  // when there may be more results. `empty` is shown if there are none.
  constructor({ address = null, fields = {}, onHover, onRemove, onCount, empty = "no results" } = {}) {
    Object.assign(this, { onHover, onCount, empty });
    this.runs = [];
    this.metrics = new Map();
    this.groups = new Map();
    this.seen = new Set();
    this.parts = new Map();
    this.partOf = new WeakMap();
    this.changed = new Set();
    this.faults = new Map();
    this.highlighted = null;
    this.painter = new Painter();
    this.leaving = new AbortController();
    onScheme(() => this.redraw(), this.leaving.signal);
    this.settings = new Settings(address, fields, (name) => this.change(name));
    this.curves = new Curves({ onCurve: (key) => this.loaded(key), onState: (text) => this.tell("curves", text) });
    this.curves.forget(this.settings.axis);
    this.legend = new Legend({ onHover: (id) => this.hover(id), onRemove });
    this.problem = element("p", { class: "warn", role: "status" });
    this.note = element("p", { class: "faint" });
    this.spoken = element("div", { class: "unseen", "aria-live": "polite" });
    this.body = element("div", {});
    this.enlarged = new Enlarged(this, () => this.enlarge(null));
    this.root = element("div", { class: "chart-grid" }, this.settings.root, this.legend.root, this.problem, this.note, this.body, this.spoken, this.enlarged.root);
    this.observer = new IntersectionObserver((entries) => this.observe(entries), { rootMargin: "300px" });
  }

  // Shows these runs: { id, name, slot, isLive, group?, startedAt? }, where `startedAt` (seconds) is where
  // time begins. Runs with the same `group` have a mean and a band.
  setRuns(runs) {
    // other values are of one run
    if (this.runs.length === 1 && this.runs[0].id !== runs[0]?.id) this.clear();
    this.runs = runs;
    this.curves.points = Math.max(100, Math.min(POINTS, Math.round(MOST_POINTS / Math.max(1, runs.length))));
    const ids = new Set(runs.map(({ id }) => id));
    for (const id of this.metrics.keys()) {
      if (ids.has(id)) continue;
      this.metrics.delete(id);
      this.tell(id, "");
    }
    for (const { id } of runs) {
      if (this.metrics.has(id)) continue;
      this.metrics.set(id, new RunMetrics(id));
      this.load(id);
    }
    this.legend.show(runs);
    this.settings.bands.hidden = !runs.some(({ group }) => group != null);
    this.layOut();
    this.redraw();
    // charts that are seen already need the curves of a run that joins them
    this.want();
  }

  clear() {
    for (const group of this.groups.values()) group.close();
    this.groups.clear();
  }

  // Loads the metrics of a run, again and again if it must.
  async load(id) {
    const metrics = this.metrics.get(id);
    try {
      await metrics.load();
      if (this.metrics.get(id) !== metrics || this.closed) return;
      this.tell(id, "");
      this.refreshing ??= setTimeout(() => this.refresh(), 0);
    } catch (error) {
      if (this.metrics.get(id) !== metrics || this.closed) return;
      this.tell(id, error.status ? error.message : "the service does not answer; trying again");
      if (error.status !== 404 && error.status !== 403) setTimeout(() => !this.closed && this.metrics.get(id) === metrics && this.load(id), RETRY * (1 + Math.random()));
    }
  }

  // Shows what is wrong with a request, of a run's metrics or of curves; "" for nothing.
  tell(source, text) {
    if (text) this.faults.set(source, text);
    else this.faults.delete(source);
    this.problem.textContent = [...new Set(this.faults.values())].join("; ");
  }

  // The grid may have become visible.
  show() {
    if (this.settings.chart && !this.large) this.openLarge();
  }

  // Takes any event: live results of these runs, or a gap, after which all is loaded again.
  take(event) {
    if (event.type === "gap") this.resume();
    else if (event.type === "run_result" || event.type === "run_results") this.append(event.run_id, event.results ?? [event.result]);
  }

  append(id, results) {
    const metrics = this.metrics.get(id);
    if (!metrics) return;
    for (const result of results) {
      metrics.append(result);
      this.curves.append(id, result);
      this.changed.add(result.key);
      this.parts.get(`values ${result.key}`)?.append(result);
    }
    this.refreshing ??= setTimeout(() => this.refresh(), LIVE);
  }

  // Draws what live results have changed.
  refresh() {
    this.refreshing = null;
    if (this.shape !== this.laidOut) {
      this.layOut();
      for (const part of this.parts.values()) if (part instanceof Tile) this.showTile(part);
    }
    for (const key of this.changed) this.redraw(key);
    this.changed.clear();
    this.onCount?.();
  }

  // Loads everything again, after a pause of the events.
  resume() {
    this.curves.expire();
    for (const { id } of this.runs) this.load(id);
    for (const part of this.parts.values()) part.resume?.();
    this.want();
    for (const key of this.settings.zooms.keys()) this.lookAt(key);
    if (this.settings.chart) this.lookAt(this.settings.chart);
  }

  // How many results there are.
  get count() {
    return [...this.metrics.values()].reduce((sum, { seq }) => sum + seq, 0);
  }

  get shape() {
    return [...this.metrics.values()].map(({ shape }) => shape).join();
  }

  layOut() {
    this.laidOut = this.shape;
    const loaded = this.runs.map(({ id }) => this.metrics.get(id));
    const maps = loaded.map(({ keys }) => keys);
    const groups = layOut(maps, this.settings.filter, this.runs.length === 1);
    for (const [name, group] of this.groups) {
      if (groups.has(name)) continue;
      group.close();
      this.groups.delete(name);
    }
    // read before anything is written: afterwards it would cost a layout
    const width = this.body.clientWidth;
    let next = this.body.firstElementChild;
    for (const [name, items] of groups) {
      if (!this.groups.has(name)) this.groups.set(name, this.group(name));
      const group = this.groups.get(name);
      if (group.root === next) next = next.nextElementSibling;
      else this.body.insertBefore(group.root, next);
      group.show(items, groups.size === 1 && name === "", width);
    }
    this.offer(maps);
    this.say(groups, loaded, maps);
    if (this.settings.chart && !this.large) this.openLarge();
  }

  say(groups, loaded, maps) {
    const known = new Set(maps.flatMap((keys) => [...keys.keys()])).size;
    const shown = [...groups.values()].reduce((sum, items) => sum + new Set(items.map(([, key]) => key)).size, 0);
    if (!loaded.length) this.note.textContent = "";
    else if (!loaded.some(({ isLoaded }) => isLoaded)) this.note.textContent = this.problem.textContent ? "" : "loading";
    else if (!known) this.note.textContent = this.empty;
    else this.note.textContent = this.settings.filter ? `${shown ? counted(shown, "key") : "no key"} of ${known.toLocaleString("en")} match${shown === 1 ? "es" : ""}` : "";
    this.note.hidden = !this.note.textContent;
  }

  offer(maps) {
    const size = maps.reduce((sum, keys) => sum + keys.size, 0);
    if (size === this.offered) return;
    this.offered = size;
    this.settings.offer([...new Set(maps.flatMap((keys) => [...keys.values()].filter(({ points }) => points > 1).map(({ key }) => key)))].sort());
  }

  group(name) {
    return new Group(name, {
      isOpen: !this.settings.closed.has(name),
      make: (kind, key) => this.make(kind, key),
      onToggle: (isOpen) => this.settings.toggle("closed", name, !isOpen),
      watch: (node, part) => this.watch(node, part),
      unwatch: (node) => this.unwatch(node),
    });
  }

  make(kind, key) {
    const part = kind === "chart" ? new Chart(key, this) : kind === "tile" ? new Tile(key) : new Values(this.runs[0].id, key);
    const close = part.close.bind(part);
    part.close = () => {
      this.parts.delete(`${kind} ${key}`);
      close();
    };
    this.parts.set(`${kind} ${key}`, part);
    if (kind === "tile") this.showTile(part);
    return part;
  }

  // Calls `part.see(isSeen)` when this node of it comes near, and when it leaves.
  watch(node, part) {
    this.partOf.set(node, part);
    this.observer.observe(node);
  }

  unwatch(node) {
    this.observer.unobserve(node);
    this.seen.delete(this.partOf.get(node));
    this.partOf.delete(node);
  }

  // What comes into view is requested and drawn, and no more than that.
  observe(entries) {
    for (const { target, isIntersecting } of entries) {
      const part = this.partOf.get(target);
      // it may have been closed since the observer saw it
      if (!part) continue;
      if (isIntersecting) this.seen.add(part);
      else this.seen.delete(part);
      part.see?.(isIntersecting);
    }
    this.want();
  }

  want() {
    const charts = [...this.seen, ...(this.large ? [this.large] : [])].filter((part) => part instanceof Chart);
    const keys = charts.map(({ key }) => key);
    if (this.settings.metric && keys.length) keys.unshift(this.settings.metric);
    this.curves.want(this.runs.map(({ id }) => id), [...new Set(keys)]);
    for (const key of keys) if (this.settings.zooms.has(key)) this.lookAt(key, true);
  }

  // What a chart asks its host.

  // The curves of a key that are loaded; null if none is yet.
  lines(key) {
    const { metric, x } = this.settings;
    const lines = [];
    for (const run of this.runs) {
      const whole = this.curves.series(run.id, key);
      if (!whole) continue;
      const series = this.curves.detail(run.id, key) ?? whole;
      if (metric) {
        const other = this.curves.series(run.id, metric);
        if (other) lines.push(new Line(run, series, placesOver(series, other)));
      } else {
        lines.push(new Line(run, series, series.xs, x === "time" ? (run.startedAt ?? whole.xs[0] ?? 0) : 0));
      }
    }
    const drawn = lines.filter(({ length }) => length);
    return drawn.length ? drawn : lines.length ? lines.slice(0, 1) : null;
  }

  look(key) {
    const { x, axisName, smooth, band, logs, zooms } = this.settings;
    return { settings: { axis: x, axisName, isLog: logs.has(key), smooth, band }, zoom: zooms.get(key) ?? null, highlight: this.highlighted };
  }

  dirty(chart) {
    this.painter.add(chart);
  }

  zoom(key, range) {
    this.settings.zoom(key, range);
    clearTimeout(this.zooming);
    this.zooming = setTimeout(() => this.lookAt(key), ZOOM);
  }

  toggleLog(key) {
    this.settings.toggle("logs", key);
  }

  announce(text) {
    this.spoken.textContent = text;
  }

  hover(id) {
    if (id === this.highlighted) return;
    this.highlight(this.runs.length > 1 ? id : null);
    this.onHover?.(this.metrics.has(id) ? id : null);
  }

  // Draws one run stronger than the others; null for none.
  highlight(id) {
    if (id === this.highlighted) return;
    this.highlighted = id;
    this.legend.highlight(id);
    this.redraw();
  }

  enlarge(key) {
    if (key === this.settings.chart) return;
    const before = this.settings.chart;
    this.settings.set("chart", key);
    if (before !== null) this.closeLarge(before);
    if (key !== null) this.openLarge();
  }

  get large() {
    return this.enlarged.chart;
  }

  openLarge() {
    const key = this.settings.chart;
    if (!this.root.isConnected || !this.root.checkVisibility()) return;
    if (!this.runs.some(({ id }) => this.metrics.get(id).keys.get(key)?.points)) return;
    this.enlarged.open(key, this.runs);
    this.want();
    this.lookAt(key);
  }

  closeLarge(key) {
    this.enlarged.close();
    if (!this.settings.zooms.has(key)) this.curves.unlook(this.runs.map(({ id }) => id), key);
    this.redraw(key);
    this.parts.get(`chart ${key}`)?.canvas?.focus();
  }

  loaded(key) {
    this.redraw(key);
    if (this.settings.zooms.has(key) || this.large?.key === key) this.lookAt(key, true);
  }

  // Requests what a zoomed or enlarged chart has room for, where the curve is thinned. With `isNew`, only
  // if that was not done.
  lookAt(key, isNew = false) {
    const range = this.settings.zooms.get(key) ?? null;
    const isLarge = this.large?.key === key;
    const runs = this.runs.filter((run) => this.curves.series(run.id, key)?.isThinned && !(isNew && this.curves.hasDetail(run.id, key)));
    if ((!range && !isLarge) || this.settings.metric) {
      this.curves.unlook(this.runs.map(({ id }) => id), key);
      this.redraw(key);
      return;
    }
    const ranges = new Map(runs.map((run) => [run.id, range && this.inUnits(run, key, range)]));
    const points = isLarge ? Math.max(this.curves.points, Math.round((LARGE * this.curves.points) / POINTS)) : this.curves.points;
    if (runs.length) this.curves.look(key, ranges, points);
  }

  // A chart's range in the service's units, a little wider, so that lines continue to the edges.
  inUnits(run, key, [from, to]) {
    const offset = this.settings.x === "time" ? (run.startedAt ?? this.curves.series(run.id, key).xs[0] ?? 0) : 0;
    const more = (to - from) * 0.1;
    return [from + offset - more, to + offset + more];
  }

  // Changes.

  change(name) {
    if (name === "x") {
      this.curves.forget(this.settings.axis);
      this.want();
    }
    if (name === "filter") this.layOut();
    if (name !== "closed" && name !== "chart") this.redraw();
  }

  // Draws the charts of a key, or all that are seen.
  redraw(key) {
    const isAll = key === undefined || key === this.settings.metric;
    const parts = isAll ? this.parts.values() : [this.parts.get(`tile ${key}`), this.parts.get(`chart ${key}`)];
    for (const part of parts) {
      if (part instanceof Tile) this.showTile(part);
      else if (part instanceof Chart && part.isSeen) this.painter.add(part);
    }
    if (this.large && (isAll || this.large.key === key)) this.painter.add(this.large);
  }

  showTile(tile) {
    tile.show(this.runs.map((run) => [run, this.metrics.get(run.id).keys.get(tile.key)]).filter(([, metric]) => metric?.points));
  }

  // Takes a key of the keyboard; returns false for one that means nothing here.
  key(event) {
    if (event.key === "/") this.settings.search.focus();
    else if (event.key === "Escape" && this.settings.filter) {
      this.settings.search.value = "";
      this.settings.set("filter", "");
    } else return false;
    return true;
  }

  close() {
    this.closed = true;
    this.leaving.abort();
    clearTimeout(this.refreshing);
    clearTimeout(this.zooming);
    this.observer.disconnect();
    this.painter.close();
    this.curves.close();
    this.settings.close();
    this.enlarged.close();
    this.clear();
  }
}
