// The chosen runs beside the table: the differences of their configurations, and their charts with a legend.

import { getJson } from "../common/api.js";
import { element } from "../common/dom.js";
import { displayName, span } from "../common/format.js";
import { ChartGrid } from "../results/grid.js";
import { groupId } from "../results/view.js";
import { swatch } from "../results/palette.js";
import { Stream } from "../stream/stream.js";
import { statusOf, took } from "./columns.js";
import { plain } from "./values.js";

// rows and columns of the differences
const MOST_ROWS = 200;
const MOST_COMPARED = 30;
const FIELDS = { filter: "charts", group: "panels" };

export class Comparison {
  // `handlers`: remove(id), hover(id or null), result(runId, result), clear(), and cursor(), that of the list.
  constructor(address, handlers) {
    this.handlers = handlers;
    this.signature = "";
    this.grid = new ChartGrid({ address, fields: FIELDS, onHover: () => handlers.hover(this.grid.highlighted), onRemove: (id) => handlers.remove(id), empty: "these runs have no results" });
    this.title = element("h2", {});
    this.difference = element("div", { class: "difference", tabindex: 0, role: "region", "aria-label": "differences" });
    this.differences = element("details", { open: true }, element("summary", {}, "Differences"), this.difference);
    this.note = element("p", { class: "faint" });
    this.root = element("section", { class: "comparison", hidden: true, "aria-label": "comparison" },
      element("div", { class: "line" }, this.title, element("span", { class: "space" }), element("button", { type: "button", class: "small", onclick: () => handlers.clear() }, "Clear")),
      this.note, this.differences, this.grid.root);
  }

  // Shows chosen items. `slots` has the slot of each, `groupOf(item)` the name of its group, or null.
  show(items, slots, groupOf) {
    const drawn = items.filter(({ id }) => slots.get(id) != null);
    this.root.hidden = !items.length;
    this.title.textContent = items.length === 1 ? displayName(items[0].run) : `${items.length} runs`;
    this.note.textContent = drawn.length < items.length ? `the charts show ${drawn.length} of them` : "";
    this.note.hidden = !this.note.textContent;
    const runs = drawn.map((item) => ({ id: item.id, name: displayName(item.run), slot: slots.get(item.id), isLive: item.run.status === "running", group: groupOf(item), startedAt: item.run.started_at ? Date.parse(item.run.started_at) / 1000 : undefined }));
    const signature = JSON.stringify([runs, items.slice(0, MOST_COMPARED).map(({ id, run }) => [id, statusOf(run), run.metadata]), items.length]);
    if (signature === this.signature) return;
    this.signature = signature;
    this.compare(items, slots);
    this.ids = new Set(runs.flatMap(({ id, group }) => [id, ...(group ? [groupId(group)] : [])]));
    const drawing = JSON.stringify(runs.map(({ id, slot, group, name }) => [id, slot, group, name]));
    this.follow(runs);
    if (drawing === this.drawing) return;
    this.drawing = drawing;
    this.grid.setRuns(runs);
  }

  // The stream's cursor is older than the data that the charts request, so that no result is lost between. A run that ends
  // is followed further: its last results may still be under way.
  follow(runs) {
    const followed = new Set(this.stream?.topics.map((topic) => topic.replace("experiments:run:", "")));
    const wanted = runs.filter(({ id, isLive }) => isLive || followed.has(id)).map(({ id }) => id);
    if (wanted.every((id) => followed.has(id)) && wanted.length === followed.size) return;
    const cursor = this.stream?.cursor ?? this.handlers.cursor();
    this.stream?.close();
    this.stream = null;
    if (!wanted.length) return;
    this.stream = new Stream(wanted.map((id) => `experiments:run:${id}`), cursor, {
      event: (event) => this.take(event),
      state: () => {},
      resume: () => this.resume(),
    });
  }

  async resume() {
    const { last_event_id: cursor } = await getJson("runs?limit=1");
    this.grid.resume();
    return cursor;
  }

  take(event) {
    for (const result of event.results ?? (event.result ? [event.result] : [])) this.handlers.result(event.run_id, result);
    this.grid.take(event);
  }

  highlight(id) {
    this.grid.highlight(this.ids?.has(id) ? id : null);
    for (const head of this.difference.querySelectorAll("th[data-id]")) head.classList.toggle("lit", head.dataset.id === id);
  }

  // A row for each key whose values differ.
  compare(all, slots) {
    const items = all.slice(0, MOST_COMPARED);
    const keys = [...new Set(items.flatMap(({ config }) => [...config.keys()]))];
    const differing = keys.filter((key) => new Set(items.map(({ config }) => config.get(key))).size > 1);
    const seconds = (item) => (took(item.run) === undefined ? "–" : span(took(item.run)));
    const rows = [
      ...differing.slice(0, MOST_ROWS).map((key) => [key, ...items.map(({ config }) => (config.has(key) ? plain(config.get(key)) : "–"))]),
      ["status", ...items.map(({ run }) => statusOf(run))], ["took", ...items.map(seconds)],
    ];
    const head = ({ id, run }) => element("th", { scope: "col", "data-id": id }, slots.get(id) == null ? null : swatch(slots.get(id)), element("a", { href: `#/runs/${encodeURIComponent(id)}/results` }, displayName(run)));
    this.difference.replaceChildren(
      element("table", {},
        element("thead", {}, element("tr", {}, element("th", { scope: "col" }, "key"), ...items.map(head))),
        element("tbody", {}, ...rows.map(([key, ...cells]) => element("tr", {}, element("th", { scope: "row" }, key), ...cells.map((cell) => element("td", {}, cell)))))),
      all.length > items.length ? element("p", { class: "faint" }, `of the first ${items.length} chosen runs`) : "",
      ...(differing.length || items.length < 2 ? [] : [element("p", { class: "faint" }, "the configurations are the same")]));
    this.differences.hidden = items.length < 2;
  }

  close() {
    this.stream?.close();
    this.grid.close();
  }
}
