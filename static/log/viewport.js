// A list of any number of rows, of which only the visible ones are in the document.
//
// Chromium limits an element's height to 16.7 million pixels, so above MOST_PIXELS the scroll bar's
// range is shorter than the rows. `top`, the index of the first visible row with a fraction, is
// authoritative: the scroll bar follows it, except while it is dragged.
//
// Rows are ROW pixels high. Where lines wrap they may be higher, and only rows in the document are
// measured: moves by pixels go from row to row, and the scroll bar shows the share of rows.

import { element, framed } from "../common/dom.js";

export const ROW = 20;
const MOST_PIXELS = 8000000;
const MOST_PREPARED = 500;
// milliseconds after the last move of the scroll bar, after which it is put to the place of the rows
const SETTLED = 150;

export class Viewport {
  // `list` has key(index), a number that grows with the index; row(), which makes a row with the element
  // `root`; fill(row, index); need(first, last), called before rows are filled; kept(), the keys of rows
  // that stay in the document although they are not seen; and moved(), called after the user has scrolled.
  constructor(list, label) {
    this.list = list;
    this.count = 0;
    this.top = 0;
    this.follows = false;
    this.isHeld = false;
    this.isWrapped = false;
    this.rows = new Map();
    this.spare = [];
    this.layer = element("div", { class: "layer" });
    this.spacer = element("div", { class: "spacer" }, this.layer);
    this.root = element("div", { class: "viewport", tabindex: "0", role: "log", "aria-live": "off", "aria-label": label }, this.spacer);
    this.draw = framed(() => this.render());
    this.root.addEventListener("scroll", () => this.scrolled(), { passive: true });
    this.root.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    this.root.addEventListener("keydown", (event) => this.key(event));
    this.observer = new ResizeObserver(() => this.resized());
    this.observer.observe(this.root);
  }

  get height() {
    return this.root.clientHeight;
  }

  // How many rows fit, if none is higher than ROW.
  get visible() {
    return this.height / ROW;
  }

  // The top at which the last row is at the end. Where lines wrap, it is as it was when the end was last
  // measured.
  get last() {
    return Math.max(0, this.count - (this.isWrapped ? Math.min(this.tail ?? Infinity, this.visible) : this.visible));
  }

  get isAtEnd() {
    if (!this.isWrapped) return this.top >= this.last - 0.5;
    return this.top >= this.count - this.visible - 1 && this.top >= this.measureEnd() - 0.1;
  }

  get pixels() {
    return Math.min(this.count * ROW, MOST_PIXELS);
  }

  // Whether a pixel of the scroll bar's range is a pixel of the rows.
  get isExact() {
    return !this.isWrapped && this.count * ROW <= MOST_PIXELS;
  }

  get isStuck() {
    return this.follows && !this.isHeld;
  }

  wrap(isWrapped) {
    this.isWrapped = isWrapped;
    this.tail = null;
    this.top = Math.floor(this.top);
    this.resized();
  }

  resized() {
    this.moveTo(this.isStuck ? this.last : this.top);
  }

  // While it is held, as under a pressed mouse button, new rows do not move it.
  hold(isHeld) {
    this.isHeld = isHeld;
    if (this.isStuck) this.moveTo(this.last);
  }

  setCount(count) {
    if (count === this.count) return;
    this.count = count;
    this.spacer.style.height = `${this.pixels}px`;
    this.moveTo(this.isStuck ? this.last : this.top);
  }

  moveTo(top) {
    this.top = Math.max(0, Math.min(this.isWrapped ? this.count - 1 : this.last, top));
    this.moveBar();
    this.draw();
  }

  // Moves the scroll bar to `top`; the scroll event that follows is ignored.
  moveBar() {
    const range = Math.max(0, this.pixels - this.height);
    const wanted = this.last ? Math.round(Math.min(1, this.top / this.last) * range) : 0;
    if (Math.abs(this.root.scrollTop - wanted) < 1) return;
    this.root.scrollTop = wanted;
    this.place = this.barSetTo = this.root.scrollTop;
  }

  scrolled() {
    const place = this.root.scrollTop;
    const by = place - (this.place ?? 0);
    this.place = place;
    const isOurs = this.barSetTo != null && Math.abs(place - this.barSetTo) < 1.5;
    this.barSetTo = null;
    if (isOurs) return;
    const range = Math.max(1, this.pixels - this.height);
    if (!this.isWrapped) this.top = Math.min(this.last, this.isExact ? place / ROW : (place / range) * this.last);
    else if (place >= range - 1) this.top = this.measureEnd();
    else if (place > 0 && Math.abs(by) < this.height) this.top = this.after(by);
    else this.top = (place / range) * this.last;
    clearTimeout(this.settling);
    if (this.isWrapped) this.settling = setTimeout(() => this.moveBar(), SETTLED);
    this.list.moved();
    this.draw();
  }

  // Where the scroll bar's range is not the rows' height, the wheel moves by rows as in any other list.
  wheel(event) {
    if (this.isExact || event.ctrlKey || Math.abs(event.deltaX) > Math.abs(event.deltaY)) return;
    event.preventDefault();
    this.by(event.deltaY * [1, ROW, this.height][event.deltaMode]);
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const page = Math.max(ROW, this.height - ROW);
    const steps = { ArrowDown: ROW, ArrowUp: -ROW, PageDown: page, PageUp: -page, " ": event.shiftKey ? -page : page, Home: -Infinity, End: Infinity };
    const step = steps[event.key];
    if (step === undefined || event.target !== this.root) return;
    event.preventDefault();
    this.by(step);
  }

  by(pixels) {
    const before = this.top;
    this.moveTo(this.after(pixels));
    if (this.top !== before || pixels > 0) this.list.moved();
  }

  // The top after a move by so many pixels.
  after(pixels) {
    if (pixels === Infinity) return this.isWrapped ? this.measureEnd() : this.last;
    if (pixels === -Infinity || !this.count) return 0;
    if (!this.isWrapped) return this.top + pixels / ROW;
    let index = Math.floor(this.top);
    this.prepare(index - Math.ceil(Math.max(0, -pixels) / ROW) - 1, index + this.visible);
    let rest = (this.top - index) * this.heightOf(index) + pixels;
    while (rest < 0 && index > 0) {
      index -= 1;
      rest += this.heightOf(index);
    }
    while (index < this.count - 1 && rest >= this.heightOf(index)) {
      rest -= this.heightOf(index);
      index += 1;
    }
    const top = index + Math.max(0, rest) / this.heightOf(index);
    return top > this.count - this.visible - 1 ? Math.min(top, this.measureEnd()) : top;
  }

  // Moves as little as possible so that the whole row is visible.
  reveal(index) {
    const end = this.isWrapped ? this.endAt(index) : index + 1 - this.visible;
    if (index >= this.top && end <= this.top) return;
    this.moveTo(index < this.top ? index : end);
    this.list.moved();
  }

  // Puts rows into the document, so that all of them are measured at once.
  prepare(first, last) {
    const from = Math.max(0, Math.floor(first));
    this.put(from, Math.min(this.count - from, Math.ceil(last) - from + 1, MOST_PREPARED));
  }

  // The height of a row; puts it into the document if it is not there.
  heightOf(index) {
    if (!this.isWrapped) return ROW;
    const key = this.list.key(index);
    let row = this.rows.get(key);
    if (!row) {
      row = this.spare.pop() ?? this.list.row();
      const next = [...this.rows.keys()].filter((each) => each > key).reduce((least, each) => Math.min(least, each), Infinity);
      this.layer.insertBefore(row.root, this.rows.get(next)?.root ?? null);
      this.rows.set(key, row);
      this.list.fill(row, index);
    }
    row.root.classList.remove("away");
    return row.root.offsetHeight || ROW;
  }

  // The top at which row `index` is the last visible one.
  endAt(index) {
    let rest = this.height;
    this.prepare(index - this.visible, index);
    for (let at = index; at >= 0; at -= 1) {
      const height = this.heightOf(at);
      if (height >= rest) return at + (height - rest) / height;
      rest -= height;
    }
    return 0;
  }

  measureEnd() {
    const top = this.count ? this.endAt(this.count - 1) : 0;
    this.tail = this.count - top;
    return top;
  }

  render() {
    if (!this.height) return;
    if (this.isWrapped) this.measure();
    const first = Math.floor(this.top);
    const wanted = Math.min(Math.ceil(this.visible) + 1, this.count - first);
    this.put(first, wanted);
    this.layer.style.transform = `translateY(${this.count ? -(this.top - first) * this.heightOf(first) : 0}px)`;
  }

  // Where lines wrap, what is the end is known only after the last rows are measured.
  measure() {
    this.put(Math.floor(this.top), Math.min(Math.ceil(this.visible) + 1, this.count - Math.floor(this.top)));
    const isNear = this.top > this.count - this.visible - 1;
    if (!this.isStuck && !isNear) return;
    const end = this.measureEnd();
    this.top = this.isStuck ? end : Math.min(this.top, end);
    this.moveBar();
  }

  // Has rows `first` to `first + count - 1` in the document, and those that are kept. A row that stays
  // does not move in the document, so a selection in it stays too.
  put(first, count) {
    this.list.need(first, first + count - 1);
    const wanted = new Map();
    for (let index = first; index < first + count; index += 1) wanted.set(this.list.key(index), index);
    for (const key of this.list.kept()) if (!wanted.has(key) && this.rows.has(key)) wanted.set(key, null);
    for (const [key, row] of this.rows) {
      if (wanted.has(key)) continue;
      row.root.remove();
      this.rows.delete(key);
      this.spare.push(row);
    }
    let next = this.layer.firstChild;
    for (const key of [...wanted.keys()].sort((one, other) => one - other)) {
      let row = this.rows.get(key);
      if (row) {
        next = row.root.nextSibling;
      } else {
        row = this.spare.pop() ?? this.list.row();
        this.rows.set(key, row);
        this.layer.insertBefore(row.root, next);
      }
      const index = wanted.get(key);
      if (index != null) this.list.fill(row, index);
      row.root.classList.toggle("away", index == null);
    }
  }

  close() {
    clearTimeout(this.settling);
    this.observer.disconnect();
    this.draw.cancel();
  }
}
