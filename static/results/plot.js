// Draws a chart's axes and curves on a canvas. It changes nothing but the canvas.

import { clockLabels, labels, spanLabels, timeTicks } from "./ticks.js";
import { colourOf, dashOf } from "./palette.js";

const MARGIN = { right: 12, top: 16, bottom: 36 };
const FONT = "11px system-ui, sans-serif";
// points below which each one gets a dot
const DOTS = 40;
const FAINT = 0.22;
// points of a part of a curve that is stroked at once
const PART = 40;
const MARK = 4;

export class Plot {
  constructor(canvas) {
    this.canvas = canvas;
    this.box = null;
    this.size({ width: 0, height: 0 });
  }

  // The canvas's size in CSS pixels, which a ResizeObserver tells: to ask for it costs a layout.
  size({ width, height }) {
    this.width = width;
    this.height = height;
  }

  // `view` has the lines, scales and what else a chart shows (chart.js). Returns false if there is no room.
  draw(view) {
    const { width, height } = this;
    if (!width || !height) return false;
    this.begin(width, height);
    this.bounds(view, width, height);
    const { pen, box } = this;
    this.axes(view);
    pen.save();
    pen.beginPath();
    pen.rect(box.left, box.top - MARK, box.right - box.left, box.bottom - box.top + 2 * MARK);
    pen.clip();
    for (const { band, slot, isFaint } of view.bands) this.band(band, slot, isFaint, view);
    for (const part of view.strokes) this.stroke(part, view);
    for (const part of view.strokes) if (part.marks) this.marks(part, view);
    pen.restore();
    this.cursor(view);
    return true;
  }

  // Frees the canvas's memory; `draw` takes it again.
  release() {
    this.canvas.width = this.canvas.height = 0;
  }

  begin(width, height) {
    const scale = devicePixelRatio || 1;
    if (this.canvas.width !== Math.round(width * scale)) this.canvas.width = Math.round(width * scale);
    if (this.canvas.height !== Math.round(height * scale)) this.canvas.height = Math.round(height * scale);
    this.pen = this.canvas.getContext("2d");
    this.pen.setTransform(scale, 0, 0, scale, 0, 0);
    this.pen.clearRect(0, 0, width, height);
    this.pen.font = FONT;
    this.style = getComputedStyle(this.canvas);
  }

  colour(name) {
    return this.style.getPropertyValue(name).trim();
  }

  // The left margin has room for the labels.
  bounds({ y }, width, height) {
    this.box = { left: 40, right: width - MARGIN.right, top: MARGIN.top, bottom: height - MARGIN.bottom };
    this.yTicks = y ? y.ticks(Math.max(3, Math.round((height - 52) / 26))) : [];
    this.yLabels = this.yTicks.length ? labels(this.yTicks) : { texts: [], base: "" };
    const widest = Math.max(0, ...this.yLabels.texts.map((text) => this.pen.measureText(text).width));
    this.box.left = Math.min(Math.max(34, widest + 12), width / 2);
  }

  place(x, y, view) {
    const { box } = this;
    return [box.left + view.x.share(x) * (box.right - box.left), box.bottom - view.y.share(y) * (box.bottom - box.top)];
  }

  // The x of a pixel, and the other way.
  xOf(pixel, view) {
    return view.x.value((pixel - this.box.left) / (this.box.right - this.box.left));
  }

  pixelOf(x, view) {
    return this.box.left + view.x.share(x) * (this.box.right - this.box.left);
  }

  axes(view) {
    const { pen, box } = this;
    pen.fillStyle = this.colour("--faint");
    pen.textBaseline = "middle";
    if (!view.y) {
      pen.textAlign = "center";
      pen.fillText(view.text, (box.left + box.right) / 2, (box.top + box.bottom) / 2);
      return;
    }
    this.yAxis(view);
    this.xAxis(view);
    pen.fillRect(box.left, box.bottom, box.right - box.left, 1);
  }

  yAxis(view) {
    const { pen, box } = this;
    pen.textAlign = "right";
    pen.strokeStyle = this.colour("--line");
    pen.lineWidth = 1;
    this.yTicks.forEach((tick, at) => {
      const y = Math.round(this.place(view.x.from, tick, view)[1]) + 0.5;
      pen.beginPath();
      pen.moveTo(box.left, y);
      pen.lineTo(box.right, y);
      pen.stroke();
      pen.fillText(this.yLabels.texts[at], box.left - 6, y);
    });
    pen.textAlign = "left";
    if (this.yLabels.base) pen.fillText(`${this.yLabels.base} …`, 4, 6);
  }

  xAxis(view) {
    const { pen, box } = this;
    const { values, texts, base } = this.xTicks(view);
    pen.textAlign = "center";
    pen.textBaseline = "top";
    values.forEach((tick, at) => {
      const x = this.pixelOf(tick, view);
      const half = pen.measureText(texts[at]).width / 2;
      pen.fillRect(Math.round(x), box.bottom, 1, 4);
      pen.fillText(texts[at], Math.min(Math.max(x, half + 1), this.width - half - 1), box.bottom + 7);
    });
    pen.fillText(base ? `${view.axisName} (${base} …)` : view.axisName, (box.left + box.right) / 2, box.bottom + 22);
  }

  // As many ticks as have room.
  xTicks(view) {
    const room = this.box.right - this.box.left;
    for (let most = Math.max(3, Math.floor(room / 60)); ; most -= 1) {
      const found = ticksOf(view, most);
      const width = found.texts.reduce((sum, text) => sum + this.pen.measureText(text).width + 12, 0);
      if (width <= room || most <= 3) return found;
    }
  }

  band({ xs, lows, highs }, slot, isFaint, view) {
    const { pen } = this;
    pen.fillStyle = this.colour(colourOf(slot));
    pen.globalAlpha = isFaint ? 0.06 : 0.18;
    pen.beginPath();
    const can = (at) => !view.y.log || lows[at] > 0;
    for (let at = 0; at < xs.length; at += 1) if (can(at)) pen.lineTo(...this.place(xs[at], highs[at], view));
    for (let at = xs.length - 1; at >= 0; at -= 1) if (can(at)) pen.lineTo(...this.place(xs[at], lows[at], view));
    pen.fill();
    pen.globalAlpha = 1;
  }

  // A curve in its order; a value that can't be shown interrupts it, unless the points are thinned.
  stroke({ line, slot, isFaint, isStrong, hasDash = true }, view) {
    const { pen } = this;
    pen.strokeStyle = pen.fillStyle = this.colour(colourOf(slot));
    pen.globalAlpha = isFaint ? FAINT : 1;
    pen.lineWidth = isStrong ? 2.6 : 1.6;
    pen.lineJoin = "bevel";
    const places = placesOf(line, view, this);
    polyline(pen, places, hasDash ? dashOf(slot).map((length) => length * (isStrong ? 1.6 : 1)) : []);
    if (places.length < DOTS && !isFaint) for (const place of places) if (place) pen.fillRect(place[0] - 2, place[1] - 2, 4, 4);
    pen.globalAlpha = 1;
  }

  // NaN is a cross on the x axis; an infinity is a triangle at its end of the y axis.
  marks({ line, slot, isFaint }, view) {
    const { pen, box } = this;
    pen.strokeStyle = pen.fillStyle = this.colour(colourOf(slot));
    pen.globalAlpha = isFaint ? 0.4 : 1;
    pen.lineWidth = 1.5;
    for (let at = 0; at < line.length; at += 1) {
      const y = line.y(at);
      if (Number.isFinite(y)) continue;
      const x = this.pixelOf(line.x(at), view);
      if (Number.isNaN(y)) cross(pen, x, box.bottom);
      else triangle(pen, x, y > 0 ? box.top : box.bottom, y > 0 ? 1 : -1);
    }
    pen.globalAlpha = 1;
  }

  // What the pointer or the keyboard points at, and the range that is being chosen.
  cursor({ cursor, dragging, x: scale, ...view }) {
    const { pen, box } = this;
    if (dragging) {
      const [from, to] = dragging.toSorted((one, other) => one - other);
      pen.fillStyle = this.colour("--accent");
      pen.globalAlpha = 0.18;
      pen.fillRect(from, box.top, to - from, box.bottom - box.top);
      pen.globalAlpha = 1;
    }
    if (!cursor || !scale) return;
    const whole = { ...view, x: scale };
    pen.fillStyle = this.colour("--faint");
    pen.fillRect(Math.round(this.pixelOf(cursor.x, whole)), box.top, 1, box.bottom - box.top);
    for (const { line, at, slot } of cursor.points) {
      if (!view.shows(line.y(at))) continue;
      const [x, y] = this.place(line.x(at), line.y(at), whole);
      pen.beginPath();
      pen.arc(x, y, 3.5, 0, 2 * Math.PI);
      pen.fillStyle = this.colour(colourOf(slot));
      pen.fill();
      pen.strokeStyle = this.colour("--card");
      pen.lineWidth = 1.5;
      pen.stroke();
    }
  }
}

// The places of a line's points on the canvas, with null where it is interrupted.
function placesOf(line, view, plot) {
  const places = [];
  for (let at = 0; at < line.length; at += 1) {
    const [x, y] = [line.x(at), line.y(at)];
    if (Number.isNaN(x)) continue;
    if (view.shows(y)) places.push(plot.place(x, y, view));
    else if (!line.series.isThinned) places.push(null);
  }
  return places;
}

// Strokes in short parts: a browser needs ten times as long for one path of thousands of noisy lines.
// The dash goes on from part to part.
function polyline(pen, places, dash) {
  pen.setLineDash(dash);
  let [before, length, count] = [null, 0, 0];
  pen.beginPath();
  for (const place of places) {
    if (!place || !before || count === PART) {
      pen.stroke();
      pen.beginPath();
      pen.lineDashOffset = length;
      count = 0;
      if (before && place) pen.moveTo(...before);
    }
    if (place) pen.lineTo(...place);
    if (place && before) length += Math.hypot(place[0] - before[0], place[1] - before[1]);
    before = place;
    count += 1;
  }
  pen.stroke();
  pen.setLineDash([]);
  pen.lineDashOffset = 0;
}

function ticksOf({ axis, x }, most) {
  if (axis === "time") {
    const values = timeTicks(x.low, x.high, most);
    return { values, ...spanLabels(values) };
  }
  if (axis === "clock") {
    const values = timeTicks(x.low, x.high, most, -60 * new Date(x.low * 1000).getTimezoneOffset());
    return { values, ...clockLabels(values) };
  }
  const values = x.ticks(most);
  return { values, ...labels(values) };
}

function cross(pen, x, y) {
  pen.beginPath();
  for (const way of [-1, 1]) {
    pen.moveTo(x - MARK, y - way * MARK);
    pen.lineTo(x + MARK, y + way * MARK);
  }
  pen.stroke();
}

// Points up for `way` 1, down for -1.
function triangle(pen, x, y, way) {
  pen.beginPath();
  pen.moveTo(x, y - way * MARK);
  pen.lineTo(x + MARK, y + way * MARK);
  pen.lineTo(x - MARK, y + way * MARK);
  pen.fill();
}
