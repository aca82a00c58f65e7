// A list of any number of rows of one height, of which only the visible ones are in the document.
//
// Chromium limits an element's height to 16.7 million pixels, so above MOST_PIXELS the scroll bar's
// range is shorter than the rows. `top`, the index of the first visible row with a fraction, is
// authoritative: the scroll bar follows it, except while it is dragged.

import { element, framed } from "../common/dom.js";

export const ROW = 20;
const MOST_PIXELS = 8000000;

export class Viewport {
  // `fill(row, index)` shows row `index` in an element; `onMove()` is called after user scrolling
  constructor(fill, onMove, label) {
    this.fill = fill;
    this.onMove = onMove;
    this.count = 0;
    this.top = 0;
    this.rows = [];
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

  get visible() {
    return this.height / ROW;
  }

  get last() {
    return Math.max(0, this.count - this.visible);
  }

  get isAtEnd() {
    return this.top >= this.last - 0.5;
  }

  get pixels() {
    return Math.min(this.count * ROW, MOST_PIXELS);
  }

  resized() {
    const wasAtEnd = this.follows;
    this.moveTo(wasAtEnd ? this.last : this.top);
  }

  setCount(count) {
    if (count === this.count) return;
    this.count = count;
    this.spacer.style.height = `${this.pixels}px`;
    if (this.follows) this.top = this.last;
    else this.top = Math.min(this.top, this.last);
    this.moveBar();
    this.draw();
  }

  moveTo(top) {
    this.top = Math.min(this.last, Math.max(0, top));
    this.moveBar();
    this.draw();
  }

  // Moves the scroll bar to `top`; the scroll event that follows is ignored.
  moveBar() {
    const range = Math.max(0, this.pixels - this.height);
    const wanted = this.last ? Math.round((this.top / this.last) * range) : 0;
    if (Math.abs(this.root.scrollTop - wanted) < 1) return;
    this.root.scrollTop = wanted;
    this.barSetTo = this.root.scrollTop;
  }

  scrolled() {
    const place = this.root.scrollTop;
    if (this.barSetTo != null && Math.abs(place - this.barSetTo) < 1.5) {
      this.barSetTo = null;
      return;
    }
    this.barSetTo = null;
    const range = Math.max(1, this.pixels - this.height);
    this.top = Math.min(this.last, (place / range) * this.last);
    this.onMove();
    this.draw();
  }

  // Where the range is shortened, the wheel moves by rows as in any other list.
  wheel(event) {
    if (this.count * ROW <= MOST_PIXELS || event.ctrlKey || Math.abs(event.deltaX) > Math.abs(event.deltaY)) return;
    event.preventDefault();
    const unit = [1 / ROW, 1, this.visible][event.deltaMode];
    this.by(event.deltaY * unit);
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const page = Math.max(1, this.visible - 1);
    const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, " ": event.shiftKey ? -page : page, Home: -Infinity, End: Infinity };
    const step = steps[event.key];
    if (step === undefined || event.target !== this.root) return;
    event.preventDefault();
    this.by(step);
  }

  by(rows) {
    const before = this.top;
    this.moveTo(this.top + rows);
    if (this.top !== before || rows > 0) this.onMove();
  }

  render() {
    const first = Math.floor(this.top);
    const wanted = Math.min(Math.ceil(this.visible) + 1, this.count - first);
    while (this.rows.length < wanted) {
      const row = element("div", { class: "row" });
      this.rows.push(row);
      this.layer.append(row);
    }
    for (let at = 0; at < this.rows.length; at += 1) {
      const row = this.rows[at];
      row.hidden = at >= wanted;
      if (at < wanted) this.fill(row, first + at);
    }
    this.layer.style.transform = `translateY(${-(this.top - first) * ROW}px)`;
  }

  close() {
    this.observer.disconnect();
    this.draw.cancel();
  }
}
