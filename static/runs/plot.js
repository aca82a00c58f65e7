// One value of the shown runs over another, as a picture: whether the learning rate explains the loss.

import { element } from "../common/dom.js";
import { displayName } from "../common/format.js";
import { colourOf } from "../results/palette.js";
import { columnOf } from "./columns.js";
import { isNumeric, plain, shown } from "./values.js";

const SVG = "http://www.w3.org/2000/svg";
const [HEIGHT, LEFT, BOTTOM, TOP, RIGHT] = [240, 64, 34, 14, 16];
const WIDTHS = [300, 900];
const MOST_POINTS = 2000;

export class Plot {
  // Keeps `plot`, the ids of the columns of both axes, in the address. `handlers`: hover(id or null).
  constructor(address, handlers) {
    this.address = address;
    this.handlers = handlers;
    this.selects = { x: this.select("x", "horizontal axis"), y: this.select("y", "vertical axis") };
    this.note = element("span", { class: "faint" });
    this.picture = svg("svg", { class: "plot-of-runs", role: "group" });
    this.root = element("section", { class: "card plot-card", hidden: true, "aria-label": "plot of runs" },
      element("div", { class: "tools" }, element("label", {}, "y ", this.selects.y), element("label", {}, "over x ", this.selects.x), this.note), this.picture);
    this.button = element("button", { type: "button", class: "small toggle", "aria-pressed": "false", onclick: () => this.toggle() }, "Plot");
  }

  select(axis, label) {
    return element("select", { "aria-label": label, onchange: () => this.choose(axis) });
  }

  get axes() {
    const [x, y] = this.address.getAll("plot");
    return x ? { x, y } : null;
  }

  toggle() {
    if (this.axes) this.address.set({ plot: [] });
    else {
      const x = this.columns.find(({ kind, key }) => kind === "config" && /(^|\.)(lr|learning_rate)$/.test(key)) ?? this.columns.find(({ kind }) => kind === "config") ?? this.columns[0];
      const y = this.columns.find(({ which }) => which === "least" || which === "greatest") ?? this.columns.find(({ id }) => id === "took");
      this.address.set({ plot: [x, y].filter(Boolean).map(({ id }) => id) });
    }
    this.draw();
  }

  choose(axis) {
    const axes = { ...this.axes, [axis]: this.selects[axis].value };
    this.address.set({ plot: [axes.x, axes.y] });
    this.draw();
  }

  // Shows the runs of an arrangement.
  show(arrangement, slots) {
    this.items = arrangement.items;
    this.slots = slots;
    this.columns = arrangement.columns.filter((column) => !["progress", "status", "name", "tags", "notes", "error"].includes(column.id));
    this.button.hidden = !this.items.length;
    this.draw();
  }

  draw() {
    const { axes } = this;
    this.root.hidden = !axes || !this.items?.length;
    this.button.setAttribute("aria-pressed", String(Boolean(axes)));
    if (this.root.hidden) return;
    const said = [axes.x, axes.y].map(columnOf);
    if (said.includes(null)) {
      this.note.textContent = "there is no such column";
      return;
    }
    this.listColumns(said);
    const [x, y] = said;
    const points = this.items.map((item) => ({ item, x: x.value(item), y: y.value(item) }))
      .filter((point) => isFinite(point.y) && point.y !== undefined && point.x !== undefined).slice(0, MOST_POINTS);
    const signature = JSON.stringify([axes, points.map(({ item, x, y }) => [item.id, String(x), String(y), item.run.status, this.slots.get(item.id)])]);
    if (signature === this.signature) return;
    this.signature = signature;
    const without = this.items.length - points.length;
    this.note.textContent = `● completed  × failed  ○ running · ${points.length} runs${without ? `, ${without} without both values` : ""}`;
    this.picture.setAttribute("aria-label", `${y.id} over ${x.id}`);
    this.paint(points, x, y);
  }

  listColumns(said) {
    const all = [...this.columns, ...said].filter((column, place, list) => list.findIndex(({ id }) => id === column.id) === place);
    const text = JSON.stringify([all.map(({ id }) => id), this.axes]);
    if (text === this.listed) return;
    this.listed = text;
    for (const [axis, select] of Object.entries(this.selects)) {
      select.replaceChildren(...all.map(({ id, kind, key }) => element("option", { value: id }, kind === "config" ? key : id)));
      select.value = this.axes[axis];
    }
  }

  paint(points, x, y) {
    const width = Math.max(WIDTHS[0], Math.min(WIDTHS[1], this.root.clientWidth - 28));
    this.picture.setAttribute("viewBox", `0 0 ${width} ${HEIGHT}`);
    this.picture.setAttribute("width", width);
    const right = width - RIGHT;
    const across = scaleOf(points.map((point) => point.x), LEFT, right);
    const up = scaleOf(points.map((point) => point.y), HEIGHT - BOTTOM, TOP);
    const parts = [];
    for (const [text, at] of across.ticks) parts.push(svg("line", { class: "grid-tick", x1: at, x2: at, y1: TOP, y2: HEIGHT - BOTTOM }), label(text, at, HEIGHT - BOTTOM + 14, "middle"));
    for (const [text, at] of up.ticks) parts.push(svg("line", { class: "grid-tick", x1: LEFT, x2: right, y1: at, y2: at }), label(text, LEFT - 6, at + 3.5, "end"));
    parts.push(label(`${x.title}${across.isLog ? ", log" : ""}`, (LEFT + right) / 2, HEIGHT - 4, "middle", "axis"), label(`${y.title}${y.which ? ` (${y.which})` : ""}${up.isLog ? ", log" : ""}`, LEFT, TOP - 2, "start", "axis"));
    for (const point of points) parts.push(this.point(point, across.at(point.x), up.at(point.y), x, y));
    this.picture.replaceChildren(...parts);
  }

  point({ item, ...value }, left, top, x, y) {
    const name = displayName(item.run);
    const text = `${name}: ${x.title} ${plain(value.x)}, ${y.title} ${shown(value.y)}, ${item.run.status}`;
    const link = svg("a", { href: `#/runs/${encodeURIComponent(item.id)}`, class: `plot-point ${item.run.status}`, "aria-label": text, "data-id": item.id });
    const slot = this.slots.get(item.id);
    const mark = item.run.status === "failed"
      ? svg("path", { d: `M${left - 4} ${top - 4}l8 8m0 -8l-8 8` })
      : svg("circle", { cx: left, cy: top, r: 4.5, ...(item.run.status === "running" ? { class: "hollow" } : {}) });
    if (slot != null) mark.style.color = `var(${colourOf(slot)})`;
    const title = svg("title");
    title.textContent = text;
    link.append(title, mark);
    link.addEventListener("pointerenter", () => this.handlers.hover(item.id));
    link.addEventListener("pointerleave", () => this.handlers.hover(null));
    return link;
  }

  highlight(id) {
    for (const point of this.picture.querySelectorAll(".plot-point")) point.classList.toggle("lit", point.dataset.id === id);
  }

  close() {}
}

function svg(tag, attributes = {}) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
}

function label(text, x, y, anchor, kind = "") {
  const made = svg("text", { x, y, "text-anchor": anchor, class: `plot-label ${kind}` });
  made.textContent = String(text).slice(0, 40);
  return made;
}

// A scale of numbers, by powers of ten if they span more than two of them, or of texts side by side. {at(value), ticks, isLog}
function scaleOf(values, from, to) {
  if (!values.length) return { at: () => from, ticks: [] };
  if (!values.every(isNumeric)) return bandsOf([...new Set(values.map(String))], from, to);
  const numbers = values.map(Number).filter(Number.isFinite);
  let [low, high] = numbers.reduce(([low, high], value) => [Math.min(low, value), Math.max(high, value)], [Infinity, -Infinity]);
  const isLog = low > 0 && high / low > 30;
  const turn = isLog ? Math.log10 : (value) => value;
  [low, high] = [turn(low), turn(high)];
  const room = (high - low || Math.abs(high) || 1) * 0.06;
  [low, high] = [low - room, high + room];
  const at = (value) => from + ((turn(Number(value)) - low) / (high - low)) * (to - from);
  return { at, isLog, ticks: (isLog ? powers : steps)(low, high).map((value) => [String(value), at(value)]) };
}

function bandsOf(texts, from, to) {
  const places = new Map(texts.sort(new Intl.Collator("en", { numeric: true }).compare).map((text, place) => [text, from + ((place + 0.5) / texts.length) * (to - from)]));
  const every = Math.ceil(texts.length / 12);
  return { at: (value) => places.get(String(value)), ticks: [...places].filter((_, place) => place % every === 0) };
}

// At most about six round numbers between two others.
function steps(low, high) {
  const rough = (high - low) / 5;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((each) => each >= rough);
  const first = Math.ceil(low / step);
  const count = Math.min(12, Math.floor(high / step) - first + 1);
  return Array.from({ length: Math.max(0, count) }, (_, place) => Number(((first + place) * step).toPrecision(12)));
}

function powers(low, high) {
  const [first, last] = [Math.ceil(low), Math.floor(high)];
  const every = Math.max(1, Math.ceil((last - first + 1) / 7));
  const found = [];
  for (let power = first; power <= last; power += every) found.push(10 ** power);
  if (found.length >= 3) return found;
  const factors = found.length === 2 ? [2, 5] : [2, 3, 5, 7];
  for (let power = Math.floor(low); power <= last; power += 1) {
    for (const factor of factors) if (Math.log10(factor) + power > low && Math.log10(factor) + power < high) found.push(factor * 10 ** power);
  }
  return found.sort((one, other) => one - other).slice(0, 9).map((value) => Number(value.toPrecision(3)));
}
