// A chart of curves over steps or time, on a canvas; its cost does not grow with the points.

import { element, framed } from "../common/dom.js";
import { number, span } from "../common/format.js";

const MARGIN = { left: 58, right: 10, top: 8, bottom: 22 };
export const COLOURS = 10;

// A curve's points in order of arrival, in typed arrays that grow.
export class Series {
  constructor() {
    this.count = 0;
    this.steps = new Float64Array(64);
    this.times = new Float64Array(64);
    this.values = new Float64Array(64);
  }

  add(step, time, value) {
    if (this.count === this.values.length) {
      for (const name of ["steps", "times", "values"]) {
        const grown = new Float64Array(this.count * 2);
        grown.set(this[name]);
        this[name] = grown;
      }
    }
    this.steps[this.count] = step ?? this.count;
    this.times[this.count] = time;
    this.values[this.count] = value;
    this.count += 1;
  }

  get last() {
    return this.values[this.count - 1];
  }
}

export class Chart {
  // `settings` is shared by all charts: `x` (step or time), `log`, `smooth` (0 to 0.99)
  constructor(title, settings) {
    this.title = title;
    this.settings = settings;
    this.curves = [];
    this.zoom = null;
    this.canvas = element("canvas", { role: "img", tabindex: "0", "aria-label": `curve of ${title}` });
    this.reading = element("div", { class: "reading", "aria-hidden": "true" });
    this.value = element("strong", {});
    this.root = element("section", { class: "card chart" },
      element("div", { class: "line" }, element("h3", {}, title), element("span", { class: "space" }), this.value),
      element("div", { class: "plot" }, this.canvas, this.reading));
    this.draw = framed(() => this.render());
    this.observer = new ResizeObserver(() => this.draw());
    this.observer.observe(this.canvas);
    this.canvas.addEventListener("pointerdown", (event) => this.press(event));
    this.canvas.addEventListener("pointermove", (event) => this.point(event));
    this.canvas.addEventListener("pointerup", (event) => this.release(event));
    this.canvas.addEventListener("pointerleave", () => this.leave());
    this.canvas.addEventListener("dblclick", () => this.zoomTo(null));
    this.canvas.addEventListener("keydown", (event) => event.key === "Escape" && this.zoomTo(null));
  }

  // `name` distinguishes the curves of one key, and `slot` is the number of its colour.
  curve(name, slot, series) {
    this.curves.push({ name, slot, series, at: series.times[0] });
    this.draw();
  }

  xs(curve) {
    return this.settings.x === "time" ? curve.series.times : curve.series.steps;
  }

  // Time is relative to each curve's first point, so that curves of several runs can be compared.
  offset(curve) {
    return this.settings.x === "time" ? curve.series.times[0] : 0;
  }

  render() {
    const { clientWidth: width, clientHeight: height } = this.canvas;
    if (!width || !height) return;
    const scale = devicePixelRatio || 1;
    if (this.canvas.width !== Math.round(width * scale)) this.canvas.width = Math.round(width * scale);
    if (this.canvas.height !== Math.round(height * scale)) this.canvas.height = Math.round(height * scale);
    const pen = this.canvas.getContext("2d");
    pen.setTransform(scale, 0, 0, scale, 0, 0);
    pen.clearRect(0, 0, width, height);
    const style = getComputedStyle(this.canvas);
    const colour = (name) => style.getPropertyValue(name).trim();
    const box = { left: MARGIN.left, right: width - MARGIN.right, top: MARGIN.top, bottom: height - MARGIN.bottom };
    this.box = box;
    const reducedCurves = this.curves.map((curve) => ({ curve, points: this.reduced(curve, box) }));
    const range = this.range(reducedCurves);
    this.scales = range;
    if (!range) {
      pen.fillStyle = colour("--faint");
      pen.fillText("no points in this range", box.left, (box.top + box.bottom) / 2);
      return;
    }
    this.grid(pen, box, range, colour);
    for (const { curve, points } of reducedCurves) {
      pen.strokeStyle = colour(`--curve-${curve.slot % COLOURS}`);
      if (this.settings.smooth > 0) {
        pen.globalAlpha = 0.22;
        this.stroke(pen, points.raw, range);
        pen.globalAlpha = 1;
        this.stroke(pen, points.smooth, range);
      } else {
        this.stroke(pen, points.raw, range);
      }
    }
    if (this.dragging) {
      pen.fillStyle = colour("--accent");
      pen.globalAlpha = 0.18;
      pen.fillRect(Math.min(this.dragging.from, this.dragging.to), box.top, Math.abs(this.dragging.to - this.dragging.from), box.bottom - box.top);
      pen.globalAlpha = 1;
    }
    if (this.hover != null) {
      pen.fillStyle = colour("--faint");
      pen.fillRect(this.hover, box.top, 1, box.bottom - box.top);
    }
    const newest = this.curves.length === 1 ? this.curves[0].series.last : null;
    this.value.textContent = newest == null ? "" : number(newest);
  }

  // Of all points in one pixel column, keep the first, the least, the greatest and the last.
  reduced(curve, box) {
    const { series } = curve;
    const xs = this.xs(curve);
    const offset = this.offset(curve);
    const [from, to] = this.zoom ?? [-Infinity, Infinity];
    const raw = [];
    const smooth = [];
    const columns = Math.max(50, box.right - box.left);
    const first = xs[0] - offset;
    const last = xs[series.count - 1] - offset;
    const columnWidth = (Math.min(to, last) - Math.max(from, first)) / columns || 1;
    let column = null;
    let mean = null;
    let weight = 0;
    const ratio = this.settings.smooth;
    for (let at = 0; at < series.count; at += 1) {
      const x = xs[at] - offset;
      const value = series.values[at];
      if (ratio > 0 && Number.isFinite(value)) {
        mean = mean === null ? value * (1 - ratio) : mean * ratio + value * (1 - ratio);
        weight = weight * ratio + (1 - ratio);
      }
      if (x < from || x > to || !Number.isFinite(value) || (this.settings.log && value <= 0)) continue;
      const place = Math.floor(x / columnWidth);
      if (column?.place !== place) {
        if (column) flush(column, raw);
        column = { place, first: [x, value], least: [x, value], most: [x, value], last: [x, value] };
        if (ratio > 0) smooth.push([x, mean / weight]);
      } else {
        column.last = [x, value];
        if (value < column.least[1]) column.least = [x, value];
        if (value > column.most[1]) column.most = [x, value];
      }
    }
    if (column) flush(column, raw);
    return { raw, smooth };
  }

  range(reducedCurves) {
    let [left, right, low, high] = [Infinity, -Infinity, Infinity, -Infinity];
    for (const { points } of reducedCurves) {
      for (const [x, y] of points.raw) {
        if (x < left) left = x;
        if (x > right) right = x;
        if (y < low) low = y;
        if (y > high) high = y;
      }
    }
    if (left === Infinity) return null;
    if (this.zoom) [left, right] = this.zoom;
    if (left === right) [left, right] = [left - 0.5, right + 0.5];
    if (this.settings.log) [low, high] = [Math.log10(low), Math.log10(high)];
    const pad = (high - low) * 0.05 || Math.abs(high) * 0.05 || 0.5;
    return { left, right, low: low - pad, high: high + pad };
  }

  place([x, y], { left, right, low, high }) {
    const value = this.settings.log ? Math.log10(y) : y;
    const { box } = this;
    return [
      box.left + ((x - left) / (right - left)) * (box.right - box.left),
      box.bottom - ((value - low) / (high - low)) * (box.bottom - box.top),
    ];
  }

  stroke(pen, points, range) {
    if (!points.length) return;
    pen.lineWidth = 1.6;
    pen.lineJoin = "round";
    pen.beginPath();
    for (const point of points) pen.lineTo(...this.place(point, range));
    pen.stroke();
    if (points.length < 40) {
      pen.fillStyle = pen.strokeStyle;
      for (const point of points) {
        const [x, y] = this.place(point, range);
        pen.fillRect(x - 2, y - 2, 4, 4);
      }
    }
  }

  grid(pen, box, range, colour) {
    pen.font = "11px system-ui, sans-serif";
    pen.strokeStyle = colour("--line");
    pen.fillStyle = colour("--faint");
    pen.lineWidth = 1;
    pen.textAlign = "right";
    pen.textBaseline = "middle";
    for (const tick of ticks(range.low, range.high, 4)) {
      const y = Math.round(box.bottom - ((tick - range.low) / (range.high - range.low)) * (box.bottom - box.top)) + 0.5;
      pen.beginPath();
      pen.moveTo(box.left, y);
      pen.lineTo(box.right, y);
      pen.stroke();
      pen.fillText(number(+(this.settings.log ? 10 ** tick : tick).toPrecision(6)), box.left - 6, y);
    }
    pen.textAlign = "center";
    pen.textBaseline = "top";
    for (const tick of ticks(range.left, range.right, Math.max(2, Math.floor((box.right - box.left) / 90)))) {
      const x = box.left + ((tick - range.left) / (range.right - range.left)) * (box.right - box.left);
      pen.fillText(this.x(tick), x, box.bottom + 6);
    }
  }

  x(value) {
    return this.settings.x === "time" ? span(value) : number(+value.toPrecision(8));
  }

  at(pixel) {
    const { left, right } = this.scales;
    return left + ((pixel - this.box.left) / (this.box.right - this.box.left)) * (right - left);
  }

  press(event) {
    if (!this.scales || event.button) return;
    this.canvas.setPointerCapture(event.pointerId);
    this.dragging = { from: event.offsetX, to: event.offsetX };
  }

  point(event) {
    if (!this.scales) return;
    this.hover = Math.min(this.box.right, Math.max(this.box.left, event.offsetX));
    if (this.dragging) this.dragging.to = this.hover;
    this.read();
    this.draw();
  }

  release() {
    if (!this.dragging) return;
    const [from, to] = [this.dragging.from, this.dragging.to].sort((one, other) => one - other);
    this.dragging = null;
    if (to - from > 4) this.zoomTo([this.at(from), this.at(to)]);
    else this.draw();
  }

  leave() {
    this.hover = null;
    this.reading.textContent = "";
    this.draw();
  }

  zoomTo(zoom) {
    this.zoom = zoom;
    this.draw();
  }

  read() {
    const wanted = this.at(this.hover);
    const rows = this.curves.map((curve) => {
      const at = nearest(this.xs(curve), curve.series.count, wanted + this.offset(curve));
      if (at < 0) return null;
      const place = this.x(this.xs(curve)[at] - this.offset(curve));
      const text = `${this.curves.length > 1 ? `${curve.name}  ` : ""}${number(curve.series.values[at])} at ${place}`;
      return element("div", { class: `key-${curve.slot % COLOURS}` }, text);
    });
    this.reading.replaceChildren(...rows.filter(Boolean));
    this.reading.classList.toggle("left", this.hover > (this.box.left + this.box.right) / 2);
  }

  close() {
    this.observer.disconnect();
    this.draw.cancel();
  }
}

function flush({ first, least, most, last }, into) {
  const middle = least[0] <= most[0] ? [least, most] : [most, least];
  for (const point of [first, ...middle, last]) {
    if (into.at(-1) !== point) into.push(point);
  }
}

// The index of the nearest x, by binary search: steps and times increase.
function nearest(xs, count, wanted) {
  let [low, high] = [0, count - 1];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (xs[middle] < wanted) low = middle + 1;
    else high = middle;
  }
  if (low > 0 && wanted - xs[low - 1] < xs[low] - wanted) return low - 1;
  return count ? low : -1;
}

function ticks(low, high, most) {
  const rough = (high - low) / most;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((part) => part * power).find((candidate) => candidate >= rough);
  const found = [];
  for (let tick = Math.ceil(low / step) * step; tick <= high + step * 1e-9; tick += step) found.push(Math.abs(tick) < step * 1e-9 ? 0 : tick);
  return found;
}
