// A chart: the curves of one key, read and zoomed by pointer and keyboard.

import { element } from "../common/dom.js";
import { number } from "../common/format.js";
import { Plot } from "./plot.js";
import { describe, distance, hiddenText, pointsAt, rowsOf, spoken } from "./reading.js";
import { viewOf } from "./view.js";

// runs in a reading
const [ROWS, LARGE_ROWS] = [5, 15];
let created = 0;

export class Chart {
  // `host` is the grid: `lines(key)`, `look(key)` (how, and how much of them, is shown), `zoom(key, range)`,
  // `toggleLog(key)`, `enlarge(key)`, `announce(text)`, `hover(run)`, `dirty(chart)`.
  constructor(key, host, { isLarge = false } = {}) {
    this.key = key;
    this.host = host;
    this.isLarge = isLarge;
    this.isSeen = false;
    this.cursor = null;
    this.value = element("strong", {});
    this.head = element("div", { class: "line" }, element("h3", {}, key), element("span", { class: "space" }), this.value);
    this.plotRoot = element("div", { class: "plot" });
    this.root = element("section", { class: `card chart ${isLarge ? "large" : ""}`, "aria-label": key }, this.head, this.plotRoot);
  }

  // A chart that nobody has seen yet costs little.
  see(isSeen) {
    this.isSeen = isSeen;
    if (isSeen) {
      this.build();
      this.host.dirty(this);
    } else {
      this.plot?.release();
    }
  }

  build() {
    if (this.plot) return;
    const id = `chart-${(created += 1)}`;
    this.canvas = element("canvas", { role: "application", "aria-roledescription": "chart", tabindex: "0", "aria-label": `curve of ${this.key}`, "aria-describedby": id });
    this.plot = new Plot(this.canvas);
    this.reading = element("div", { class: "reading", "aria-hidden": "true" });
    this.description = element("p", { class: "unseen", id });
    this.hidden = element("p", { class: "faint small-text", hidden: true });
    this.log = element("button", { type: "button", class: "small toggle", "aria-label": `log scale of ${this.key}`, onclick: () => this.host.toggleLog(this.key) }, "log");
    this.head.append(this.log);
    if (!this.isLarge) this.head.append(element("button", { type: "button", class: "small", "aria-label": `enlarge ${this.key}`, onclick: () => this.host.enlarge(this.key) }, "⤢"));
    this.plotRoot.append(this.canvas, this.reading, this.description);
    this.root.append(this.hidden);
    this.listen();
  }

  listen() {
    this.observer = new ResizeObserver(([{ contentRect }]) => {
      this.plot.size(contentRect);
      if (this.isSeen) this.host.dirty(this);
    });
    this.observer.observe(this.canvas);
    this.canvas.addEventListener("pointerdown", (event) => this.press(event));
    this.canvas.addEventListener("pointermove", (event) => this.point(event));
    this.canvas.addEventListener("pointerup", () => this.release());
    this.canvas.addEventListener("pointercancel", () => (this.dragging = null));
    this.canvas.addEventListener("pointerleave", () => this.leave());
    this.canvas.addEventListener("dblclick", () => this.host.zoom(this.key, null));
    this.canvas.addEventListener("keydown", (event) => this.pressKey(event));
    this.canvas.addEventListener("blur", () => this.leave());
  }

  render() {
    if (!this.isSeen) return;
    const { settings, zoom, highlight } = this.host.look(this.key);
    const lines = this.host.lines(this.key);
    if (!lines) return;
    this.view = viewOf(lines, settings, zoom, highlight);
    this.refreshCursor();
    const isDrawn = this.plot.draw({ ...this.view, cursor: this.cursor, dragging: this.dragging });
    if (isDrawn) this.say(lines, settings, zoom);
  }

  say(lines, settings, zoom) {
    this.value.textContent = lines.length === 1 && lines[0].length ? number(lines[0].series.newest) : "";
    this.log.setAttribute("aria-pressed", String(settings.isLog));
    this.hidden.textContent = settings.isLog ? hiddenText(lines) : "";
    this.hidden.hidden = !this.hidden.textContent;
    const text = describe(this.view);
    if (this.description.textContent !== text) this.description.textContent = text;
    const { x, y } = this.view;
    this.root.dataset.points = lines.reduce((sum, { series }) => sum + series.points, 0);
    this.root.dataset.means = lines.map(({ series }) => series.mean).join(" ");
    this.root.dataset.drawn = lines.reduce((sum, { length }) => sum + length, 0);
    this.root.dataset.x = x ? `${x.low} ${x.high}` : "";
    this.root.dataset.y = y ? `${y.low} ${y.high}` : "";
    this.root.dataset.ticks = `${this.plot.yLabels.texts.join("|")}`;
    this.root.classList.toggle("zoomed", Boolean(zoom));
  }

  // The pointer.

  press(event) {
    if (!this.view?.y || event.button) return;
    this.canvas.setPointerCapture(event.pointerId);
    const pixel = this.inside(event.offsetX);
    this.dragging = [pixel, pixel];
  }

  point(event) {
    if (!this.view?.y) return;
    const { box } = this.plot;
    const pixel = this.inside(event.offsetX);
    if (this.dragging) this.dragging[1] = pixel;
    const x = this.plot.xOf(pixel, this.view);
    const y = this.view.y.value((box.bottom - event.offsetY) / (box.bottom - box.top));
    this.cursor = { x, y, points: pointsAt(x, this.view) };
    const nearest = this.cursor.points.filter(({ line, at }) => this.view.shows(line.y(at))).toSorted((one, other) => distance(one, y, this.view) - distance(other, y, this.view))[0];
    this.host.hover(nearest?.line.run.id ?? null);
    this.read();
    this.host.dirty(this);
  }

  inside(pixel) {
    const { left, right } = this.plot.box;
    return Math.min(right, Math.max(left, pixel));
  }

  release() {
    if (!this.dragging) return;
    const [from, to] = this.dragging.toSorted((one, other) => one - other);
    this.dragging = null;
    if (to - from > 4) this.host.zoom(this.key, [this.plot.xOf(from, this.view), this.plot.xOf(to, this.view)]);
    else this.host.dirty(this);
  }

  leave() {
    if (!this.cursor) return;
    this.cursor = null;
    this.reading.replaceChildren();
    this.host.hover(null);
    this.host.dirty(this);
  }

  read() {
    this.reading.replaceChildren(...rowsOf(this.cursor, this.view, this.isLarge ? LARGE_ROWS : ROWS));
    const { box } = this.plot;
    this.reading.classList.toggle("left", this.plot.pixelOf(this.cursor.x, this.view) > (box.left + box.right) / 2);
  }

  // New points may have moved what the cursor points at.
  refreshCursor() {
    if (!this.cursor || !this.view.x) return;
    const { curve, at } = this.cursor;
    if (at != null && this.lines[curve]?.length > at) this.cursor.points = [this.pointOf(this.lines[curve], at)];
    else this.cursor.points = pointsAt(this.cursor.x, this.view);
  }

  // The keyboard: its cursor is at one point of one curve.

  get lines() {
    return this.view.lines;
  }

  pressKey(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || !this.view?.y) return;
    const tenth = Math.max(1, Math.round((this.lines[this.cursor?.curve ?? 0]?.length ?? 0) / 10));
    const moves = { ArrowRight: 1, ArrowLeft: -1, PageUp: -tenth, PageDown: tenth, Home: -Infinity, End: Infinity };
    if (event.key in moves) this.move(moves[event.key]);
    else if (event.key === "ArrowUp" || event.key === "ArrowDown") this.turn(event.key === "ArrowUp" ? -1 : 1);
    else if (event.key === "+" || event.key === "=") this.zoomBy(0.5);
    else if (event.key === "-") this.zoomBy(2);
    else if (event.key === "Enter" && !this.isLarge) this.host.enlarge(this.key);
    else if (event.key === "l") this.host.toggleLog(this.key);
    else if (event.key === "Escape" && this.host.look(this.key).zoom) this.host.zoom(this.key, null);
    else if (event.key === "Escape" && this.cursor) this.leave();
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  // To the next point in order of arrival that is inside the zoom, or several further.
  move(by) {
    const curve = this.cursor?.curve ?? 0;
    const line = this.lines[curve];
    const { x } = this.view;
    const places = [];
    for (let at = 0; at < line.length; at += 1) if (line.x(at) >= x.low && line.x(at) <= x.high) places.push(at);
    if (!places.length) return;
    const here = this.cursor?.at == null ? (by > 0 ? -1 : places.length) : places.findLastIndex((at) => at <= this.cursor.at);
    const next = Math.min(places.length - 1, Math.max(0, here + by));
    this.stand(curve, places[next]);
  }

  // To the same place of the next curve.
  turn(by) {
    const count = this.lines.length;
    const curve = ((this.cursor?.curve ?? 0) + by + count) % count;
    const at = this.lines[curve].nearest(this.cursor?.x ?? this.view.x.low);
    if (at >= 0) this.stand(curve, at);
  }

  stand(curve, at) {
    const line = this.lines[curve];
    this.cursor = { curve, at, x: line.x(at), points: [this.pointOf(line, at)] };
    this.host.hover(this.lines.length > 1 ? line.run.id : null);
    this.host.announce(spoken(this.cursor.points[0], this.view));
    this.read();
    this.host.dirty(this);
  }

  pointOf(line, at) {
    return { line, at, slot: line.run.slot };
  }

  zoomBy(factor) {
    const { low, high } = this.view.x;
    const middle = this.cursor?.x ?? (low + high) / 2;
    const half = ((high - low) / 2) * factor;
    if (half > 0 && Number.isFinite(half)) this.host.zoom(this.key, [middle - half, middle + half]);
  }

  close() {
    this.observer?.disconnect();
    this.plot?.release();
    this.root.remove();
  }
}
