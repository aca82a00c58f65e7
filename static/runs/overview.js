// The overview: what is new, all experiments, and all runs; updated by the stream.

import { getJson, nextPath } from "../common/api.js";
import { element, framed } from "../common/dom.js";
import { counted, number } from "../common/format.js";
import { Stream } from "../stream/stream.js";
import { DIFFERING, METRICS } from "./columns.js";
import { Experiments } from "./experiments.js";
import { News } from "./news.js";
import { RunsPanel } from "./panel.js";
import { Place } from "./place.js";
import { welcome } from "./welcome.js";

const STANDARD = ["status", "experiment", "began", "took", "progress", DIFFERING, METRICS];

export class Overview {
  constructor(root, { address }, shell) {
    this.root = root;
    this.address = address;
    this.shell = shell;
    this.instances = new Map();
    this.closed = false;
    shell.title("Athanor", null);
    this.panel = new RunsPanel({
      address, shell, path: "runs", standard: STANDARD, mostDiffering: 4, mostMetrics: 3, hasExperiments: true, hint: "Search experiments and runs  /",
      experimentOf: (run) => this.instances.get(run.instance_id), empty: () => element("section", { class: "card" }, element("p", {}, "No experiment has a run yet. Open one to see how to report.")),
      cursor: () => this.stream?.cursor, changed: () => this.arranged(), updated: (item) => this.news.update(item),
    });
    this.news = new News((filter) => this.turnTo("runs", filter));
    this.experiments = new Experiments();
    this.drawSoon = framed(() => this.draw());
  }

  get view() {
    return this.address.get("view") === "runs" ? "runs" : "experiments";
  }

  async start() {
    const cursor = await this.load();
    if (this.closed) return;
    if (!this.tabs) this.build();
    await this.panel.load();
    if (this.closed) return;
    this.clock = setInterval(() => this.tick(), 1000);
    this.draw();
    this.place.restore();
    this.stream = new Stream(["experiments:instances", "experiments:runs"], cursor, {
      event: (event) => this.take(event),
      state: (name, text) => this.shell.state(name, text),
      resume: async () => {
        const cursor = await this.load();
        await this.panel.load();
        return cursor;
      },
    });
    if (this.view === "runs") this.discover();
  }

  // Reads all experiments; returns the cursor, which is older than all that is read later.
  async load() {
    let path = "instances?limit=1000";
    let cursor = null;
    const found = new Map();
    while (path && !this.closed) {
      const page = await getJson(path);
      cursor ??= page.last_event_id;
      for (const instance of page.instances) found.set(instance.id, described(instance));
      path = nextPath(path, page.next);
    }
    this.instances = found;
    return cursor;
  }

  build() {
    const tab = (name) => element("button", { type: "button", role: "tab", id: `tab-${name}`, "aria-controls": `panel-${name}`, onclick: () => this.turnTo(name) });
    this.tabs = { experiments: tab("experiments"), runs: tab("runs") };
    this.tablist = element("div", { class: "tabs", role: "tablist", "aria-label": "lists", onkeydown: (event) => this.turn(event) }, this.tabs.experiments, this.tabs.runs);
    this.nothing = element("div", { class: "card", hidden: true });
    this.list = element("div", { class: "overview-list", role: "tabpanel", id: "panel-experiments", "aria-labelledby": "tab-experiments" }, this.news.root, this.experiments.root, this.nothing);
    this.panel.split.id = "panel-runs";
    this.panel.split.setAttribute("role", "tabpanel");
    this.panel.split.setAttribute("aria-labelledby", "tab-runs");
    this.panel.tools.prepend(this.tablist);
    this.panel.root.append(this.list);
    this.welcome = element("div", { hidden: true }, welcome());
    this.root.replaceChildren(element("div", { class: "runs-view" }, this.panel.root, this.welcome));
    this.place = new Place("experiments");
    this.place.watch(this.list);
    this.turnTo(this.view);
  }

  // Shows one of the two lists, perhaps with another filter.
  turnTo(name, filter = null) {
    if (name !== this.view) this.address.set({ view: name === "runs" ? name : null });
    for (const [each, button] of Object.entries(this.tabs)) {
      button.setAttribute("aria-selected", String(each === name));
      button.tabIndex = each === name ? 0 : -1;
    }
    this.panel.root.classList.toggle("only-experiments", name !== "runs");
    this.list.hidden = name === "runs";
    this.panel.split.hidden = name !== "runs";
    if (filter !== null) this.panel.filter.set(filter);
    if (name === "runs" && this.stream) this.discover();
    this.panel.table.draw();
    this.draw();
  }

  // The arrow keys switch between the tabs.
  turn(event) {
    if (event.key !== "ArrowLeft" && event.key !== "ArrowRight") return;
    this.turnTo(this.view === "runs" ? "experiments" : "runs");
    this.tabs[this.view].focus();
    event.preventDefault();
  }

  // Finds out which metrics runs have, once, when the table of runs is seen.
  async discover() {
    if (this.discovering) return;
    this.discovering = true;
    try {
      this.panel.arrangement.metrics = await this.panel.runs.discover();
      this.panel.plan();
    } catch (error) {
      this.discovering = false;
      console.warn(error);
    }
  }

  // A filter, an order or a column may be of a metric.
  arranged() {
    const { arrangement, runs } = this.panel;
    const named = arrangement.fault || arrangement.terms?.some(({ name }) => name);
    if (named && runs.isComplete) this.discover();
    this.drawSoon();
  }

  take(event) {
    if (event.instance) {
      this.instances.set(event.instance.id, described({ ...this.instances.get(event.instance.id), ...event.instance }));
      this.panel.runs.redescribe(event.instance.id);
    }
    if (event.type === "instance_deleted") {
      this.instances.delete(event.instance_id);
      this.panel.runs.delete(event.instance_id);
    }
    if (!this.panel.take(event)) this.drawSoon();
  }

  draw() {
    if (this.closed || !this.tabs) return;
    const { arrangement, runs } = this.panel;
    const isEmpty = !this.instances.size;
    this.welcome.hidden = !isEmpty;
    this.panel.root.hidden = isEmpty;
    const items = [...runs.items.values()];
    if (runs.isComplete) this.news.show(items);
    const shown = this.experiments.show([...this.instances.values()], items, this.matches(arrangement), runs.isComplete);
    this.describe(shown, arrangement.items.length);
  }

  describe(experiments, runs) {
    const filter = this.panel.filter.text.trim();
    this.panel.tools.hidden = false;
    this.tabs.experiments.textContent = `Experiments ${number(experiments)}`;
    this.tabs.runs.textContent = `Runs ${number(runs)}`;
    this.news.root.classList.toggle("filtered", Boolean(filter));
    this.nothing.hidden = experiments > 0;
    if (experiments) return;
    const clear = element("button", { type: "button", onclick: () => this.panel.clear() }, "Clear the filter");
    this.nothing.replaceChildren(element("p", {}, `No experiment matches, and no run of one. There are ${counted(this.instances.size, "experiment")}.`), element("p", {}, clear));
  }

  // Which experiments the filter finds: those with its words, and those with runs that it finds.
  matches(arrangement) {
    const terms = arrangement.terms ?? [];
    const words = ({ name, id, description }) => [name, id, description ?? ""].join("\n").toLowerCase();
    const areWords = terms.every(({ name }) => name === null);
    return {
      filter: arrangement.filter.trim(),
      accepts: (instance) => areWords && terms.every(({ not, value }) => words(instance).includes(value.toLowerCase()) !== not),
      shown: new Set(terms.length ? arrangement.items.map(({ run }) => run.instance_id) : []),
    };
  }

  tick() {
    this.panel.tick();
    this.news.tick();
    if (this.view === "experiments" && this.news.items) for (const item of this.news.items) if (item.run.status === "running") this.news.update(item);
  }

  key(event) {
    return this.panel.key(event);
  }

  close() {
    this.closed = true;
    clearInterval(this.clock);
    this.drawSoon.cancel();
    this.place?.close();
    this.stream?.close();
    this.panel.close();
  }
}

// An instance with what a run needs of it.
function described(instance) {
  return { ...instance, config: instance.configuration };
}

