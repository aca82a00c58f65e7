// One EventSource, and what a browser leaves to the page: coming back when it has given up.

export const RUN_LIFE = [
  "run_created", "run_started", "run_completed", "run_failed", "run_cancelled", "run_cancel_requested",
];
export const RUN_ENDS = ["run_completed", "run_failed", "run_cancelled"];
const TYPES = [
  ...RUN_LIFE, "run_log", "run_logs", "run_result", "run_results", "run_progress",
  "instance_created", "instance_updated", "instance_deleted", "gap",
];

export async function getJson(path) {
  const answer = await fetch(path, { headers: { Accept: "application/json" } });
  const body = await answer.json();
  if (!answer.ok) throw Object.assign(new Error(body.detail), { status: answer.status });
  return body;
}

export class Stream {
  // `path` is that of the events, `cursor` where to begin; `onState` hears live, reconnecting, ended
  constructor(path, cursor, onEvent, onState) {
    this.path = path;
    this.cursor = cursor;
    this.onEvent = onEvent;
    this.onState = onState;
    this.ended = false;
    this.open();
  }

  open() {
    const joint = this.path.includes("?") ? "&" : "?";
    this.source = new EventSource(`${this.path}${joint}last_event_id=${encodeURIComponent(this.cursor)}`);
    this.source.onopen = () => this.onState("live");
    this.source.onerror = () => this.lost();
    for (const type of TYPES) this.source.addEventListener(type, (event) => this.take(event));
  }

  take(event) {
    if (event.lastEventId) this.cursor = event.lastEventId;
    const data = JSON.parse(event.data);
    this.onEvent(data);
    if (this.ends && this.ends.includes(data.type)) this.ended = true;
  }

  // A browser comes back by itself from a broken connection, and gives up at any answer but 200.
  // Behind the end of a run that answer is 204, and giving up is right.
  lost() {
    if (this.ended) {
      this.onState("ended");
    } else if (this.source.readyState === EventSource.CLOSED) {
      this.onState("reconnecting");
      this.timer = setTimeout(() => this.open(), 1000 + 2000 * Math.random());
    } else {
      this.onState("reconnecting");
    }
  }

  close() {
    clearTimeout(this.timer);
    this.source.close();
  }
}
