// One experiment (an instance of the protocol): what it is, and its runs.

import { getJson, instancePath, nextPath } from "../common/api.js";
import { element } from "../common/dom.js";
import { Stream } from "../stream/stream.js";
import { DIFFERING, METRICS } from "./columns.js";
import { RunsPanel } from "./panel.js";
import { flat, plain } from "./values.js";
import { welcome } from "./welcome.js";

const STANDARD = ["status", "began", "took", "progress", DIFFERING, METRICS];
const MOST_KEYS = 20000;
const MOST_SETTINGS = 500;
// milliseconds between two reads of the keys
const KEYS = 30000;

export class InstanceView {
  // `route` has the instance's `id`, and `address`
  constructor(root, route, shell) {
    this.root = root;
    this.id = route.id;
    this.address = route.address;
    this.shell = shell;
    this.closed = false;
  }

  async start() {
    try {
      this.instance = await getJson(instancePath(this.id));
      this.metrics = await this.loadMetrics();
    } catch (error) {
      if (error.status !== 404) throw error;
      if (!this.closed) this.showMissing();
      return;
    }
    if (this.closed) return;
    this.build();
    const cursor = await this.panel.load();
    if (this.closed) return;
    this.stream = new Stream([`experiments:instance:${this.id}`], cursor, {
      event: (event) => this.take(event),
      state: (name, text) => this.shell.state(name, text),
      resume: () => this.resume(),
    });
    this.clock = setInterval(() => this.panel.tick(), 1000);
  }

  async resume() {
    this.instance = await getJson(instancePath(this.id));
    this.panel.arrangement.metrics = await this.loadMetrics();
    this.describe();
    return this.panel.load();
  }

  // The keys of all results of the experiment's runs: {key, runs, points}.
  async loadMetrics() {
    let path = `${instancePath(this.id)}/metrics?limit=10000`;
    const found = [];
    while (path && found.length < MOST_KEYS) {
      const page = await getJson(path);
      found.push(...page.metrics);
      path = nextPath(path, page.next);
    }
    return found;
  }

  build() {
    this.panel?.close();
    this.panel = new RunsPanel({
      address: this.address, shell: this.shell, path: `${instancePath(this.id)}/runs`, standard: STANDARD, mostDiffering: 30, mostMetrics: 3, hasExperiments: false,
      experimentOf: () => ({ name: this.instance.name, config: this.instance.configuration }),
      empty: () => welcome(this.instance.name, this.id), cursor: () => this.stream?.cursor, reported: () => this.readMetrics(),
    });
    this.panel.arrangement.metrics = this.metrics;
    this.panel.runs.keys = this.panel.arrangement.initialMetrics();
    this.name = element("h1", {});
    this.about = element("span", { class: "faint about-experiment" });
    this.settings = element("dl", { class: "settings" });
    this.configuration = element("details", { class: "configuration" }, element("summary", {}, "Configuration"), this.settings);
    this.configuration.addEventListener("toggle", () => this.showSettings());
    this.root.replaceChildren(element("div", { class: "runs-view" },
      element("div", { class: "line instance-head" }, element("a", { class: "up", href: "#/" }, "Experiments"), element("span", { class: "faint", "aria-hidden": "true" }, "/"), this.name, this.about, this.configuration),
      this.panel.root));
    this.describe();
  }

  describe() {
    const { name, description, configuration } = this.instance;
    this.shell.title(name, null);
    this.name.textContent = name;
    this.about.textContent = description ?? "";
    this.about.title = description ?? "";
    this.configuration.hidden = !Object.keys(configuration ?? {}).length;
    this.showSettings();
  }

  showSettings() {
    if (!this.configuration.open) return;
    const settings = [...flat(this.instance.configuration)].slice(0, MOST_SETTINGS);
    this.settings.replaceChildren(...settings.flatMap(([key, value]) => [element("dt", {}, key), element("dd", {}, plain(value))]));
  }

  // New keys come with reports: reads them now and then.
  async readMetrics() {
    const { metrics } = this.panel.arrangement;
    if (performance.now() - (this.readAt ?? -Infinity) < (metrics.length ? KEYS : 0)) return;
    this.readAt = performance.now();
    try {
      this.panel.arrangement.metrics = await this.loadMetrics();
      this.panel.plan();
    } catch (error) {
      console.warn(error);
    }
  }

  take(event) {
    if (event.type === "instance_deleted") {
      this.stream.ended = true;
      this.panel.close();
      this.showMissing("This experiment was deleted, with its runs.");
    } else if (event.instance) {
      this.instance = { ...this.instance, ...event.instance };
      this.describe();
      this.panel.runs.redescribe(this.id);
    } else this.panel.take(event);
  }

  showMissing(text = `There is no experiment ${this.id}. It was deleted, or the link is wrong.`) {
    this.shell.title("no such experiment", null);
    this.root.replaceChildren(element("section", { class: "card" }, element("h1", {}, "No such experiment"), element("p", {}, text), element("p", {}, element("a", { href: "#/" }, "All experiments"))));
    this.shell.state("ended", "not found");
  }

  key(event) {
    return this.panel?.key(event) ?? false;
  }

  close() {
    this.closed = true;
    clearInterval(this.clock);
    this.stream?.close();
    this.panel?.close();
  }
}
