// The base of views that list runs: bars, durations, and a search.

import { Bar, framed } from "../common/dom.js";
import { duration } from "../common/format.js";

export class RunList {
  // a subclass sets `search` and `stream`, starts `clock`, and draws in `render()`
  constructor(root, shell) {
    this.root = root;
    this.shell = shell;
    this.runs = new Map();
    this.bars = new Map();
    this.closed = false;
    this.draw = framed(() => this.render());
  }

  bar(runId) {
    if (!this.bars.has(runId)) this.bars.set(runId, new Bar());
    return this.bars.get(runId);
  }

  tick() {
    for (const time of this.root.querySelectorAll("time[data-run]")) {
      const run = this.runs.get(time.dataset.run);
      if (run?.status === "running") time.textContent = duration(run);
    }
  }

  key(event) {
    if (event.key === "/") this.search.focus();
    else if (event.key === "Escape" && this.search.value) {
      this.search.value = "";
      this.draw();
    } else return false;
    return true;
  }

  close() {
    this.closed = true;
    clearInterval(this.clock);
    this.draw.cancel();
    this.stream?.close();
  }
}
