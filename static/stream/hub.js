// One EventSource for the streams of all tabs. Each stream has a port, its topics and its cursor; the
// EventSource has all topics, and begins at the oldest cursor. Its events come in the order of their
// numbers, so a stream drops what is not after its own cursor.

import { parse } from "../common/json.js";
import { ROOT } from "../common/root.js";

const TYPES = [
  "run_created", "run_started", "run_updated", "run_completed", "run_failed", "run_cancelled", "run_cancel_requested",
  "run_deleted", "run_log", "run_logs", "run_result", "run_results", "run_progress",
  "instance_created", "instance_updated", "instance_deleted", "gap",
];
const MOST_TOPICS = 128;
const MOST_PAUSE = 15000;
// milliseconds after which a silent EventSource is replaced: a lost network causes no error
const SILENCE = 60000;
// milliseconds between two pings; a stream that leaves three unanswered belongs to a tab that crashed
const PING = 5000;
// milliseconds in which several streams that join, or leave, cause one reconnect
const JOINING = 50;
const LEAVING = 1000;
// A stream so many events behind the newest cursor reads its lists again. Otherwise one that had no
// event for long would make the service replay all that the topics of the others had meanwhile.
const MOST_BEHIND = 5000;

export class Hub {
  constructor() {
    this.members = new Map();
    this.source = null;
    this.failures = 0;
    this.due = Infinity;
    setInterval(() => this.look(), PING);
  }

  // Takes the port of a stream, which says: join (again), here (the answer to a ping), leave, hurry
  // (reconnect, if disconnected), renew (reconnect), or offline.
  add(port) {
    port.onmessage = ({ data }) => {
      const member = this.members.get(port);
      if (data.say === "join") this.join(port, data);
      else if (data.say === "here" && member) member.unanswered = 0;
      else if (data.say === "here") port.postMessage({ say: "rejoin" });
      else if (data.say === "leave") this.leave(port);
      else if (data.say === "renew" || (data.say === "hurry" && !this.source)) this.plan(0);
      else if (data.say === "offline" && this.source) this.lost();
    };
  }

  join(port, { topics, cursor }) {
    if (this.topics(topics).length > MOST_TOPICS) {
      port.postMessage({ say: "full" });
      return;
    }
    this.members.set(port, { topics, cursor, unanswered: 0, isIn: false });
    this.plan(this.source ? JOINING : 0);
  }

  leave(port) {
    if (this.members.delete(port)) this.plan(this.members.size ? LEAVING : 0);
  }

  // Reconnects after `pause` milliseconds, or earlier if that is planned already.
  plan(pause) {
    const due = performance.now() + pause;
    if (this.due <= due) return;
    clearTimeout(this.timer);
    this.due = due;
    this.timer = setTimeout(() => this.open(), pause);
  }

  stop() {
    clearTimeout(this.timer);
    this.due = Infinity;
    this.source?.close();
    this.source = null;
  }

  open() {
    this.stop();
    this.refresh();
    if (!this.members.size) return;
    const members = [...this.members.values()];
    for (const member of members) member.isIn = true;
    const source = new EventSource(address(this.topics(), oldest(members)));
    source.onopen = () => this.opened();
    source.onerror = () => this.lost();
    // the service has too many streams, and says how many milliseconds to wait
    source.addEventListener("busy", (event) => (this.busy = JSON.parse(event.data).retry));
    for (const type of TYPES) source.addEventListener(type, (event) => this.take(event));
    this.source = source;
  }

  // The topics of all streams, and `more`.
  topics(more = []) {
    return [...new Set([...this.members.values()].flatMap(({ topics }) => topics).concat(more))];
  }

  refresh() {
    const newest = Math.max(...[...this.members.values()].map(({ cursor }) => split(cursor).n));
    for (const [port, { cursor }] of this.members) {
      if (newest - split(cursor).n <= MOST_BEHIND) continue;
      this.members.delete(port);
      port.postMessage({ say: "resume" });
    }
  }

  opened() {
    this.receivedAt = performance.now();
    this.failures = 0;
    this.tell({ say: "live" });
  }

  take(event) {
    this.receivedAt = performance.now();
    // integers in the metadata of lines stay exact
    const data = event.type.startsWith("run_log") ? parse(event.data) : JSON.parse(event.data);
    if (data.type === "gap") {
      this.gap(data);
      return;
    }
    const topics = topicsOf(data);
    // progress has no id of its own, and moves no cursor
    const id = data.type === "run_progress" ? null : event.lastEventId;
    for (const [port, member] of this.members) {
      if (!member.isIn || (id && !isAfter(id, member.cursor))) continue;
      if (id) member.cursor = id;
      if (member.topics.some((topic) => topics.includes(topic))) port.postMessage({ say: "event", data, cursor: member.cursor });
    }
  }

  // Events are missing after the oldest cursor; not all streams are concerned.
  gap(data) {
    for (const [port, member] of this.members) {
      if (!member.isIn || (data.topic && !member.topics.includes(data.topic))) continue;
      if (data.reason === "expired") {
        if (data.oldest && !isAfter(data.oldest, member.cursor)) continue;
      } else {
        if (split(member.cursor).epoch !== split(data.after).epoch) continue;
        // all events that are stored follow
        member.cursor = "0";
      }
      port.postMessage({ say: "event", data, cursor: member.cursor });
    }
  }

  // A browser gives up for good after any response but 200, and does not report its own pauses, so
  // the hub reconnects by itself.
  lost() {
    const isRefused = this.source.readyState === EventSource.CLOSED;
    this.source.close();
    this.source = null;
    this.failures += 1;
    const pause = this.busy ?? Math.min(MOST_PAUSE, 1000 * 1.6 ** (this.failures - 1)) * (0.75 + 0.75 * Math.random());
    this.busy = null;
    this.tell({ say: "lost", pause });
    this.plan(pause);
    if (isRefused) this.ask();
  }

  // Finds out why the service refused: an EventSource tells no status. One stream that it refuses does
  // not stop the others. An answer that is not the service's, but a proxy's for example, says nothing.
  async ask() {
    for (const [port, { topics, cursor }] of [...this.members]) {
      let answer;
      try {
        answer = await fetch(address(topics, cursor), { method: "HEAD" });
      } catch {
        return;
      }
      const isFromService = answer.headers.get("content-type")?.startsWith("application/problem+json");
      if (answer.status === 401 && isFromService) {
        this.stop();
        this.tell({ say: "login" });
        this.members.clear();
        return;
      }
      const refusal = { 403: "not allowed", 404: "not found" }[answer.status];
      if (!refusal || !isFromService) continue;
      port.postMessage({ say: "end", text: refusal });
      this.leave(port);
    }
  }

  look() {
    for (const [port, member] of this.members) {
      if (member.unanswered === 3) {
        this.leave(port);
        continue;
      }
      member.unanswered += 1;
      port.postMessage({ say: "ping", cursor: member.cursor });
    }
    if (this.source?.readyState === EventSource.OPEN && performance.now() - this.receivedAt > SILENCE) this.open();
  }

  // Tells all streams that the EventSource serves.
  tell(message) {
    for (const [port, member] of this.members) {
      if (member.isIn) port.postMessage(message);
    }
  }
}

function address(topics, cursor) {
  const query = new URLSearchParams(topics.map((topic) => ["topic", topic]));
  query.set("last_event_id", cursor);
  return `${ROOT}/events?${query}`;
}

// The topics of an event (docs/protocol.md).
function topicsOf({ type, run, run_id = run?.id, instance, instance_id = run?.instance_id ?? instance?.id }) {
  const ofInstance = `experiments:instance:${instance_id}`;
  const ofRun = `experiments:run:${run_id}`;
  if (type.startsWith("instance_")) return ["experiments:instances", ofInstance];
  if (type === "run_progress") return ["experiments:runs", ofInstance, ofRun];
  if (type === "run_deleted") return ["experiments:runs", ofInstance];
  return run ? ["experiments:runs", ofInstance, ofRun] : [ofRun];
}

// A cursor is {epoch}-{n}, or 0; the epoch names the database.
function split(cursor) {
  const [n, epoch] = cursor.split("-").reverse();
  return { epoch, n: Number(n) };
}

function isAfter(id, cursor) {
  const [one, other] = [split(id), split(cursor)];
  return one.epoch !== other.epoch || one.n > other.n;
}

// The oldest cursor. Of several databases' cursors it is one of the longest member's: if its database
// is gone, the service says so, and sends everything.
function oldest(members) {
  const cursors = members.map(({ cursor }) => cursor);
  if (cursors.includes("0")) return "0";
  const isOlder = (one, other) => split(one).epoch === split(other).epoch && isAfter(other, one);
  return cursors.reduce((least, cursor) => (isOlder(cursor, least) ? cursor : least));
}
