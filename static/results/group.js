// The charts of keys with the same prefix, with a heading that opens and closes them.

import { element } from "../common/dom.js";
import { counted } from "../common/format.js";

// charts that are made at once; the next ones when the last is near
const PART = 200;
const PLACES = ["tile", "chart", "values"];

export class Group {
  // `make(kind, key)` returns what shows a key: with `root` and `close()`. `onToggle(isOpen)` is called
  // when the reader opens or closes the group; `watch(node)` and `unwatch(node)` see what is near.
  constructor(name, { isOpen, make, onToggle, watch, unwatch }) {
    this.name = name;
    Object.assign(this, { make, watch, unwatch });
    this.shown = new Map();
    this.most = PART;
    this.items = [];
    this.count = element("span", { class: "faint" });
    this.places = { tile: element("div", { class: "tiles" }), chart: element("div", { class: "charts" }), values: element("div", { class: "values" }) };
    this.end = element("div", { class: "end" });
    this.root = element("details", { class: "group", open: isOpen },
      element("summary", {}, element("h2", {}, name || "no prefix"), " ", this.count), ...Object.values(this.places), this.end);
    this.root.addEventListener("toggle", () => {
      if (this.isOpen !== this.root.open) onToggle(this.root.open);
      this.isOpen = this.root.open;
      this.render();
    });
    this.isOpen = isOpen;
    this.watch(this.end);
  }

  // `items` are [kind, key]; with `isAlone` there is no heading.
  show(items, isAlone) {
    this.items = items;
    this.root.classList.toggle("alone", isAlone);
    this.count.textContent = counted(new Set(items.map(([, key]) => key)).size, "key");
    this.render();
  }

  // Makes the next part.
  more() {
    if (this.items.length <= this.most) return;
    this.most += PART;
    this.render();
  }

  render() {
    const wanted = this.isOpen ? this.items.slice(0, this.most) : [];
    const names = new Set(wanted.map(nameOf));
    for (const [name, part] of this.shown) {
      if (names.has(name)) continue;
      this.unwatch(part.root);
      part.close();
      this.shown.delete(name);
    }
    const ends = Object.fromEntries(PLACES.map((kind) => [kind, this.places[kind].firstElementChild]));
    for (const item of wanted) {
      const [kind, key] = item;
      let part = this.shown.get(nameOf(item));
      if (part?.root === ends[kind] && part) {
        ends[kind] = part.root.nextElementSibling;
        continue;
      }
      if (!part) {
        part = this.make(kind, key);
        this.shown.set(nameOf(item), part);
      }
      this.places[kind].insertBefore(part.root, ends[kind]);
      this.watch(part.root);
    }
    this.end.hidden = !this.isOpen || this.items.length <= this.most;
  }

  close() {
    for (const part of this.shown.values()) {
      this.unwatch(part.root);
      part.close();
    }
    this.unwatch(this.end);
    this.shown.clear();
    this.root.remove();
  }
}

function nameOf([kind, key]) {
  return `${kind} ${key}`;
}
