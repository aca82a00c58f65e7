// A tab's one EventSource; it reconnects with its cursor after every kind of failure.

export const RUN_LIFE = [
  "run_created", "run_started", "run_updated", "run_completed", "run_failed", "run_cancelled", "run_cancel_requested",
];
export const RUN_ENDS = ["run_completed", "run_failed", "run_cancelled"];
const TYPES = [
  ...RUN_LIFE, "run_deleted", "run_log", "run_logs", "run_result", "run_results", "run_progress",
  "instance_created", "instance_updated", "instance_deleted", "gap",
];
const MOST_PAUSE = 15000;
// milliseconds after which a hidden tab closes its connection: a browser has six for a host
const IDLE = 30000;
// milliseconds after which a silent stream is replaced: a lost network causes no error
const SILENCE = 60000;

export class Stream {
  // Subscribes to `topics` and `types` (null: all), after `cursor`. `handlers` are `event(data)`;
  // `state(name, text)` with live, reconnecting, paused or ended; and `resume()`, which is called
  // after a pause, and returns a newer cursor, or null to continue after the old one.
  constructor(topics, types, cursor, handlers) {
    this.topics = topics;
    this.types = types;
    this.cursor = cursor;
    this.handlers = handlers;
    this.failures = 0;
    this.news = 0;
    this.ended = false;
    this.closed = false;
    this.leaving = new AbortController();
    const { signal } = this.leaving;
    document.addEventListener("visibilitychange", () => (document.hidden ? this.hide() : this.show()), { signal });
    addEventListener("online", () => this.renew(), { signal });
    addEventListener("offline", () => this.isWanted && this.lost(), { signal });
    this.watching = setInterval(() => this.isOpen && performance.now() - this.receivedAt > SILENCE && this.renew(), SILENCE / 4);
    this.open();
    if (document.hidden) this.hide();
  }

  open() {
    clearTimeout(this.timer);
    clearInterval(this.countdown);
    const query = new URLSearchParams(this.topics.map((topic) => ["topic", topic]));
    if (this.types) query.set("types", this.types.join(","));
    if (this.cursor) query.set("last_event_id", this.cursor);
    const source = new EventSource(`events?${query}`);
    source.onopen = () => this.opened();
    source.onerror = () => this.lost();
    // the service has too many streams, and says how many milliseconds to wait
    source.addEventListener("busy", (event) => (this.busy = JSON.parse(event.data).retry));
    for (const type of TYPES) source.addEventListener(type, (event) => this.take(event));
    this.source = source;
  }

  // Reconnects, because the network may have changed; the cursor makes sure that nothing is lost.
  renew() {
    if (!this.isWanted) return;
    this.source.close();
    this.open();
  }

  get isWanted() {
    return !this.closed && !this.ended && this.pausedAt == null;
  }

  opened() {
    this.receivedAt = performance.now();
    const back = this.failures > 0;
    this.failures = 0;
    this.news = 0;
    this.handlers.state("live", "live");
    if (!back) return;
    clearTimeout(this.announcing);
    this.announcing = setTimeout(() => {
      if (this.news) this.handlers.state("live", `caught up, ${this.news.toLocaleString("en")} new`);
      this.announcing = setTimeout(() => this.isOpen && this.handlers.state("live", "live"), 5000);
    }, 1000);
  }

  get isOpen() {
    return this.source?.readyState === EventSource.OPEN;
  }

  take(event) {
    if (this.closed) return;
    this.receivedAt = performance.now();
    if (event.lastEventId) this.cursor = event.lastEventId;
    const data = JSON.parse(event.data);
    this.news += data.logs?.length ?? data.results?.length ?? 1;
    this.handlers.event(data);
    if (this.topics.length === 1 && this.topics[0].startsWith("experiments:run:") && RUN_ENDS.includes(data.type)) this.ended = true;
  }

  // A browser gives up for good after any response but 200, and does not report its own pauses, so
  // the page reconnects by itself. After a run's end the response is 204, and it does not.
  lost() {
    this.source.close();
    clearTimeout(this.announcing);
    if (this.closed) return;
    if (this.ended) {
      this.handlers.state("ended", "ended");
      return;
    }
    this.failures += 1;
    const pause = this.busy ?? Math.min(MOST_PAUSE, 1000 * 1.6 ** (this.failures - 1)) * (0.75 + 0.75 * Math.random());
    this.busy = null;
    const until = performance.now() + pause;
    const showPause = () => {
      const seconds = Math.max(0, Math.ceil((until - performance.now()) / 1000));
      this.handlers.state("reconnecting", seconds ? `reconnecting in ${seconds} s` : "reconnecting");
    };
    showPause();
    clearInterval(this.countdown);
    this.countdown = setInterval(showPause, 500);
    this.timer = setTimeout(() => this.open(), pause);
  }

  hide() {
    if (this.ended || this.stays) return;
    this.hiding = setTimeout(() => {
      if (this.ended) return;
      this.pausedAt = performance.now();
      this.source.close();
      clearTimeout(this.timer);
      clearInterval(this.countdown);
      this.handlers.state("paused", "paused");
    }, IDLE);
  }

  async show() {
    clearTimeout(this.hiding);
    if (this.ended || this.closed) return;
    const paused = this.pausedAt != null;
    this.pausedAt = null;
    // after a standby, a connection that the browser reports as open may be dead
    if (!paused && this.isOpen) return;
    this.source.close();
    this.handlers.state("reconnecting", "reconnecting");
    try {
      if (paused) this.cursor = (await this.handlers.resume?.()) ?? this.cursor;
      if (!this.closed) this.open();
    } catch {
      this.lost();
    }
  }

  close() {
    this.closed = true;
    this.leaving.abort();
    for (const timer of [this.timer, this.hiding, this.announcing]) clearTimeout(timer);
    for (const timer of [this.countdown, this.watching]) clearInterval(timer);
    this.source?.close();
  }
}
