// A key that has a single value: no curve, but its name and the value.

import { element } from "../common/dom.js";
import { number } from "../common/format.js";
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
    this.root.classList.toggle("several", values.length > 1);
    const text = JSON.stringify(values.map(([{ id, slot, name }, { last }]) => [id, slot, name, String(last)]));
    if (text === this.text) return;
    this.text = text;
    const isLone = values.length === 1;
    const rows = values.slice(0, MOST_RUNS).map(([run, metric]) => row(run, metric, isLone));
    if (values.length > MOST_RUNS) rows.push(element("div", { class: "faint" }, `and ${values.length - MOST_RUNS} more`));
    this.values.replaceChildren(...rows);
  }

  close() {
    this.root.remove();
  }
}

function row({ name, slot }, { last, last_step: step }, isLone) {
  // beyond 2^53 only a BigInt has all digits
  const isBig = typeof last === "bigint";
  const value = numberOf(last);
  const title = (isBig ? String(last) : exact(value)) + (step == null ? "" : ` at step ${step}`);
  return element("div", { class: "line", title }, isLone ? null : swatch(slot), element("strong", {}, isBig ? String(last) : number(value)), isLone ? null : element("span", { class: "faint" }, name));
}
