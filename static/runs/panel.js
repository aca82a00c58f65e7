// The runs of the service, or of one experiment, with all that one does with them: filter, table, comparison, changes.

import { element } from "../common/dom.js";
import { counted } from "../common/format.js";
import { Arrangement, groupings } from "./arrange.js";
import { Choice } from "./choice.js";
import { ColumnChooser } from "./chooser.js";
import { Runs } from "./collection.js";
import { columnOf } from "./columns.js";
import { Comparison } from "./comparison.js";
import { Editor } from "./editor.js";
import { FilterBox } from "./filter.js";
import { Place } from "./place.js";
import { Plot } from "./plot.js";
import { RunTable } from "./table.js";

// milliseconds after the last key before the address follows the filter: a browser allows few changes of it
const TYPING = 250;

export class RunsPanel {
  // `options`: address, shell, path of the list, experimentOf(run), standard (ids of columns), mostDiffering,
  // mostMetrics, hasExperiments, empty() (an element for a list without runs), cursor(); and perhaps changed() after each
  // arrangement, updated(item), and reported() when there may be new metrics.
  constructor(options) {
    this.options = options;
    this.address = options.address;
    this.runs = new Runs(options.path, { experimentOf: options.experimentOf, changed: (item, what) => this.changed(item, what), listed: () => this.plan(), reported: () => this.options.reported?.() });
    this.arrangement = new Arrangement(this.address, options);
    this.choice = new Choice(this.address);
    this.place = new Place();
    this.build();
  }

  build() {
    this.table = new RunTable("runs", {
      sort: (column) => this.rearrange(() => this.arrangement.sortBy(column)),
      turn: (column) => this.rearrange(() => this.arrangement.turn(column)),
      toggle: (group) => this.rearrange(() => this.arrangement.toggle(group)),
      choose: (ids, wanted) => this.choose(ids, wanted),
      hover: (id) => this.highlight(id),
      open: (item) => this.open(item),
      edit: (item) => this.edit([item]),
      remove: (item) => this.edit([item], "delete"),
    });
    this.filter = new FilterBox(this.arrangement.filter, this.options.hint ?? "Filter runs  /", (text) => this.typed(text));
    this.chooser = new ColumnChooser(this.arrangement, () => this.rearrange());
    this.editor = new Editor((id) => this.table.focus(id, this.editedAt));
    this.plot = new Plot(this.address, { hover: (id) => this.highlight(id) });
    this.comparison = new Comparison(this.address, {
      remove: (id) => this.choose([id], false), clear: () => this.choose([...this.choice.slots.keys()], false),
      hover: (id) => this.highlight(id), result: (id, result) => this.runs.fold(id, result), cursor: () => this.options.cursor() ?? this.runs.cursor,
    });
    this.count = element("span", { class: "faint said count", role: "status" });
    this.grouping = element("select", { "aria-label": "group runs by", onchange: () => this.rearrange(() => this.address.set({ group: this.grouping.value, open: [] })) });
    this.change = element("button", { type: "button", class: "small", hidden: true, onclick: () => this.edit(this.chosen) }, "Edit");
    this.empty = element("div", { class: "nothing", hidden: true });
    this.side = element("div", { class: "side" }, this.comparison.root);
    const strip = element("div", { class: "strip" }, this.filter.chips, this.count, this.change, this.grouping, this.plot.button, this.chooser.button);
    this.tools = element("div", { class: "tools" }, this.filter.input, this.filter.toggle, strip);
    this.main = element("div", { class: "pane" }, this.table.root, this.empty);
    this.split = element("div", { class: "split" }, this.main, this.side);
    this.root = element("div", { class: "runs-panel" }, this.tools, this.filter.fault, this.filter.help, this.chooser.root, this.plot.root, this.split, this.editor.root);
    // one leaves the field before one leaves the page
    this.filter.input.addEventListener("change", () => this.keepFilter());
    this.filter.input.addEventListener("keydown", (event) => this.fromFilter(event));
    this.place.watch(this.table.root, () => this.table.current);
  }

  // Loads all runs; returns the cursor for a stream.
  async load() {
    const cursor = await this.runs.load();
    this.arrange();
    this.gone = this.choice.prune(this.runs.items);
    if (this.gone) this.arrange();
    this.place.restore(this.table);
    return cursor;
  }

  take(event) {
    if (event.type === "run_deleted" && this.choice.has(event.run_id)) this.choice.set([event.run_id], false);
    return this.runs.take(event);
  }

  // A run has another progress or metric. Its place may depend on that.
  changed(item, what) {
    this.table.update(item.id);
    this.options.updated?.(item);
    if (this.arrangement.dependsOn(what)) this.plan();
  }

  // Arranges soon, once for many changes.
  plan() {
    this.planned ||= setTimeout(() => requestAnimationFrame(() => this.arrange()), this.arrangement.pause);
  }

  rearrange(change) {
    change?.();
    this.arrange();
  }

  arrange() {
    clearTimeout(this.planned);
    this.planned = 0;
    if (this.closed) return;
    const { arrangement, runs, choice } = this;
    arrangement.isNarrow = choice.size > 0;
    arrangement.update(runs.items.values(), runs.version);
    const slots = arrangement.groups ? choice.grouped(arrangement.groups) : choice.slots;
    this.table.show({ entries: arrangement.entries, columns: arrangement.columns, sort: arrangement.sort, slots, isGrouped: Boolean(arrangement.groups) });
    this.compare(slots);
    this.describe();
    this.plot.show(arrangement, slots);
    this.want();
    this.options.changed?.();
  }

  compare(slots) {
    const grouping = this.arrangement.groups && columnOf(this.arrangement.group);
    const names = new Map();
    for (const group of grouping ? this.arrangement.groups : []) for (const { id } of group.items) names.set(id, group.name);
    this.comparison.show(this.chosen, slots, ({ id }) => names.get(id) ?? null);
    this.root.classList.toggle("comparing", this.choice.size > 0);
  }

  // The chosen runs, in the order of their choice.
  get chosen() {
    return [...this.choice.slots.keys()].map((id) => this.runs.items.get(id)).filter(Boolean);
  }

  describe() {
    const { arrangement, runs } = this;
    const [all, shown] = [runs.items.size, arrangement.items.length];
    this.filter.explain(runs.isComplete ? arrangement.fault : null);
    this.filter.count(arrangement.all);
    const loading = runs.isComplete ? "" : ", loading";
    const gone = this.gone ? `, ${this.gone} of the chosen ones no longer exist${this.gone === 1 ? "s" : ""}` : "";
    this.count.textContent = `${shown === all ? counted(all, "run") : `${shown.toLocaleString("en")} of ${counted(all, "run")}`}${loading}${gone}${arrangement.meanings.map((text) => `; ${text}`).join("")}`;
    this.count.title = this.count.textContent;
    this.change.hidden = !this.choice.size || !this.options.shell.session.mayWrite;
    this.change.textContent = `Edit ${this.choice.size} chosen`;
    this.table.root.classList.toggle("read-only", !this.options.shell.session.mayWrite);
    this.listGroupings();
    this.describeEmpty(all, shown);
  }

  describeEmpty(all, shown) {
    this.table.root.hidden = !shown;
    this.empty.hidden = Boolean(shown) || !this.runs.isComplete;
    this.tools.hidden = !all && this.runs.isComplete && !this.options.hasExperiments;
    const said = `${all > 0} ${this.arrangement.filter}`;
    if (this.empty.hidden || said === this.emptySaid) return;
    this.emptySaid = said;
    if (!all) this.empty.replaceChildren(this.options.empty());
    else {
      const clear = element("button", { type: "button", onclick: () => this.clear() }, "Clear the filter");
      this.empty.replaceChildren(element("section", { class: "card" },
        element("p", {}, "No run matches ", element("code", {}, this.arrangement.filter), "."),
        element("p", { class: "line" }, clear, element("span", { class: "faint" }, "or press Esc"))));
    }
  }

  listGroupings() {
    const options = groupings(this.arrangement);
    const { group } = this.arrangement;
    if (group && !options.some(([id]) => id === group) && columnOf(group)) options.push([group, columnOf(group).title]);
    const said = JSON.stringify([options, group]);
    if (said === this.groupingsSaid) return;
    this.groupingsSaid = said;
    this.grouping.replaceChildren(element("option", { value: "" }, "No groups"), ...options.map(([id, title]) => element("option", { value: id }, `Group by ${title}`)));
    this.grouping.value = group ?? "";
  }

  // Loads the metrics that columns, sort and filter need.
  async want() {
    try {
      await this.runs.want(this.arrangement.wantedMetrics());
    } catch (error) {
      console.warn(error);
    }
  }

  typed(text) {
    clearTimeout(this.typing);
    this.address.query.set("filter", text);
    if (!text) this.address.query.delete("filter");
    this.typing = setTimeout(() => this.keepFilter(), TYPING);
    this.plan();
  }

  keepFilter() {
    clearTimeout(this.typing);
    if (!this.closed) this.address.set({ filter: this.filter.text });
  }

  clear() {
    this.filter.set("");
    this.arrange();
    this.filter.input.focus();
  }

  choose(ids, wanted) {
    this.choice.set(ids, wanted);
    this.arrange();
  }

  highlight(id) {
    this.table.highlight(id);
    this.comparison.highlight(id);
    this.plot.highlight(id);
  }

  open(item) {
    this.place.keep();
    location.hash = `#/runs/${encodeURIComponent(item.id)}`;
  }

  edit(items, part = null) {
    if (!items.length || !this.options.shell.session.mayWrite) return;
    this.editedAt = this.table.places.get(items[0].id);
    this.editor.open(items, part);
  }

  // From the filter, Enter and the arrow lead to what it has found.
  fromFilter(event) {
    if ((event.key !== "ArrowDown" && event.key !== "Enter") || this.split.hidden) return;
    this.arrange();
    this.table.focus();
    event.preventDefault();
  }

  tick() {
    this.table.tick();
    this.runs.listen();
  }

  key(event) {
    if (this.editor.root.open) return false;
    const { input } = this.filter;
    if (event.key === "/") input.focus();
    else if (event.key === "Escape" && !this.chooser.root.hidden) this.chooser.show(false);
    else if (event.key === "Escape" && !this.filter.help.hidden) this.filter.showHelp(false);
    else if (event.key === "Escape" && input.value) this.filter.set("");
    else if (event.key === "j" || event.key === "k") this.table.focus();
    else return false;
    return true;
  }

  close() {
    this.closed = true;
    for (const timer of [this.planned, this.typing]) clearTimeout(timer);
    for (const part of [this.runs, this.table, this.comparison, this.place, this.plot]) part.close();
  }
}
