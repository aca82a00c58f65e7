// The events of a run's life, in order: created, started, renamed, a cancel request, the end.

import { request } from "../common/api.js";
import { serviceNow } from "../common/clock.js";
import { element } from "../common/dom.js";
import { displayName, lastLine, moment, number, span } from "../common/format.js";
import { parse } from "../common/json.js";
import { RUN_LIFE } from "../stream/stream.js";

// milliseconds without a further event, after which all stored ones have arrived: the stream of a run
// that has not ended goes on
const QUIET = 1000;
const MOST_ITEMS = 200;

export class Timeline {
  constructor(id) {
    this.id = id;
    this.events = [];
    this.list = element("ol", { class: "timeline" });
    this.note = element("p", { class: "faint" });
    this.root = element("section", { class: "facts" }, element("h2", {}, "Timeline"), this.list, this.note);
  }

  // Reads the stored events. Until then, and if that is impossible, the run's own times are shown.
  async load(run) {
    this.run = run;
    if (this.reading) return;
    this.reading = new AbortController();
    this.draw();
    try {
      const { signal } = this.reading;
      const path = `events/${encodeURIComponent(`experiments:run:${this.id}`)}?types=${RUN_LIFE.join(",")}&last_event_id=0`;
      const response = await request(path, { signal, headers: { Accept: "application/x-ndjson" } });
      if (response.status === 200) this.events = await this.read(response.body.pipeThrough(new TextDecoderStream()).getReader());
    } catch (error) {
      if (this.isClosed) return;
      this.note.textContent = `earlier changes can't be read: ${error.status ? error.message : "the service does not answer"}`;
    }
    this.isLoaded = true;
    this.draw();
  }

  async read(reader) {
    const events = [];
    let rest = "";
    let timer = null;
    const quiet = () => new Promise((done) => (timer = setTimeout(() => done({ done: true }), QUIET)));
    while (!this.isClosed) {
      const { value, done } = await Promise.race([reader.read(), quiet()]);
      clearTimeout(timer);
      if (done) break;
      const lines = (rest + value).split("\n");
      rest = lines.pop();
      events.push(...lines.filter(Boolean).map(parse));
    }
    this.reading.abort();
    if (events.some(({ type }) => type === "gap")) this.note.textContent = "Retention has deleted earlier events.";
    return events.filter(({ run }) => run);
  }

  // Takes an event of the stream. Those that are being read come from there.
  take(event) {
    if (!this.isLoaded) return;
    this.events.push({ ...event, at: new Date(serviceNow()).toISOString() });
    this.draw();
  }

  show(run) {
    this.run = run;
    if (this.reading) this.draw();
  }

  draw() {
    const items = this.events.length ? told(this.events) : told(synthetic(this.run));
    const start = this.run.started_at ?? this.run.created_at;
    const left = items.length - MOST_ITEMS;
    this.list.replaceChildren(...items.slice(-MOST_ITEMS).map(({ at, kind, what, count }) =>
      element("li", { class: kind }, element("span", {}, count > 1 ? `${what} (${number(count)} times)` : what),
        at ? element("time", { datetime: at, title: relative(at, start) }, moment(at)) : null,
        at && Date.parse(at) > Date.parse(start) ? element("span", { class: "faint" }, relative(at, start)) : null)));
    if (left > 0) this.list.prepend(element("li", { class: "faint" }, `${number(left)} earlier events`));
  }

  close() {
    this.isClosed = true;
    this.reading?.abort();
  }
}

function relative(at, start) {
  const seconds = (Date.parse(at) - Date.parse(start)) / 1000;
  return seconds >= 0 ? `${span(seconds)} after the start` : `${span(-seconds)} before the start`;
}

// The events that the fields of a run tell of.
function synthetic(run) {
  const events = [{ type: "run_created", run }];
  if (run.started_at) events.push({ type: "run_started", run });
  if (run.cancel_requested_at) events.push({ type: "run_cancel_requested", run });
  if (run.completed_at) events.push({ type: `run_${run.status}`, run });
  return events;
}

// What events mean, each as { at, kind, what, count }. Changes of the same kind in a row are one.
function told(events) {
  const items = [];
  let before = null;
  for (const { type, run, at } of events) {
    const item = { kind: type, count: 1, ...meaning(type, run, before, at) };
    before = run;
    const last = items.at(-1);
    if (last?.kind === "run_updated" && type === "run_updated" && last.what === item.what) {
      last.count += 1;
      last.at = item.at;
    } else {
      items.push(item);
    }
  }
  return items;
}

function meaning(type, run, before, at) {
  const { created_at, started_at, cancel_requested_at, completed_at, error } = run;
  if (type === "run_created") return { at: created_at, what: "created" };
  if (type === "run_started") return { at: started_at, what: "started" };
  if (type === "run_cancel_requested") return { at: cancel_requested_at, what: "cancel requested" };
  if (type === "run_failed") return { at: completed_at, what: error ? `failed: ${lastLine(error)}` : "failed" };
  if (type === "run_updated") return { at, what: change(run, before) };
  return { at: completed_at, what: type.replace("run_", "") };
}

function change(run, before) {
  if (before && displayName(run) !== displayName(before)) return `renamed: ${displayName(run)}`;
  const keys = Object.keys({ ...before?.metadata, ...run.metadata });
  const changed = keys.filter((key) => !before || rounded(run.metadata?.[key]) !== rounded(before.metadata?.[key]));
  if (changed.length === 1 && changed[0] === "tags") return `tags: ${[run.metadata.tags ?? []].flat().join(", ") || "none"}`;
  return `changed: ${changed.slice(0, 5).join(", ")}${changed.length > 5 ? ", …" : ""}`;
}

// JSON in which integers are as a live event has them (stream/hub.js).
function rounded(value) {
  return JSON.stringify(value, (_, each) => (typeof each === "bigint" ? Number(each) : each));
}
