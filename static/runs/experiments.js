// All experiments as a table: a row for each, with its runs by status and the newest of them.

import { element, statusPill } from "../common/dom.js";
import { counted, displayName, number } from "../common/format.js";
import { STATUSES, statusOf } from "./columns.js";
import { whenOf } from "./table.js";

const MOST_SHOWN = 300;

export class Experiments {
  constructor() {
    this.rows = new Map();
    this.body = element("tbody", {});
    this.note = element("p", { class: "faint" });
    const head = (text) => element("th", { scope: "col" }, text);
    this.table = element("table", { class: "experiments", "aria-label": "experiments" },
      element("thead", {}, element("tr", {}, head("Experiment"), head("Runs"), head("Newest run"), head("Last activity"))), this.body);
    this.root = element("div", { class: "experiments-pane" }, this.table, this.note);
  }

  // `experiments` are instances, `items` all runs, and `matches` tells which experiments to show: {accepts(instance),
  // shown, filter}, where `shown` has the ids of those with runs that match.
  show(experiments, items, matches, isComplete) {
    const runs = runsOf(items);
    const rows = experiments.map((instance) => ({ instance, ...(runs.get(instance.id) ?? { counts: new Map(), newest: null }) }))
      .filter(({ instance }) => matches.accepts(instance) || matches.shown.has(instance.id));
    const age = ({ instance, newest }) => newest?.run.created_at ?? instance.last_run_at ?? instance.created_at;
    rows.sort((one, other) => (age(one) < age(other) ? 1 : -1));
    const listed = rows.slice(0, MOST_SHOWN);
    const ids = new Set(listed.map(({ instance }) => instance.id));
    for (const [id, row] of this.rows) {
      if (ids.has(id)) continue;
      row.remove();
      this.rows.delete(id);
    }
    listed.forEach((row, place) => this.place(row, place, matches, isComplete));
    this.table.hidden = !listed.length;
    this.note.textContent = rows.length > MOST_SHOWN ? `and ${counted(rows.length - MOST_SHOWN, "older experiment")}: search for them` : "";
    return rows.length;
  }

  place(data, place, matches, isComplete) {
    const row = this.row(data.instance.id);
    const at = this.body.children[place];
    if (at !== row) this.body.insertBefore(row, at ?? null);
    this.fill(row, data, matches, isComplete);
  }

  row(id) {
    if (this.rows.has(id)) return this.rows.get(id);
    const link = element("a", {});
    const about = element("span", { class: "faint about-experiment" });
    const [counts, newest, when] = [element("td", {}), element("td", {}), element("td", { class: "when" })];
    const row = element("tr", {}, element("th", { scope: "row" }, link, about), counts, newest, when);
    Object.assign(row, { link, about, counts, newest, when });
    this.rows.set(id, row);
    return row;
  }

  fill(row, { instance, counts, newest }, matches, isComplete) {
    // an experiment that was found by its runs opens with these runs
    const query = matches.filter && !matches.accepts(instance) ? `?${new URLSearchParams({ filter: matches.filter })}` : "";
    const path = `#/instances/${encodeURIComponent(instance.id)}${query}`;
    const known = [...counts].filter(([, count]) => count);
    const said = JSON.stringify([path, instance, known, newest?.id, newest && statusOf(newest.run), newest && displayName(newest.run), isComplete]);
    if (row.said === said) return;
    row.said = said;
    row.link.href = path;
    row.link.textContent = instance.name;
    row.link.title = instance.name;
    row.about.textContent = instance.description ?? "";
    row.about.title = instance.description ?? "";
    row.counts.replaceChildren(...(known.length && isComplete ? known.map(([status, count]) => element("span", { class: `count-of ${status}` }, `${number(count)} ${status}`)) : [instance.run_count ? counted(instance.run_count, "run") : "no run yet"]));
    row.newest.replaceChildren(...(newest ? [statusPill(newest.run), " ", element("a", { href: `#/runs/${encodeURIComponent(newest.id)}` }, displayName(newest.run))] : []));
    const last = newest ? newest.run.completed_at ?? newest.run.started_at ?? newest.run.created_at : instance.last_run_at;
    row.when.textContent = last ? whenOf(Date.parse(last)) : "";
  }
}

// For each experiment: how many runs it has of each status, and the newest of them.
function runsOf(items) {
  const found = new Map();
  for (const item of items) {
    const id = item.run.instance_id;
    if (!found.has(id)) found.set(id, { counts: new Map(STATUSES.map((status) => [status, 0])), newest: item });
    const known = found.get(id);
    const status = statusOf(item.run);
    known.counts.set(status, (known.counts.get(status) ?? 0) + 1);
    if (item.rank > known.newest.rank) known.newest = item;
  }
  return found;
}
