// One run: its head, its log, its results, and what is known about it.

import { getExactJson, instancePath, request, runPath } from "../common/api.js";
import { serviceNow } from "../common/clock.js";
import { element } from "../common/dom.js";
import { displayName, number } from "../common/format.js";
import { parse } from "../common/json.js";
import { FIRST } from "../log/lines.js";
import { LogTab } from "../log/log.js";
import { ResultsTab } from "../results/results.js";
import { RUN_ENDS, RUN_LIFE, Stream } from "../stream/stream.js";
import { About } from "./about.js";
import { whyEmpty } from "./empty.js";
import { Head } from "./head.js";
import { missingRun } from "./missing.js";

const NEWEST = Number.MAX_SAFE_INTEGER;
const FINAL = ["completed", "failed", "cancelled"];
const TABS = { logs: "Logs", results: "Results", about: "About" };
// milliseconds without an event, after which the page asks whether the run is stale
const SILENCE = 60000;

export class RunView {
  // `route` has `id`, and `address`, whose path ends with the tab
  constructor(root, route, shell) {
    this.root = root;
    this.id = route.id;
    this.address = route.address;
    this.tab = this.address.parts[2] in TABS ? this.address.parts[2] : "logs";
    this.shell = shell;
    this.closed = false;
    this.changes = 0;
    this.log = new LogTab(this.id, this.address);
    this.results = new ResultsTab(this.id, this.address, () => this.tick());
  }

  async start() {
    const page = await this.load();
    this.instance = await getExactJson(instancePath(this.run.instance_id));
    if (this.closed) return;
    this.build();
    this.show();
    this.log.begin(page);
    this.head.bars.show(this.isFinal ? null : this.run.progress, this.run.started_at);
    if (this.isFinal) this.shell.state("ended", "ended");
    else this.follow(page.last_event_id);
    // after the stream: its cursor is older than what is loaded now, so nothing is missing
    this.results.begin(this.run);
    this.clock = setInterval(() => this.tick(), 1000);
    this.tick();
  }

  // What is shown if the service has no such run.
  missing(error) {
    return missingRun(this.id, error.message);
  }

  // Reads the newest page of lines, then the run. The page has the older cursor: events that the later
  // reads contain are repeated, and recognised by their seq. A run that has ended needs no stream, so
  // its page must be read after its end.
  async load() {
    const read = () => getExactJson(`${runPath(this.id)}/logs?before=${NEWEST}&limit=${FIRST}`);
    const page = await read();
    this.run = await getExactJson(runPath(this.id));
    this.heardAt = serviceNow();
    if (this.run.level_counts) this.log.countLevels(this.run.level_counts, this.run.log_count);
    return this.isFinal && (page.logs.at(-1)?.seq ?? 0) < this.run.log_count ? read() : page;
  }

  follow(cursor) {
    this.stream = new Stream([`experiments:run:${this.id}`], cursor, {
      event: (event) => this.take(event),
      state: (name, text) => this.shell.state(name, text),
      resume: () => this.resume(),
    });
  }

  // Reads the newest page after a long pause; lines before it are requested when they are visible.
  async resume() {
    const page = await this.load();
    this.log.begin(page);
    this.log.follow(this.log.viewport.follows);
    this.results.resume();
    this.show();
    this.head.bars.show(this.isFinal ? null : this.run.progress, this.run.started_at);
    this.stream.ended = this.isFinal;
    if (this.isFinal) this.notifyOfEnd();
    return page.last_event_id;
  }

  get isFinal() {
    return FINAL.includes(this.run.status);
  }

  build() {
    const patch = (fields) => this.patch(fields);
    this.head = new Head(this.id, this.instance, { patch, toEnd: () => this.toEnd(), toggleNotify: () => this.toggleNotify() });
    this.about = new About(this.id, this.instance, { patch, deleted: () => (location.hash = `#/instances/${encodeURIComponent(this.instance.id)}`) });
    const contents = { logs: this.log.root, results: this.results.root, about: this.about.root };
    const tab = (name) => element("button", { type: "button", role: "tab", id: `tab-${name}`, "aria-controls": `panel-${name}`, onclick: () => this.turnTo(name) }, TABS[name]);
    const panel = (name) => element("div", { role: "tabpanel", id: `panel-${name}`, "aria-labelledby": `tab-${name}`, class: name === "logs" ? "panel" : "panel scrolls" }, contents[name]);
    this.tabs = Object.fromEntries(Object.keys(TABS).map((name) => [name, tab(name)]));
    this.panels = Object.fromEntries(Object.keys(TABS).map((name) => [name, panel(name)]));
    this.root.replaceChildren(
      element("div", { class: "run" }, this.head.root,
        element("div", { class: "tabs", role: "tablist", onkeydown: (event) => this.turn(event) }, ...Object.values(this.tabs)),
        ...Object.values(this.panels)),
    );
    this.turnTo(this.tab, true);
  }

  turnTo(name, first = false) {
    this.tab = name;
    for (const [each, button] of Object.entries(this.tabs)) {
      button.setAttribute("aria-selected", String(each === name));
      button.tabIndex = each === name ? 0 : -1;
      this.panels[each].hidden = each !== name;
    }
    if (!first) this.address.turn("runs", this.id, name);
    if (name === "results") this.results.show();
    else if (name === "logs") this.log.viewport.draw();
    else this.about.open(this.run);
  }

  toEnd() {
    this.turnTo("logs");
    this.log.toEnd();
  }

  // The arrow keys switch between the tabs.
  turn(event) {
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!by) return;
    const names = Object.keys(TABS);
    this.turnTo(names.at((names.indexOf(this.tab) + by) % names.length));
    this.tabs[this.tab].focus();
    event.preventDefault();
  }

  take(event) {
    this.heardAt = serviceNow();
    if (event.type === "run_progress") {
      this.revive();
      this.head.bars.show(event, this.run.started_at);
    } else if (RUN_LIFE.includes(event.type)) {
      this.change(event);
    } else if (event.type === "gap") {
      this.results.take(event);
      this.log.note(event.reason === "expired" ? "retention has deleted some lines" : "the service has another database now: reload the page");
    } else if (event.log || event.logs) {
      this.revive();
      this.log.append(event.logs ?? [event.log]);
      this.run.log_count = Math.max(this.run.log_count, this.log.all.count);
    } else {
      this.revive();
      this.results.take(event);
    }
  }

  // The run has given a sign of life.
  revive() {
    if (!this.run.stale) return;
    this.run.stale = false;
    this.show();
  }

  // An event's metadata has no exact integers (stream/hub.js): they are read.
  change(event) {
    this.run = { ...this.run, ...event.run, stale: false, metadata: this.run.metadata };
    this.about.timeline.take(event);
    this.show();
    if (event.type === "run_updated") this.refresh();
    if (RUN_ENDS.includes(event.type)) this.notifyOfEnd();
  }

  // Reads what an event does not have: whether the run is stale, and its metadata. The newest answer counts.
  async refresh() {
    this.changes += 1;
    const change = this.changes;
    try {
      const { metadata, stale } = await getExactJson(runPath(this.id));
      if (this.closed || change !== this.changes) return;
      this.run = { ...this.run, metadata, stale: stale && !this.isFinal };
      this.show();
    } catch {
      // the stream says that the service is away, and the next change is read again
    }
  }

  // Changes name, tags or notes.
  async patch(fields) {
    const response = await request(runPath(this.id), { method: "PATCH", headers: { "Content-Type": "application/json" }, body: JSON.stringify(fields) });
    const { metadata } = parse(await response.text());
    this.changes += 1;
    this.run = { ...this.run, metadata };
    this.show();
  }

  show() {
    const { mayWrite } = this.shell.session;
    this.head.show(this.run, mayWrite);
    this.about.show(this.run, mayWrite);
    this.log.explain(...whyEmpty(this.run));
    this.shell.title(`${this.run.status} · ${displayName(this.run)}`, this.run.status);
    this.tick();
  }

  tick() {
    if (!this.head) return;
    this.head.tick(this.run);
    this.tabs.results.textContent = this.results.count ? `Results (${number(this.results.count)})` : "Results";
    const now = serviceNow();
    if (this.run.status !== "running" || now - this.heardAt < SILENCE) return;
    this.heardAt = now - SILENCE / 2;
    this.refresh();
  }

  async toggleNotify() {
    this.notifies = !this.notifies && (await Notification.requestPermission()) === "granted";
    this.stream.stays = this.notifies;
    return this.notifies;
  }

  notifyOfEnd() {
    if (!this.notifies) return;
    try {
      new Notification(`${displayName(this.run)} is ${this.run.status}`, { body: this.instance.name });
    } catch {
      // some phones allow notifications from service workers only
    }
  }

  key(event) {
    const at = Number(event.key) - 1;
    if (Object.keys(TABS)[at]) this.turnTo(Object.keys(TABS)[at]);
    else if (this.tab === "logs") return this.log.key(event);
    else if (this.tab === "about") return this.about.key(event);
    else return Boolean(this.results.key(event));
    return true;
  }

  close() {
    this.closed = true;
    clearInterval(this.clock);
    this.stream?.close();
    this.about?.close();
    this.log.close();
    this.results.close();
  }
}
