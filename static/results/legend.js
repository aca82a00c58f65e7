// Which run has which colour and dash; a run is highlighted while it is pointed at.

import { element } from "../common/dom.js";
import { swatch } from "./palette.js";

export class Legend {
  // `onHover(id)` is called with null at the end; without `onRemove(id)` no run can be removed.
  constructor({ onHover, onRemove }) {
    this.onHover = onHover;
    this.onRemove = onRemove;
    this.root = element("ul", { class: "legend", "aria-label": "runs", hidden: true });
  }

  show(runs) {
    this.root.hidden = runs.length < 2;
    const text = JSON.stringify(runs);
    if (text === this.text) return;
    this.text = text;
    this.items = new Map(runs.map((run) => [run.id, this.item(run)]));
    this.root.replaceChildren(...this.items.values());
  }

  item({ id, name, slot, group }) {
    const link = element("a", { href: `#/runs/${encodeURIComponent(id)}/results` }, swatch(slot), " ", name, group == null ? null : element("span", { class: "faint" }, ` ${group}`));
    const remove = this.onRemove ? element("button", { type: "button", class: "small", "aria-label": `remove ${name}`, onclick: () => this.onRemove(id) }, "×") : null;
    const hover = (on) => () => this.onHover(on ? id : null);
    return element("li", { onpointerenter: hover(true), onpointerleave: hover(false), onfocusin: hover(true), onfocusout: hover(false) }, link, remove);
  }

  highlight(id) {
    for (const [each, item] of this.items ?? []) item.classList.toggle("strong", each === id);
  }
}
