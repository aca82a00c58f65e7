// One run: its header, its log and its results.

import { getJson, instancePath, request, runPath } from "../common/api.js";
import { Bar, element, statusPill } from "../common/dom.js";
import { duration, displayName, number } from "../common/format.js";
import { FIRST } from "../log/lines.js";
import { LogTab } from "../log/log.js";
import { ResultsTab } from "../results/results.js";
import { RUN_ENDS, RUN_LIFE, Stream } from "../stream/stream.js";

const NEWEST = Number.MAX_SAFE_INTEGER;
const FINAL = ["completed", "failed", "cancelled"];

export class RunView {
  // `route` has `id`, and `address`, whose path ends with the tab (logs or results)
  constructor(root, route, shell) {
    this.root = root;
    this.id = route.id;
    this.address = route.address;
    this.tab = this.address.parts[2] === "results" ? "results" : "logs";
    this.shell = shell;
    this.closed = false;
    this.log = new LogTab(this.id, this.address);
    this.results = new ResultsTab(this.id, this.address, () => this.tick());
  }

  async start() {
    const page = await this.load();
    this.instance = await getJson(instancePath(this.run.instance_id));
    if (this.closed) return;
    this.build();
    this.show();
    this.log.begin(page);
    this.bar.show(this.run.progress);
    if (this.isFinal) this.shell.state("ended", "ended");
    else this.follow(page.last_event_id);
    // after the stream: its cursor is older than what is loaded now, so nothing is missing
    this.results.begin(this.run);
    this.clock = setInterval(() => this.tick(), 1000);
    this.tick();
  }

  // Reads the newest page of lines, then the run. The page has the older cursor: events that the later
  // reads contain are repeated, and recognised by their seq. A run that has ended needs no stream, so
  // its page must be read after its end.
  async load() {
    const read = () => getJson(`${runPath(this.id)}/logs?before=${NEWEST}&limit=${FIRST}`);
    const page = await read();
    this.run = await getJson(runPath(this.id));
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
    this.bar.show(this.run.progress);
    this.stream.ended = this.isFinal;
    if (this.isFinal) this.notifyOfEnd();
    return page.last_event_id;
  }

  get isFinal() {
    return FINAL.includes(this.run.status);
  }

  build() {
    this.pill = element("span");
    this.time = element("time");
    this.bar = new Bar();
    this.cancel = element("button", { type: "button", class: "cancel", onclick: () => this.requestCancel() }, "Cancel");
    this.notify = element("button", { type: "button", class: "small toggle", "aria-pressed": "false", onclick: () => this.toggleNotify() }, "Notify me");
    this.error = element("pre", { class: "error", hidden: true, tabindex: "0", "aria-label": "the run's error" });
    this.problem = element("span", { class: "warn", role: "alert" });
    const tab = (name, title) => {
      const button = element("button", { type: "button", role: "tab", id: `tab-${name}`, "aria-controls": `panel-${name}`, onclick: () => this.turnTo(name) }, title);
      return button;
    };
    this.tabs = { logs: tab("logs", "Logs"), results: tab("results", "Results") };
    this.panels = {
      logs: element("div", { role: "tabpanel", id: "panel-logs", "aria-labelledby": "tab-logs", class: "panel" }, this.log.root),
      results: element("div", { role: "tabpanel", id: "panel-results", "aria-labelledby": "tab-results", class: "panel scrolls" }, this.results.root),
    };
    this.name = element("span", {});
    this.metadata = element("pre", {});
    const metadata = element("details", { class: "about" }, element("summary", {}, "About"), this.metadata);
    this.root.replaceChildren(
      element("div", { class: "run" },
        element("section", { class: "card head" },
          element("div", { class: "line" },
            element("h1", {}, element("a", { href: `#/instances/${encodeURIComponent(this.instance.id)}` }, this.instance.name), " / ", this.name),
            this.pill, this.time, element("span", { class: "space" }), this.problem, this.notify, this.cancel),
          element("div", { class: "line faint small-text" }, element("code", {}, this.id), metadata),
          this.bar.root, this.error),
        element("div", { class: "tabs", role: "tablist", onkeydown: (event) => this.turn(event) }, this.tabs.logs, this.tabs.results),
        this.panels.logs, this.panels.results,
      ),
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
    if (!first) this.address.go("runs", this.id, name);
    if (name === "results") this.results.show();
    else this.log.viewport.draw();
  }

  // The arrow keys switch between the tabs.
  turn(event) {
    if (event.key !== "ArrowLeft" && event.key !== "ArrowRight") return;
    this.turnTo(this.tab === "logs" ? "results" : "logs");
    this.tabs[this.tab].focus();
    event.preventDefault();
  }

  take(event) {
    if (event.type === "run_progress") {
      this.bar.show(event);
    } else if (RUN_LIFE.includes(event.type)) {
      this.run = { ...this.run, ...event.run, stale: false };
      this.show();
      if (RUN_ENDS.includes(event.type)) this.notifyOfEnd();
    } else if (event.type === "gap") {
      this.results.take(event);
      this.log.note(event.reason === "expired" ? "retention has deleted some lines" : "the service has another database now: reload the page");
    } else if (event.log || event.logs) {
      this.run.stale = false;
      this.log.append(event.logs ?? [event.log]);
    } else {
      this.results.take(event);
    }
  }

  show() {
    const { status, error, cancel_requested_at } = this.run;
    const isCancelling = status === "running" && cancel_requested_at;
    this.name.textContent = displayName(this.run);
    this.metadata.textContent = JSON.stringify(this.run.metadata ?? {}, null, 2).slice(0, 100000);
    this.pill.replaceChildren(statusPill(this.run));
    this.cancel.hidden = this.isFinal || !this.shell.session.mayWrite;
    this.notify.hidden = this.isFinal || !("Notification" in window);
    this.cancel.disabled = Boolean(isCancelling);
    if (isCancelling) this.cancel.textContent = "Cancelling…";
    this.error.hidden = !error;
    if (this.error.textContent !== (error ?? "")) {
      this.error.textContent = error ?? "";
      this.error.scrollTop = this.error.scrollHeight;
    }
    if (this.isFinal) this.bar.end();
    this.bar.root.classList.toggle("over", this.isFinal);
    this.shell.title(`${status} · ${displayName(this.run)}`, this.run.status);
    this.tick();
  }

  tick() {
    if (!this.time) return;
    this.time.textContent = duration(this.run);
    this.tabs.results.textContent = this.results.count ? `Results (${number(this.results.count)})` : "Results";
  }

  // The first click asks for confirmation, in the button itself.
  async requestCancel() {
    if (this.cancel.dataset.sure !== "yes") {
      this.cancel.dataset.sure = "yes";
      this.cancel.textContent = "End this run?";
      this.sure = setTimeout(() => {
        delete this.cancel.dataset.sure;
        if (!this.cancel.disabled) this.cancel.textContent = "Cancel";
      }, 4000);
      return;
    }
    clearTimeout(this.sure);
    delete this.cancel.dataset.sure;
    try {
      await request(`${runPath(this.id)}/cancel`, { method: "POST" });
    } catch (error) {
      this.problem.textContent = error.message;
      this.cancel.textContent = "Cancel";
    }
  }

  async toggleNotify() {
    const wanted = this.notify.getAttribute("aria-pressed") !== "true" && (await Notification.requestPermission()) === "granted";
    this.notify.setAttribute("aria-pressed", String(wanted));
    this.stream.stays = wanted;
  }

  notifyOfEnd() {
    if (this.notify.getAttribute("aria-pressed") !== "true") return;
    try {
      new Notification(`${displayName(this.run)} is ${this.run.status}`, { body: this.instance.name });
    } catch {
      // some phones allow notifications from service workers only
    }
  }

  key(event) {
    const log = this.tab === "logs" ? this.log : null;
    if (!log && this.results.key(event)) return true;
    if (event.key === "1") this.turnTo("logs");
    else if (event.key === "2") this.turnTo("results");
    else if (event.key === "/" && log) log.search.focus();
    else if (event.key === "f" && log) log.follow(!log.viewport.follows);
    else if (event.key === "g" && log) log.viewport.by(-Infinity);
    else if (event.key === "G" && log) log.follow(true);
    else if (event.key === "j" && log) log.step(1);
    else if (event.key === "k" && log) log.step(-1);
    else if (event.key === "Escape" && log) return log.clear() || (log.selected != null && (log.show(null), true));
    else return false;
    return true;
  }

  close() {
    this.closed = true;
    clearInterval(this.clock);
    clearTimeout(this.sure);
    this.stream?.close();
    this.log.close();
    this.results.close();
  }
}
