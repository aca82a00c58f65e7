// A tab's stream of events. All tabs of a browser share one EventSource (hub.js), because a browser has
// six connections for a host. The stream knows its cursor, so that it can join again at any time.

import { Hub } from "./hub.js";

export const RUN_LIFE = [
  "run_created", "run_started", "run_updated", "run_completed", "run_failed", "run_cancelled", "run_cancel_requested",
];
export const RUN_ENDS = ["run_completed", "run_failed", "run_cancelled"];
// milliseconds after which a hidden tab leaves, so that nothing is sent that nobody sees
const IDLE = 30000;
// milliseconds after which a silent hub is replaced: the worker may have crashed
const SILENCE = 60000;
// A page of another version has a worker of its own: the version is in the worker's address.
const WORKER = { type: "module", name: "athanor" };

let worker = null;
let canShare = "SharedWorker" in globalThis;
let own = null;

// A port to the hub: in the worker of all tabs, or in this tab where the browser has no such worker.
function connect(onFailure) {
  if (canShare) {
    try {
      worker = new SharedWorker(new URL("worker.js", import.meta.url), WORKER);
      worker.onerror = () => {
        canShare = false;
        onFailure();
      };
      return worker.port;
    } catch {
      canShare = false;
    }
  }
  own ??= new Hub();
  const { port1, port2 } = new MessageChannel();
  own.add(port2);
  return port1;
}

export class Stream {
  // Subscribes to `topics` after `cursor`. `handlers` are `event(data)`; `state(name, text)` with live,
  // reconnecting, paused or ended; and `resume()`, which is called after a pause, reads what the stream
  // may have missed, and returns a newer cursor.
  constructor(topics, cursor, handlers) {
    this.topics = topics;
    this.cursor = cursor;
    this.handlers = handlers;
    this.seqs = new Map();
    this.news = 0;
    this.ended = false;
    this.closed = false;
    this.isPaused = false;
    this.isLive = false;
    this.isLost = false;
    this.leaving = new AbortController();
    const { signal } = this.leaving;
    document.addEventListener("visibilitychange", () => (document.hidden ? this.hide() : this.show()), { signal });
    addEventListener("online", () => this.say("renew"), { signal });
    addEventListener("offline", () => this.say("offline"), { signal });
    addEventListener("pagehide", () => this.pause(), { signal });
    addEventListener("pageshow", ({ persisted }) => persisted && this.show(), { signal });
    this.watching = setInterval(() => this.port && performance.now() - this.heardAt > SILENCE && this.join(), SILENCE / 4);
    this.join();
    if (document.hidden) this.hide();
  }

  join() {
    this.leave();
    const port = connect(() => this.port === port && this.join());
    port.onmessage = ({ data }) => this.port === port && this.hear(data);
    this.port = port;
    this.heardAt = performance.now();
    this.say("join");
  }

  say(what) {
    this.port?.postMessage(what === "join" ? { say: what, topics: this.topics, cursor: this.cursor } : { say: what });
  }

  leave() {
    this.say("leave");
    this.port?.close();
    this.port = null;
    this.isLive = false;
    clearInterval(this.countdown);
    clearTimeout(this.announcing);
  }

  hear({ say, ...message }) {
    this.heardAt = performance.now();
    if (say === "event") this.take(message);
    else if (say === "live") this.live();
    else if (say === "lost") this.lost(message.pause);
    else if (say === "resume") this.resume();
    else if (say === "rejoin") this.say("join");
    else if (say === "end") this.end(message.text);
    else if (say === "login") dispatchEvent(new Event("login"));
    else if (say === "full") {
      canShare = false;
      this.join();
    }
    else {
      // a ping comes after all events up to its cursor
      this.cursor = message.cursor;
      this.say("here");
    }
  }

  live() {
    if (this.isLive) return;
    this.isLive = true;
    clearInterval(this.countdown);
    this.news = 0;
    this.handlers.state("live", "live");
    if (!this.isLost) return;
    this.isLost = false;
    this.announcing = setTimeout(() => {
      if (this.news) this.handlers.state("live", `caught up, ${this.news.toLocaleString("en")} new`);
      this.announcing = setTimeout(() => this.handlers.state("live", "live"), 5000);
    }, 1000);
  }

  take({ data, cursor }) {
    this.cursor = cursor;
    this.dropSeen(data);
    this.news += data.logs?.length ?? data.results?.length ?? 1;
    this.handlers.event(data);
    const isOfRun = this.topics.length === 1 && this.topics[0].startsWith("experiments:run:");
    if (this.ended || (isOfRun && RUN_ENDS.includes(data.type))) this.end("ended");
  }

  // A replay that began at another tab's cursor groups entries anew: an event may begin with entries
  // that this stream has given already.
  dropSeen(data) {
    // another database counts anew
    if (data.type === "gap" && data.reason !== "expired") this.seqs.clear();
    const kind = data.type.replace(/s$/, "");
    const list = { run_log: "logs", run_result: "results" }[kind];
    if (!list) return;
    const key = `${kind} ${data.run_id}`;
    const seen = this.seqs.get(key) ?? 0;
    if (data[list]) data[list] = data[list].filter(({ seq }) => seq > seen);
    this.seqs.set(key, (data.log ?? data.result ?? data[list].at(-1))?.seq ?? seen);
  }

  lost(pause) {
    this.isLive = false;
    this.isLost = true;
    clearTimeout(this.announcing);
    const until = performance.now() + pause;
    const showPause = () => {
      const seconds = Math.max(0, Math.ceil((until - performance.now()) / 1000));
      this.handlers.state("reconnecting", seconds ? `reconnecting in ${seconds} s` : "reconnecting");
    };
    showPause();
    clearInterval(this.countdown);
    this.countdown = setInterval(showPause, 500);
  }

  end(text) {
    this.ended = true;
    this.leave();
    this.handlers.state("ended", text);
  }

  hide() {
    if (!this.stays) this.hiding = setTimeout(() => this.pause(), IDLE);
  }

  pause() {
    if (this.ended || this.isPaused) return;
    this.isPaused = true;
    clearTimeout(this.trying);
    this.leave();
    this.handlers.state("paused", "paused");
  }

  show() {
    clearTimeout(this.hiding);
    if (this.ended) return;
    if (!this.isPaused) {
      this.say("hurry");
      return;
    }
    this.isPaused = false;
    this.handlers.state("reconnecting", "reconnecting");
    this.resume();
  }

  // Joins with a newer cursor.
  async resume() {
    this.leave();
    try {
      const cursor = await this.handlers.resume();
      if (this.closed || this.isPaused) return;
      this.cursor = cursor;
      if (this.ended) this.end("ended");
      else this.join();
    } catch (error) {
      if (this.closed || this.isPaused) return;
      if (error.status === 404) {
        this.end("not found");
        return;
      }
      const pause = 2000 + 2000 * Math.random();
      this.lost(pause);
      this.trying = setTimeout(() => this.resume(), pause);
    }
  }

  close() {
    this.closed = true;
    this.leaving.abort();
    this.leave();
    for (const timer of [this.hiding, this.trying]) clearTimeout(timer);
    clearInterval(this.watching);
  }
}
