// One instance: its configuration, its runs, and a comparison of up to ten of them.

import { getJson, instancePath, nextPath } from "../common/api.js";
import { element } from "../common/dom.js";
import { counted, displayName, duration } from "../common/format.js";
import { RunList } from "./list.js";
import { runRow } from "./overview.js";
import { ChartGrid } from "../results/grid.js";
import { branches } from "../results/tree.js";
import { Stream } from "../stream/stream.js";

const MOST_RUNS = 5000;
const COLOURS = 10;

export class InstanceView extends RunList {
  // `route` has the instance's `id`, and `address`; its field `compare` has the ids of the runs to compare
  constructor(root, route, shell) {
    super(root, shell);
    this.id = route.id;
    this.address = route.address;
    this.chosen = new Set(this.address.getAll("compare").flatMap((ids) => ids.split(",")).slice(0, COLOURS));
  }

  async start() {
    this.instance = await getJson(instancePath(this.id));
    const cursor = await this.load();
    if (this.closed) return;
    this.shell.title(this.instance.name, null);
    this.list = element("ul", { class: "runs choosable" });
    this.comparison = new Comparison(this.address);
    this.search = element("input", { type: "search", placeholder: "Search runs  /", "aria-label": "search runs", oninput: () => this.draw() });
    this.hint = element("span", { class: "faint" });
    const configuration = element("details", { open: Object.keys(this.instance.configuration ?? {}).length <= 30 }, element("summary", {}, "Configuration"));
    branches(configuration, this.instance.configuration ?? {});
    this.root.replaceChildren(
      element("section", { class: "card" }, element("h1", {}, this.instance.name), this.instance.description ? element("p", { class: "faint" }, this.instance.description) : null, configuration),
      this.comparison.root,
      element("section", { class: "card" }, element("div", { class: "tools" }, element("h2", {}, "Runs"), this.search, this.hint), this.list),
    );
    this.draw();
    this.compare();
    this.stream = new Stream([`experiments:instance:${this.id}`], cursor, {
      event: (event) => this.take(event),
      state: (name, text) => this.shell.state(name, text),
      resume: async () => {
        const cursor = await this.load();
        this.draw();
        this.compare();
        return cursor;
      },
    });
    this.clock = setInterval(() => this.tick(), 1000);
  }

  // Loads all runs; returns the cursor of the first page.
  async load() {
    let path = `${instancePath(this.id)}/runs?limit=1000`;
    let cursor = null;
    const found = [];
    while (path && found.length < MOST_RUNS) {
      const page = await getJson(path);
      cursor ??= page.last_event_id;
      found.push(...page.runs);
      path = nextPath(path, page.next);
    }
    this.runs = new Map(found.reverse().map((run) => [run.id, run]));
    return cursor;
  }

  take(event) {
    if (event.type === "run_progress") this.bar(event.run_id).show(event);
    else if (event.type === "instance_deleted") {
      this.root.replaceChildren(element("section", { class: "card" }, element("p", {}, "This instance was deleted.")));
      this.stream.ended = true;
    } else if (event.type === "run_deleted") {
      this.runs.delete(event.run_id);
      this.draw();
      if (this.chosen.has(event.run_id)) this.choose(event.run_id, false);
    } else if (event.run) {
      this.runs.set(event.run.id, event.run);
      this.draw();
      if (this.chosen.has(event.run.id)) this.compare();
    }
  }

  render() {
    const wanted = this.search.value.trim().toLowerCase();
    const runs = [...this.runs.values()].reverse()
      .filter((run) => !wanted || `${run.id} ${displayName(run)} ${run.status}`.toLowerCase().includes(wanted));
    const slots = [...this.chosen];
    this.list.replaceChildren(...runs.slice(0, 500).map((run) => {
      const row = runRow(run, this.bar(run.id));
      const slot = slots.indexOf(run.id);
      const box = element("input", { type: "checkbox", "aria-label": `compare ${displayName(run)}`, onchange: () => this.choose(run.id, box.checked) });
      box.checked = slot >= 0;
      box.disabled = slot < 0 && this.chosen.size >= COLOURS;
      row.prepend(element("span", { class: `choose ${slot >= 0 ? `key-${slot}` : ""}` }, box));
      return row;
    }));
    const rest = runs.length > 500 ? ", of which the newest 500 are shown" : "";
    this.hint.textContent = runs.length ? `${counted(runs.length, "run")}${rest} · choose up to ${COLOURS} to compare` : "no runs";
  }

  choose(id, wanted) {
    if (wanted) this.chosen.add(id);
    else this.chosen.delete(id);
    this.address.set({ compare: [...this.chosen] });
    this.draw();
    this.compare();
  }

  compare() {
    this.comparison.show([...this.chosen].map((id) => this.runs.get(id)).filter(Boolean));
  }

  tick() {
    super.tick();
    this.comparison.tick();
  }

  close() {
    super.close();
    this.comparison?.close();
  }
}

// The curves of several runs in one chart per key, and the differences of their configurations.
class Comparison {
  constructor(address) {
    this.runs = [];
    this.grid = new ChartGrid({ address, fields: { filter: "charts" } });
    this.difference = element("div", { class: "difference" });
    this.root = element("section", { class: "comparison", hidden: true, "aria-label": "comparison" }, this.difference, this.grid.root);
  }

  show(runs) {
    this.runs = runs;
    this.root.hidden = runs.length === 0;
    this.showDifferences();
    this.grid.setRuns(runs.map((run, slot) => ({ id: run.id, name: displayName(run), slot, isLive: run.status === "running", startedAt: run.started_at ? Date.parse(run.started_at) / 1000 : null })));
    this.grid.show();
  }

  showDifferences() {
    const all = this.runs.map((run) => flat(run.metadata?.config ?? {}));
    const keys = [...new Set(all.flatMap((config) => [...config.keys()]))];
    const differing = keys.filter((key) => new Set(all.map((config) => config.get(key))).size > 1).slice(0, 200);
    const rows = [...differing.map((key) => [key, ...all.map((config) => config.get(key) ?? "–")]), ["status", ...this.runs.map((run) => run.status)], ["took", ...this.runs.map(duration)]];
    this.difference.replaceChildren(
      element("table", {},
        element("thead", {}, element("tr", {}, element("th", {}, ""), ...this.runs.map((run, slot) => element("th", { class: `key-${slot}` }, element("a", { href: `#/runs/${encodeURIComponent(run.id)}/results` }, displayName(run)))))),
        element("tbody", {}, ...rows.map(([key, ...cells]) => element("tr", {}, element("th", { scope: "row" }, key), ...cells.map((cell) => element("td", {}, String(cell).slice(0, 200))))))),
      ...(differing.length || this.runs.length < 2 ? [] : [element("p", { class: "faint" }, "the configurations are the same")]),
    );
  }

  // Loads new results of running runs every few seconds.
  tick() {
    this.ticks = (this.ticks ?? 0) + 1;
    if (this.ticks % 3 === 0 && !document.hidden && this.runs.some((run) => run.status === "running")) this.grid.resume();
  }

  close() {
    this.grid.close();
  }
}

// A map of nested settings: the path, `optimizer.lr` for example, and the value's JSON.
function flat(config, prefix = "", into = new Map(), depth = 0) {
  for (const [key, value] of Object.entries(config)) {
    const name = prefix ? `${prefix}.${key}` : key;
    if (value !== null && typeof value === "object" && !Array.isArray(value) && depth < 6) flat(value, name, into, depth + 1);
    else into.set(name, JSON.stringify(value));
  }
  return into;
}
