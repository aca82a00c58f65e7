// The charts of keys with the same prefix, with a heading that opens and closes them.

import { element } from "../common/dom.js";
import { counted } from "../common/format.js";

// charts that are made at once; the next ones when the last is near
const PART = 60;
// the height in CSS pixels of a row of charts, and the width of one: about, for what is not made yet
const [HEIGHT, WIDTH] = [290, 400];
const PLACES = ["tile", "chart", "values"];

export class Group {
  // `make(kind, key)` returns what shows a key: with `root` and `close()`. `onToggle(isOpen)` is called
  // when the reader opens or closes the group; `watch(node, part)` calls `part.see` until `unwatch(node)`.
  constructor(name, { isOpen, make, onToggle, watch, unwatch }) {
    this.name = name;
    Object.assign(this, { make, watch, unwatch });
    this.shown = new Map();
    // nothing is made before the group is near
    this.most = 0;
    this.items = [];
    this.columns = 1;
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
  }

  // `items` are [kind, key]; with `isAlone` there is no heading. `width` is what a row has, in CSS pixels.
  show(items, isAlone, width) {
    this.items = items;
    this.columns = Math.max(1, Math.floor(width / WIDTH));
    this.root.classList.toggle("alone", isAlone);
    const count = new Set(items.map(([, key]) => key)).size;
    if (count !== this.shownCount) this.count.textContent = counted(count, "key");
    this.shownCount = count;
    this.render();
  }

  // Makes the next part, if the place of what is not made is near.
  see(isSeen) {
    if (!isSeen || this.items.length <= this.most) return;
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
      this.watch(part.root, part);
    }
    this.fill();
  }

  // Keeps the place of the charts that are not made, so that scrolling is steady. An observer tells only
  // changes, so the place is watched anew: it may still be in view.
  fill() {
    const missing = this.isOpen ? Math.max(0, this.items.length - this.most) : 0;
    const height = Math.ceil(missing / this.columns) * HEIGHT;
    if (height === this.filled) return;
    this.filled = height;
    this.end.hidden = height === 0;
    this.end.style.height = `${height}px`;
    this.unwatch(this.end);
    if (height) this.watch(this.end, this);
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
