// When the overview was last looked at, so that it can say what happened since.

const NAME = "athanor visit";
// milliseconds away after which one comes back rather than goes on
const AWAY = 20 * 60 * 1000;
const DAY = 24 * 60 * 60 * 1000;

export class Visit {
  // `since` is the end of the visit before this one, in milliseconds; a day ago if there was none.
  constructor(now) {
    const { at, since } = this.read();
    this.isFirst = at === undefined;
    this.since = this.isFirst ? now - DAY : now - at > AWAY ? at : since;
    this.touch(now);
  }

  read() {
    try {
      const { at, since } = JSON.parse(localStorage.getItem(NAME)) ?? {};
      return Number.isFinite(at) && Number.isFinite(since) ? { at, since } : {};
    } catch {
      // a browser may refuse to store anything, and anyone may have stored something else
      return {};
    }
  }

  // The overview is looked at now.
  touch(now) {
    try {
      localStorage.setItem(NAME, JSON.stringify({ at: now, since: this.since }));
    } catch {
      // then the next visit begins a day ago
    }
  }

  // All that happened until now was seen.
  see(now) {
    this.since = now;
    this.touch(now);
  }
}
