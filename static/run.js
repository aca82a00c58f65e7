// One run: its state, its results, and its lines as they come.

import { Bar, duration, element, lineCount, number, statusPill } from "./dom.js";
import { RUN_ENDS, RUN_LIFE, Stream, getJson } from "./stream.js";

const LINES_SHOWN = 5000;
const NEWEST = Number.MAX_SAFE_INTEGER;

export class RunView {
  constructor(root, id, onState) {
    this.root = root;
    this.id = id;
    this.onState = onState;
    this.closed = false;
    this.logSeq = 0;
    this.resultSeq = 0;
    this.results = new Map();
    this.waiting = [];
  }

  async start() {
    const path = `runs/${encodeURIComponent(this.id)}`;
    // the first read has the oldest cursor, so what the others already have comes again, with its seq
    const logs = await getJson(`${path}/logs?before=${NEWEST}&limit=${LINES_SHOWN}`);
    const results = await getJson(`${path}/results?before=${NEWEST}&limit=${LINES_SHOWN}`);
    this.run = await getJson(path);
    const instance = await getJson(`instances/${encodeURIComponent(this.run.instance_id)}`);
    if (this.closed) return;
    this.build(instance);
    this.takeLogs(logs.logs);
    for (const result of results.results) this.takeResult(result);
    this.drawRun();
    this.bar.show(this.run.progress);
    this.stream = new Stream(
      `events/experiments:run:${this.id}`, logs.last_event_id, (event) => this.take(event), this.onState,
    );
    this.stream.ends = RUN_ENDS;
    this.stream.ended = RUN_ENDS.includes(`run_${this.run.status}`);
    this.clock = setInterval(() => this.tick(), 1000);
  }

  build(instance) {
    this.pill = element("span");
    this.time = element("time");
    this.count = element("span", { class: "faint" });
    this.bar = new Bar();
    this.cancel = element("button", { type: "button", onclick: () => this.askToCancel() }, "Cancel");
    this.error = element("pre", { class: "error", hidden: true });
    this.keys = element("div", { class: "keys" });
    this.list = element("ol", { class: "log", tabindex: "0", "aria-label": "log lines" });
    this.list.addEventListener("scroll", () => {
      this.following = this.list.scrollHeight - this.list.scrollTop - this.list.clientHeight < 40;
    });
    this.following = true;
    this.root.replaceChildren(
      element("div", { class: "run" },
        element("section", { class: "card head" },
          element("div", { class: "line" },
            element("h1", {}, instance.name), element("code", {}, this.id), this.pill, this.time, this.cancel),
          this.bar.root, this.error),
        this.keys,
        element("section", { class: "card grow" }, element("div", { class: "line" }, element("h2", {}, "Log"), this.count), this.list),
      ),
    );
  }

  take(event) {
    if (event.type === "run_progress") this.bar.show(event);
    else if (RUN_LIFE.includes(event.type)) {
      this.run = { ...this.run, ...event.run };
      this.drawRun();
    } else if (event.type === "gap") this.note(gapText(event));
    else if (event.log || event.logs) this.takeLogs(event.logs ?? [event.log]);
    else for (const result of event.results ?? [event.result]) this.takeResult(result);
  }

  takeLogs(entries) {
    for (const entry of entries) {
      if (entry.seq <= this.logSeq) continue;
      this.logSeq = entry.seq;
      this.waiting.push(entry);
    }
    // a tab in the background draws nothing, and need not hold more than it would show
    if (this.waiting.length > LINES_SHOWN) this.waiting.splice(0, this.waiting.length - LINES_SHOWN);
    if (!this.drawing) this.drawing = requestAnimationFrame(() => this.drawLogs());
  }

  drawLogs() {
    this.drawing = 0;
    this.list.append(...this.waiting.map(logLine));
    this.waiting = [];
    while (this.list.childElementCount > LINES_SHOWN) this.list.firstElementChild.remove();
    this.count.textContent = lineCount(this.logSeq);
    if (this.following) this.list.scrollTop = this.list.scrollHeight;
  }

  takeResult(result) {
    if (result.seq <= this.resultSeq) return;
    this.resultSeq = result.seq;
    if (!this.results.has(result.key)) {
      this.results.set(result.key, new ResultTile(result.key));
      this.keys.append(this.results.get(result.key).root);
    }
    this.results.get(result.key).add(result);
  }

  drawRun() {
    const { status, error, cancel_requested_at } = this.run;
    const asked = status === "running" && cancel_requested_at;
    this.pill.replaceChildren(statusPill(status));
    this.cancel.hidden = !["pending", "running"].includes(status);
    this.cancel.disabled = Boolean(asked);
    this.cancel.textContent = asked ? "Cancelling…" : "Cancel";
    this.error.hidden = !error;
    this.error.textContent = error ?? "";
    if (!["pending", "running"].includes(status)) this.bar.end();
    document.title = `${status} · ${this.id}`;
    this.tick();
  }

  tick() {
    this.time.textContent = duration(this.run);
  }

  async askToCancel() {
    if (!confirm("Ask this run to end?")) return;
    const answer = await fetch(`runs/${encodeURIComponent(this.id)}/cancel`, { method: "POST" });
    if (!answer.ok) this.note((await answer.json()).detail);
  }

  note(text) {
    this.list.append(element("li", { class: "note" }, text));
  }

  close() {
    this.closed = true;
    clearInterval(this.clock);
    cancelAnimationFrame(this.drawing);
    this.stream?.close();
  }
}

function gapText({ reason }) {
  if (reason === "expired") return "older lines are gone: retention has deleted them";
  return "the service has another database than before; lines may be missing here: reload the page";
}

function logLine(entry) {
  const line = element("li", { class: entry.level, "data-seq": entry.seq },
    element("time", {}, entry.timestamp.slice(11, 23)),
    element("span", { class: "level" }, entry.level),
    element("span", { class: "message" }, entry.message),
  );
  if (entry.metadata) line.append(element("code", {}, JSON.stringify(entry.metadata)));
  return line;
}

// A result's newest value, and the course of it if it is a number.
class ResultTile {
  constructor(key) {
    this.values = [];
    this.value = element("strong");
    this.curve = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    this.curve.setAttribute("viewBox", "0 0 100 30");
    this.curve.setAttribute("preserveAspectRatio", "none");
    this.curve.setAttribute("aria-hidden", "true");
    this.root = element("section", { class: "card tile" }, element("h3", {}, key), this.value, this.curve);
  }

  add({ value }) {
    if (typeof value !== "number") {
      this.value.textContent = JSON.stringify(value).slice(0, 300);
      return;
    }
    this.value.textContent = number(value);
    this.values.push(value);
    if (this.values.length > 400) this.values = this.values.filter((_, index) => index % 2);
    if (!this.drawing) this.drawing = requestAnimationFrame(() => this.draw());
  }

  draw() {
    this.drawing = 0;
    const [least, most] = [Math.min(...this.values), Math.max(...this.values)];
    const last = Math.max(1, this.values.length - 1);
    const points = this.values.map((value, index) => {
      const height = most > least ? (value - least) / (most - least) : 0.5;
      return `${((100 * index) / last).toFixed(2)},${(28 - 26 * height).toFixed(2)}`;
    });
    const line = document.createElementNS("http://www.w3.org/2000/svg", "polyline");
    line.setAttribute("points", points.join(" "));
    line.setAttribute("vector-effect", "non-scaling-stroke");
    this.curve.replaceChildren(line);
  }
}
