// A key that has a single value: no curve, but its name and the value.

import { element } from "../common/dom.js";
import { exact } from "./reading.js";
import { numberOf } from "./point.js";
import { swatch } from "./palette.js";

const MOST_RUNS = 10;

export class Tile {
  constructor(key) {
    this.key = key;
    this.values = element("div", {});
    this.root = element("section", { class: "card tile", "aria-label": key }, element("h3", {}, key), this.values);
  }

  // `values` are [run, metric] of the runs that have the key.
  show(values) {
    const text = JSON.stringify(values.map(([{ id, slot, name }, { last }]) => [id, slot, name, last]));
    if (text === this.text) return;
    this.text = text;
    const isLone = values.length === 1;
    const rows = values.slice(0, MOST_RUNS).map(([run, { last, last_step: step }]) =>
      element("div", { class: "line", title: step == null ? null : `step ${step}` }, isLone ? null : swatch(run.slot), element("strong", {}, exact(numberOf(last))), isLone ? null : element("span", { class: "faint" }, run.name)));
    if (values.length > MOST_RUNS) rows.push(element("div", { class: "faint" }, `and ${values.length - MOST_RUNS} more`));
    this.values.replaceChildren(...rows);
  }

  close() {
    this.root.remove();
  }
}
