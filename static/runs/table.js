// A table of runs. Only the rows that are seen are in the document; a row stays the same element as long as its run is
// seen, so that focus and a selection of text stay while data change.

import { element, framed, statusPill } from "../common/dom.js";
import { lastLine, number, span } from "../common/format.js";
import { swatch } from "../results/palette.js";
import { statusOf } from "./columns.js";
import { isNumeric, plain, shown } from "./values.js";

// the height of a row in CSS pixels; runs.css has it too
const ROW = 30;
const BEYOND = 6;
const TIME = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
const DAY = new Intl.DateTimeFormat("en", { month: "short", day: "numeric" });
// the width of the column with the check boxes, in rem, without and with marks
const CHOICE = [2.2, 4.6];

export class RunTable {
  // `handlers`: sort(column), turn(column), choose(ids, wanted), open(item), edit(item), remove(item), toggle(group),
  // hover(id or null), of a run or a group.
  constructor(label, handlers) {
    this.handlers = handlers;
    this.entries = [];
    this.places = new Map();
    this.columns = [];
    this.rows = new Map();
    this.slots = new Map();
    this.current = null;
    this.head = element("div", { class: "grid-line grid-head", role: "row", "aria-rowindex": 1, onkeydown: (event) => this.alongHead(event) });
    this.body = element("div", { role: "rowgroup", class: "grid-body" });
    this.grid = element("div", { class: "grid", role: "grid", "aria-label": label, "aria-multiselectable": "true" }, element("div", { role: "rowgroup", class: "grid-top" }, this.head), this.body);
    this.root = element("div", { class: "grid-scroll" }, this.grid);
    this.draw = framed(() => this.render());
    this.root.addEventListener("scroll", this.draw, { passive: true });
    this.watcher = new ResizeObserver(this.draw);
    this.watcher.observe(this.root);
    this.listen();
  }

  listen() {
    this.body.addEventListener("keydown", (event) => this.key(event) && (event.preventDefault(), event.stopPropagation()));
    this.body.addEventListener("focusin", (event) => this.focused(event.target.closest("[role=row]")?.entry));
    this.body.addEventListener("click", (event) => this.click(event));
    this.body.addEventListener("pointerover", (event) => this.handlers.hover(event.target.closest("[role=row]")?.entry?.id ?? null));
    this.body.addEventListener("pointerleave", () => this.handlers.hover(null));
  }

  // `slots` is a map from a chosen run's id to its slot of the palette; null for those without a curve.
  show({ entries, columns, sort, slots, isGrouped }) {
    this.entries = entries;
    this.places = new Map(entries.map((entry, place) => [entry.id, place]));
    this.slots = slots;
    this.isGrouped = isGrouped;
    this.grid.setAttribute("role", isGrouped ? "treegrid" : "grid");
    this.grid.setAttribute("aria-rowcount", entries.length + 1);
    this.setColumns(columns, sort, CHOICE[slots.size ? 1 : 0]);
    this.body.style.height = `${entries.length * ROW}px`;
    for (const row of this.rows.values()) row.isStale = true;
    if (!this.places.has(this.current)) this.current = null;
    this.draw();
  }

  // One run's data have changed; its place may not have.
  update(id) {
    const row = this.rows.get(id);
    if (!row) return;
    row.isStale = true;
    this.draw();
  }

  // Running durations go on.
  tick() {
    for (const row of this.rows.values()) {
      if (row.entry.item?.run.status === "running") this.update(row.entry.id);
    }
  }

  setColumns(columns, sort, choice) {
    const signature = JSON.stringify([columns.map(({ id, width }) => [id, width]), sort, choice]);
    const layout = columns.map(({ id }) => id).join("\n");
    this.columns = columns;
    if (signature === this.signature) return;
    this.signature = signature;
    this.grid.style.setProperty("--columns", `${choice}rem ${columns.map(({ id, width }) => (id === "progress" ? `minmax(${width}rem, 1fr)` : `${width}rem`)).join(" ")}`);
    this.grid.style.setProperty("--choice", `${choice}rem`);
    this.grid.setAttribute("aria-colcount", columns.length + 1);
    const focused = this.head.contains(document.activeElement) ? document.activeElement.dataset.name : null;
    this.head.replaceChildren(this.choiceHead(), ...columns.map((column) => this.columnHead(column, sort)));
    const stops = [...this.head.querySelectorAll("button, input")];
    stops.forEach((stop, place) => (stop.tabIndex = place ? -1 : 0));
    if (focused) this.focusHead(stops.find(({ dataset }) => dataset.name === focused));
    if (layout === this.layout) return;
    this.layout = layout;
    // rows have a cell for each column
    const hadFocus = this.body.contains(document.activeElement);
    for (const row of this.rows.values()) row.remove();
    this.rows.clear();
    if (hadFocus) {
      this.render();
      this.rows.get(this.current)?.focus({ preventScroll: true });
    }
  }

  choiceHead() {
    this.all = element("input", { type: "checkbox", "aria-label": "choose all shown runs", "data-name": "all", onchange: () => this.handlers.choose(this.entries.flatMap(idsOf), this.all.checked) });
    return element("div", { role: "columnheader", class: "cell choice" }, this.all);
  }

  columnHead(column, sort) {
    const isSorted = sort?.id === column.id;
    const direction = isSorted ? (sort.sign > 0 ? "ascending" : "descending") : "none";
    const arrow = isSorted ? element("span", { "aria-hidden": "true" }, sort.sign > 0 ? " ↑" : " ↓") : null;
    const button = element("button", { type: "button", class: "head-title", title: `${column.id}: sort`, "data-name": column.id, onclick: () => this.handlers.sort(column) }, element("span", { class: "head-name" }, column.title), arrow);
    const isBest = ["least", "greatest"].includes(column.which);
    const below = isBest
      ? element("button", { type: "button", class: "head-which", "data-name": `which ${column.id}`, title: `show the ${column.which === "least" ? "greatest" : "least"}`, "aria-label": `${column.which} of ${column.title}: show the ${column.which === "least" ? "greatest" : "least"}`, onclick: () => this.handlers.turn(column) }, `${column.which} ⇄`)
      : column.which ? element("span", { class: "head-which" }, column.which) : null;
    return element("div", { role: "columnheader", class: `cell ${kindOf(column)}`, "aria-sort": direction }, button, below);
  }

  // The arrow keys move along the header, which is one stop of the tab key.
  alongHead(event) {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (event.key === "ArrowDown") this.focusRow(this.entries[this.places.get(this.current) ?? 0]);
    else if (step) {
      const stops = [...this.head.querySelectorAll("button, input")];
      this.focusHead(stops[stops.indexOf(document.activeElement) + step]);
    } else return;
    event.preventDefault();
    event.stopPropagation();
  }

  focusHead(stop) {
    if (!stop) return;
    for (const each of this.head.querySelectorAll("[tabindex='0']")) each.tabIndex = -1;
    stop.tabIndex = 0;
    stop.focus();
  }

  render() {
    const top = this.root.scrollTop;
    const height = this.root.clientHeight;
    // a table that is not seen is drawn when its size changes
    if (!this.all || !height) return;
    const first = Math.max(0, Math.floor(top / ROW) - BEYOND);
    const last = Math.min(this.entries.length, Math.ceil((top + height) / ROW) + BEYOND);
    const focusedRow = this.body.contains(document.activeElement) ? document.activeElement.closest("[role=row]") : null;
    if (focusedRow && !this.places.has(focusedRow.entry.id)) this.refocus(focusedRow);
    const wanted = this.entries.slice(first, last).map((entry, at) => [entry, first + at]);
    const place = this.places.get(this.current) ?? (this.entries.length ? 0 : null);
    if (place !== null && (place < first || place >= last)) wanted[place < first ? "unshift" : "push"]([this.entries[place], place]);
    const ids = new Set(wanted.map(([{ id }]) => id));
    const free = [];
    for (const [id, row] of this.rows) {
      if (ids.has(id)) continue;
      this.rows.delete(id);
      free.push(row);
    }
    this.reuse(free, wanted);
    this.place(wanted);
    this.markAll();
  }

  // Rows that are no longer seen show others: new elements cost more. One with the focus or a selection is not reused.
  reuse(free, wanted) {
    const selected = getSelection();
    for (const row of free) {
      const isHeld = row.contains(document.activeElement) || (!selected.isCollapsed && selected.containsNode(row, true));
      const next = isHeld ? null : wanted.find(([entry]) => !this.rows.has(entry.id) && entry.kind === row.entry.kind);
      if (next) this.rows.set(next[0].id, row);
      else row.remove();
    }
  }

  // Brings the rows into the order of `wanted` without moving the one that has the focus: that would take it away.
  place(wanted) {
    let next = this.body.firstElementChild;
    for (const [entry, place] of wanted) {
      const row = this.row(entry);
      if (row.entry !== entry || row.isStale) this.fill(row, entry);
      row.style.transform = `translateY(${place * ROW}px)`;
      row.setAttribute("aria-rowindex", place + 2);
      row.tabIndex = entry.id === this.current || (this.current === null && place === 0) ? 0 : -1;
      if (row !== next && row.contains(document.activeElement)) {
        while (next && next !== row) {
          const after = next.nextElementSibling;
          next.remove();
          next = after;
        }
      }
      if (row === next) next = next.nextElementSibling;
      else this.body.insertBefore(row, next);
    }
  }

  // The run with the focus is gone: its neighbour takes the focus.
  refocus(row) {
    const place = Number(row.getAttribute("aria-rowindex")) - 2;
    const entry = this.entries[Math.min(place, this.entries.length - 1)];
    row.remove();
    if (entry) this.focusRow(entry);
  }

  row(entry) {
    let row = this.rows.get(entry.id);
    if (row) return row;
    row = element("div", { class: "grid-line grid-row", role: "row", tabindex: -1 });
    row.cells = [];
    this.rows.set(entry.id, row);
    if (entry.kind === "group") groupCells(row, this.columns);
    else runCells(row, this.columns);
    return row;
  }

  fill(row, entry) {
    if (row.entry?.id !== entry.id) row.classList.remove("lit");
    row.entry = entry;
    row.isStale = false;
    const ids = idsOf(entry);
    const chosen = ids.filter((id) => this.slots.has(id));
    const isChosen = chosen.length > 0 && chosen.length === ids.length;
    row.setAttribute("aria-selected", String(isChosen));
    if (this.isGrouped) row.setAttribute("aria-level", entry.level);
    else row.removeAttribute("aria-level");
    row.dataset.id = entry.id;
    row.box.checked = isChosen;
    row.box.indeterminate = chosen.length > 0 && !isChosen;
    const slot = chosen.length && (entry.kind === "run" || isChosen) ? this.slots.get(chosen[0]) : null;
    if (row.marked !== slot) {
      row.marked = slot;
      row.mark.replaceChildren(...(slot == null ? [] : [swatch(slot)]));
    }
    if (entry.kind === "group") fillGroup(row, entry, this.columns);
    else fillRun(row, entry.item, this.columns);
  }

  markAll() {
    const ids = this.entries.flatMap(idsOf);
    const count = ids.filter((id) => this.slots.has(id)).length;
    this.all.checked = count > 0 && count === ids.length;
    this.all.indeterminate = count > 0 && count < ids.length;
  }

  // Marks the row of a run, or of a group, that the pointer is over in the legend or in a chart.
  highlight(id) {
    for (const [each, row] of this.rows) row.classList.toggle("lit", each === id);
  }

  click(event) {
    const row = event.target.closest("[role=row]");
    if (!row) return;
    const { entry } = row;
    if (event.target === row.box) this.choose(entry, row.box.checked, event.shiftKey);
    else if (event.target.closest(".edit")) this.handlers.edit(entry.item);
    else if (event.target.closest("a") || event.ctrlKey || event.metaKey || !getSelection().isCollapsed) return;
    else if (event.target.closest(".choice")) return;
    else if (entry.kind === "group") this.handlers.toggle(entry);
    else this.handlers.open(entry.item);
  }

  // Chooses a row; with shift, all between it and the last one that was chosen.
  choose(entry, wanted, isRange) {
    const [from, to] = [this.places.get(this.lastChosen), this.places.get(entry.id)];
    const range = isRange && from !== undefined ? this.entries.slice(Math.min(from, to), Math.max(from, to) + 1) : [entry];
    this.lastChosen = entry.id;
    this.handlers.choose(range.flatMap(idsOf), wanted);
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, button, a")) return false;
    const entry = this.entries[this.places.get(this.current) ?? -1];
    if (!entry) return false;
    const page = Math.max(1, Math.floor(this.root.clientHeight / ROW) - 3);
    const steps = { ArrowDown: 1, j: 1, ArrowUp: -1, k: -1, PageDown: page, PageUp: -page, Home: -Infinity, g: -Infinity, End: Infinity, G: Infinity };
    if (event.key in steps) this.step(steps[event.key]);
    else if (event.key === " ") this.choose(entry, !idsOf(entry).every((id) => this.slots.has(id)), event.shiftKey);
    else if (entry.kind === "group") {
      const wanted = { Enter: !entry.isOpen, ArrowRight: true, ArrowLeft: false }[event.key];
      if (wanted === undefined) return false;
      if (wanted !== entry.isOpen) this.handlers.toggle(entry);
    } else if (event.key === "Enter") this.handlers.open(entry.item);
    else if (event.key === "e") this.handlers.edit(entry.item);
    else if (event.key === "Delete") this.handlers.remove(entry.item);
    else return false;
    return true;
  }

  step(by) {
    const place = (this.places.get(this.current) ?? 0) + by;
    if (by === -1 && place < 0) {
      this.focusHead(this.head.querySelector("[tabindex='0']"));
      return;
    }
    this.focusRow(this.entries[Math.max(0, Math.min(this.entries.length - 1, place))]);
  }

  focused(entry) {
    if (!entry || entry.id === this.current) return;
    const before = this.rows.get(this.current);
    if (before) before.tabIndex = -1;
    this.current = entry.id;
    this.rows.get(entry.id).tabIndex = 0;
  }

  focusRow(entry) {
    if (!entry) return;
    this.current = entry.id;
    this.reveal(this.places.get(entry.id));
    this.render();
    this.rows.get(entry.id)?.focus({ preventScroll: true });
  }

  // Puts the focus on a run's row; if the run is gone, on the row that is at its `place`.
  focus(id = this.current, place = 0) {
    this.focusRow(this.entries[this.places.get(id) ?? Math.min(place, this.entries.length - 1)]);
  }

  reveal(place) {
    const top = place * ROW;
    const height = this.root.clientHeight - this.head.offsetHeight;
    if (top < this.root.scrollTop) this.root.scrollTop = top;
    else if (top + ROW > this.root.scrollTop + height) this.root.scrollTop = top + ROW - height;
  }

  close() {
    this.draw.cancel();
    this.watcher.disconnect();
  }
}

function idsOf(entry) {
  return entry.kind === "group" ? entry.items.map(({ id }) => id) : [entry.id];
}

function kindOf(column) {
  const isNumber = ["number", "span", "percent"].includes(column.type) && column.id !== "progress";
  return `${column.id === "name" ? "of-name" : ""} ${isNumber ? "numeric" : ""}`;
}

function choiceCell(row) {
  row.box = element("input", { type: "checkbox", tabindex: -1 });
  row.mark = element("span", { class: "mark" });
  row.append(element("div", { class: "cell choice", role: "gridcell" }, row.box, row.mark));
}

function runCells(row, columns) {
  choiceCell(row);
  for (const column of columns) {
    const cell = element("div", { class: `cell ${kindOf(column)}`, role: column.id === "name" ? "rowheader" : "gridcell" });
    if (column.id === "name") {
      cell.link = element("a", { tabindex: -1 });
      cell.edit = element("button", { type: "button", class: "edit small", tabindex: -1 }, "…");
      cell.append(cell.link, cell.edit);
    } else if (column.id === "progress") {
      cell.meter = element("progress", { hidden: true, max: 1, "aria-label": "progress" });
      cell.text = element("span", { class: "bar-text" });
      cell.append(cell.meter, cell.text);
    }
    row.cells.push(cell);
    row.append(cell);
  }
}

function groupCells(row, columns) {
  choiceCell(row);
  row.classList.add("of-group");
  for (const column of columns) {
    const cell = element("div", { class: `cell ${kindOf(column)}`, role: column.id === "name" ? "rowheader" : "gridcell" });
    row.cells.push(cell);
    row.append(cell);
  }
}

function fillRun(row, item, columns) {
  const { run } = item;
  row.box.setAttribute("aria-label", `compare ${columns[0].value(item)}`);
  columns.forEach((column, place) => {
    const cell = row.cells[place];
    const value = column.value(item);
    if (column.id === "name") fillName(cell, item, value);
    else if (column.id === "status") fillStatus(cell, run);
    else if (column.id === "progress") fillProgress(cell, item, value);
    else if (column.kind !== "metric" && cell.was === value && "was" in cell) return;
    else if (column.type === "time") setText(cell, whenOf(value), value === undefined ? "" : TIME.format(value));
    else if (column.type === "span") setText(cell, value === undefined ? "" : span(value));
    else if (column.type === "tags") setText(cell, value.join(", "), value.join(", "));
    else if (column.kind === "metric") {
      if (cell.was !== value || !("was" in cell)) setText(cell, shown(value), value === undefined ? "" : `${column.which} ${column.key}: ${plain(value)}`);
      cell.classList.toggle("best", value !== undefined && value === column.best);
    } else setText(cell, column.type === "number" ? shown(value) : plain(value), plain(value));
    cell.was = value;
  });
}

function setText(cell, text, title = "") {
  if (cell.said !== text) {
    cell.said = text;
    cell.textContent = text;
  }
  if (cell.titled !== title) {
    cell.titled = title;
    cell.title = title;
  }
}

function fillName(cell, item, name) {
  if (cell.said === name && cell.saidId === item.id) return;
  cell.said = name;
  cell.saidId = item.id;
  cell.link.href = `#/runs/${encodeURIComponent(item.id)}`;
  cell.link.textContent = name;
  cell.link.title = name === item.id ? name : `${name} (${item.id})`;
  cell.edit.setAttribute("aria-label", `edit ${name}`);
}

function fillStatus(cell, run) {
  const status = `${statusOf(run)}${run.cancel_requested_at && run.status === "running" ? " cancelling" : ""}`;
  if (cell.said === status) return;
  cell.said = status;
  cell.replaceChildren(statusPill(run));
  if (status.endsWith("cancelling")) cell.firstChild.textContent = "cancelling";
}

// A running run shows how far it is, a failed one the last line of its error.
function fillProgress(cell, { run, progress }, done) {
  const isRunning = run.status === "running";
  const isPart = done !== undefined && run.status !== "completed";
  cell.meter.hidden = !isRunning || !progress;
  if (isRunning && progress) {
    if (done === undefined) cell.meter.removeAttribute("value");
    else cell.meter.value = done;
  }
  const percent = isPart ? `${Math.floor(done * 100)} %` : "";
  const count = progress && done === undefined ? number(progress.current) : "";
  const text = run.error ? lastLine(run.error) : isRunning ? [percent, count, progress?.message].filter(Boolean).join(" · ") : run.status === "completed" ? "" : percent;
  const title = run.error ? run.error.slice(-2000) : progress ? `${number(progress.current)}${progress.total ? ` of ${number(progress.total)}` : ""}` : "";
  setText(cell.text, text, title);
  cell.text.classList.toggle("error-line", Boolean(run.error));
}

function fillGroup(row, group, columns) {
  row.box.setAttribute("aria-label", `compare ${group.name}`);
  row.setAttribute("aria-expanded", String(group.isOpen));
  columns.forEach((column, place) => {
    const cell = row.cells[place];
    if (column.id === "name") setText(cell, `${group.isOpen ? "▾" : "▸"} ${group.name} · ${group.items.length}`, `${group.name}, ${group.items.length} runs`);
    else if (column.id === "status") setText(cell, statusCounts(group.items).map(([status, count]) => `${count} ${status}`).join(", "), statusCounts(group.items).map(([status, count]) => `${count} ${status}`).join(", "));
    else setText(cell, ...groupTexts(group, column));
  });
}

// The mean and the deviation of numbers; a value that all have.
function groupTexts(group, column) {
  if (column.kind === "metric" || column.type === "span" || column.type === "number" || column.type === "percent") {
    const { count, mean, deviation } = group.spread(column);
    if (!count) return [""];
    const of = `of ${count} of ${group.items.length} runs`;
    if (column.type === "span") return [span(mean), `mean ${of}`];
    if (column.type === "percent") return [`${Math.floor(mean * 100)} %`, `mean ${of}`];
    const band = count > 1 ? ` ± ${number(Number(deviation.toPrecision(2)))}` : "";
    return [`${number(Number(mean.toPrecision(4)))}${band}`, `mean${count > 1 ? " ± standard deviation" : ""} ${of}`];
  }
  const values = new Set(group.items.map((item) => String(column.value(item) ?? "")));
  if (values.size === 1) return [column.type === "time" ? whenOf(column.value(group.items[0])) : [...values][0]];
  const numbers = group.items.map(column.value).filter(isNumeric);
  return column.type === "time" ? [""] : [numbers.length === group.items.length ? `${values.size} values` : `${values.size} values`];
}

export function statusCounts(items) {
  const counts = new Map(["running", "stale", "pending", "failed", "completed", "cancelled"].map((status) => [status, 0]));
  for (const { run } of items) counts.set(statusOf(run), (counts.get(statusOf(run)) ?? 0) + 1);
  return [...counts].filter(([, count]) => count);
}

// The time of today, else the day.
export function whenOf(milliseconds) {
  if (milliseconds === undefined) return "";
  const at = new Date(milliseconds);
  const two = (part) => String(part).padStart(2, "0");
  const time = `${two(at.getHours())}:${two(at.getMinutes())}`;
  const now = new Date();
  if (at.toDateString() === now.toDateString()) return time;
  const day = DAY.format(at);
  return at.getFullYear() === now.getFullYear() ? `${day} ${time}` : `${day} ${at.getFullYear()}`;
}
