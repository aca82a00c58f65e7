// All instances with their newest runs, live.

import { Bar, duration, element, lineCount, number, statusPill } from "./dom.js";
import { getJson, Stream } from "./stream.js";

const RUNS_SHOWN = 5;

export class Overview {
  constructor(root, onState) {
    this.root = root;
    this.onState = onState;
    this.instances = new Map();
    this.runs = new Map();
    this.bars = new Map();
    this.closed = false;
    document.title = "Athanor";
  }

  async start() {
    const instances = await getJson("instances?limit=1000");
    const runs = await getJson("runs?limit=1000");
    if (this.closed) return;
    for (const instance of instances.instances) this.instances.set(instance.id, instance);
    for (const run of runs.runs.reverse()) this.runs.set(run.id, run);
    this.draw();
    // both lists are at least as new as the first one's cursor; seeing an event again changes nothing
    this.stream = new Stream(
      "events?topic=experiments:instances&topic=experiments:runs",
      instances.last_event_id, (event) => this.take(event), this.onState,
    );
    this.clock = setInterval(() => this.tick(), 1000);
  }

  take(event) {
    if (event.type === "run_progress") {
      this.bar(event.run_id).show(event);
      return;
    }
    if (event.instance) this.instances.set(event.instance.id, event.instance);
    if (event.type === "instance_deleted") {
      this.instances.delete(event.instance_id);
      for (const run of this.runs.values()) {
        if (run.instance_id === event.instance_id) this.runs.delete(run.id);
      }
    }
    if (event.run) this.runs.set(event.run.id, event.run);
    if (!this.drawing) {
      this.drawing = requestAnimationFrame(() => {
        this.drawing = 0;
        this.draw();
      });
    }
  }

  bar(runId) {
    if (!this.bars.has(runId)) this.bars.set(runId, new Bar());
    return this.bars.get(runId);
  }

  draw() {
    const byInstance = new Map([...this.instances.keys()].map((id) => [id, []]));
    for (const run of [...this.runs.values()].reverse()) byInstance.get(run.instance_id)?.push(run);
    const cards = [...this.instances.values()].map((instance) => [instance, byInstance.get(instance.id)]);
    const age = ([instance, runs]) => runs[0]?.created_at ?? instance.created_at;
    cards.sort((one, other) => (age(one) < age(other) ? 1 : -1));
    this.root.replaceChildren(...(cards.length ? cards.map(([i, r]) => this.card(i, r)) : [this.empty()]));
  }

  card(instance, runs) {
    return element("section", { class: "card" },
      element("h2", {}, instance.name),
      instance.description ? element("p", { class: "faint" }, instance.description) : null,
      runs.length
        ? element("ul", { class: "runs" }, ...runs.slice(0, RUNS_SHOWN).map((run) => this.row(run)))
        : element("p", { class: "faint" }, "no run yet"),
      runs.length > RUNS_SHOWN
        ? element("p", { class: "faint" }, `and ${number(runs.length - RUNS_SHOWN)} earlier runs`) : null,
    );
  }

  row(run) {
    const lines = run.log_count ? lineCount(run.log_count) : "";
    return element("li", {},
      element("a", { href: `#/runs/${run.id}` },
        statusPill(run.status),
        element("code", {}, run.id),
        run.status === "running" ? this.bar(run.id).root : element("span", { class: "bar" }, run.error ? firstLine(run.error) : ""),
        element("span", { class: "faint right" }, run.status === "running" ? "" : lines),
        element("time", { class: "right", "data-run": run.id }, duration(run)),
      ),
    );
  }

  empty() {
    const base = location.href.replace(/[#?].*$/, "").replace(/\/$/, "");
    const commands = [
      `curl -X PUT ${base}/instances/first -d '{"name": "My first experiment"}'`,
      `curl -X POST ${base}/instances/first/runs -d '{"id": "hello"}'`,
      `curl -X POST ${base}/runs/hello/start`,
      `curl -X POST ${base}/runs/hello/logs -d 'Hello, world'`,
    ].join("\n");
    return element("section", { class: "card" },
      element("h2", {}, "No experiment yet"),
      element("p", {}, "It appears here as soon as one reports. From a terminal:"),
      element("pre", {}, commands),
    );
  }

  tick() {
    for (const time of this.root.querySelectorAll("time[data-run]")) {
      const run = this.runs.get(time.dataset.run);
      if (run?.status === "running") time.textContent = duration(run);
    }
  }

  close() {
    this.closed = true;
    clearInterval(this.clock);
    cancelAnimationFrame(this.drawing);
    this.stream?.close();
  }
}

function firstLine(text) {
  return text.trim().split("\n").at(-1).slice(0, 200);
}
