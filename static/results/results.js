// The Results tab: the charts and values of one run.

import { element } from "../common/dom.js";
import { downloadMenu } from "../common/download.js";
import { ChartGrid } from "./grid.js";

const EMPTY = "No results yet. In a script: run.log({\"loss\": 0.3}, step=1)";

export class ResultsTab {
  // `onCount()` is called when there may be more results
  constructor(id, address, onCount) {
    this.id = id;
    this.grid = new ChartGrid({ address, onCount, empty: EMPTY });
    this.state = element("span", { class: "faint", role: "status" });
    this.grid.settings.root.append(element("span", { class: "space" }), this.state, downloadMenu(id, "results", "download results", ["csv", "ndjson", "json"], this.state));
    this.root = element("div", { class: "results-tab" }, this.grid.root);
  }

  // Begins to load. The stream's cursor must be older than this moment.
  begin(run) {
    this.grid.setRuns([{ id: this.id, name: run.metadata?.name || this.id, slot: 0, isLive: true, startedAt: run.started_at ? Date.parse(run.started_at) / 1000 : null }]);
  }

  // The tab is turned to: the address is its own again.
  show() {
    this.grid.settings.keep();
    this.grid.show();
  }

  take(event) {
    this.grid.take(event);
  }

  resume() {
    this.grid.resume();
  }

  get count() {
    return this.grid.count;
  }

  key(event) {
    return this.grid.key(event);
  }

  close() {
    this.grid.close();
  }
}
