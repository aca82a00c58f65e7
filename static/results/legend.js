// Which run has which colour and dash; a run is highlighted while it is pointed at.

import { element } from "../common/dom.js";
import { counted } from "../common/format.js";
import { swatch } from "./palette.js";
import { groupId } from "./view.js";

export class Legend {
  // `onHover(id)` is called with a run's id or a group's (groupId), and with null at the end; without `onRemove(id)` no run can be removed.
  constructor({ onHover, onRemove }) {
    this.onHover = onHover;
    this.onRemove = onRemove;
    this.root = element("ul", { class: "legend", "aria-label": "runs", hidden: true });
  }

  // Runs of a group that has a mean have its colour, and one entry.
  show(runs) {
    this.root.hidden = runs.length < 2;
    const text = JSON.stringify(runs);
    if (text === this.text) return;
    this.text = text;
    const groups = Map.groupBy(runs, entryOf);
    this.items = new Map([...groups].map(([id, [run, ...others]]) => [id, others.length ? this.group(id, run, others.length + 1) : this.item(run)]));
    this.root.replaceChildren(...this.items.values());
  }

  group(id, { group, slot }, count) {
    const name = element("span", { tabindex: "0" }, swatch(slot), ` ${group} `, element("span", { class: "faint" }, counted(count, "run")));
    return this.entry(id, name);
  }

  item({ id, name, slot, group }) {
    const link = element("a", { href: `#/runs/${encodeURIComponent(id)}/results` }, swatch(slot), " ", name, group == null ? null : element("span", { class: "faint" }, ` ${group}`));
    const remove = this.onRemove ? element("button", { type: "button", class: "small", "aria-label": `remove ${name}`, onclick: () => this.onRemove(id) }, "×") : null;
    return this.entry(id, link, remove);
  }

  entry(id, ...children) {
    const hover = (on) => () => this.onHover(on ? id : null);
    return element("li", { onpointerenter: hover(true), onpointerleave: hover(false), onfocusin: hover(true), onfocusout: hover(false) }, ...children);
  }

  highlight(id) {
    for (const [each, item] of this.items ?? []) item.classList.toggle("strong", each === id);
  }
}

function entryOf({ id, group }) {
  return group == null ? id : groupId(group);
}
