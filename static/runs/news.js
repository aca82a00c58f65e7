// What one wants to know in the morning: what runs now, what failed and what ended since the last visit.

import { serviceNow } from "../common/clock.js";
import { element, statusPill } from "../common/dom.js";
import { displayName, lastLine, number, span } from "../common/format.js";
import { took } from "./columns.js";
import { whenOf } from "./table.js";
import { Visit } from "./visit.js";

const MOST = 4;

export class News {
  // `onAll(filter)` shows all runs of a list in the table.
  constructor(onAll) {
    this.visit = new Visit(serviceNow());
    this.running = new NewsList("Running", () => onAll("status:running"), "nothing runs");
    this.failed = new NewsList("Failed", () => onAll("status:failed"), "nothing failed");
    this.ended = new NewsList("Finished", () => onAll("status:completed,cancelled"), "nothing finished");
    this.since = element("span", { class: "faint" });
    this.seen = element("button", { type: "button", class: "small", onclick: () => this.see() }, "Mark as seen");
    this.root = element("section", { class: "news", "aria-label": "news" },
      element("div", { class: "news-lists" }, this.running.root, this.failed.root, this.ended.root),
      element("div", { class: "line small-text" }, this.since, this.seen));
  }

  show(items) {
    this.items = items;
    const { since } = this.visit;
    const isNew = ({ run }) => Date.parse(run.completed_at) > since;
    const byEnd = (one, other) => Date.parse(other.run.completed_at) - Date.parse(one.run.completed_at);
    const byStart = (one, other) => Number(other.run.stale ?? false) - Number(one.run.stale ?? false) || Date.parse(other.run.started_at) - Date.parse(one.run.started_at);
    this.running.show(items.filter(({ run }) => run.status === "running").sort(byStart));
    const fresh = items.filter(({ run }) => run.completed_at && isNew({ run })).sort(byEnd);
    this.failed.show(fresh.filter(({ run }) => run.status === "failed"));
    this.ended.show(fresh.filter(({ run }) => run.status !== "failed"));
    const time = this.visit.isFirst ? "in the last 24 hours" : `since your last visit, ${whenOf(since)}`;
    this.since.textContent = `Failed and finished: ${time}`;
    this.seen.hidden = !fresh.length;
    this.root.hidden = !items.length;
  }

  update(item) {
    this.running.update(item);
  }

  tick() {
    if (!document.hidden) this.visit.touch(serviceNow());
  }

  see() {
    this.visit.see(serviceNow());
    this.visit.isFirst = false;
    this.show(this.items);
  }
}

class NewsList {
  constructor(title, onAll, empty) {
    this.rows = new Map();
    this.title = element("h2", {}, title);
    this.heading = title;
    this.list = element("ul", {});
    this.none = element("p", { class: "faint" }, empty);
    this.all = element("button", { type: "button", class: "small", hidden: true, onclick: onAll });
    this.root = element("section", { class: "news-list card", "aria-label": title.toLowerCase() }, this.title, this.list, this.none, this.all);
  }

  show(items) {
    this.title.textContent = items.length ? `${this.heading} ${number(items.length)}` : this.heading;
    const shown = items.slice(0, MOST);
    const ids = new Set(shown.map(({ id }) => id));
    for (const [id, row] of this.rows) {
      if (ids.has(id)) continue;
      row.remove();
      this.rows.delete(id);
    }
    shown.forEach((item, place) => {
      const row = this.row(item);
      if (this.list.children[place] !== row) this.list.insertBefore(row, this.list.children[place] ?? null);
      this.fill(row, item);
    });
    this.none.hidden = items.length > 0;
    this.all.hidden = items.length <= MOST;
    this.all.textContent = `all ${number(items.length)}`;
  }

  row({ id }) {
    if (this.rows.has(id)) return this.rows.get(id);
    const link = element("a", { href: `#/runs/${encodeURIComponent(id)}` });
    const row = element("li", {}, link);
    Object.assign(row, { link, pill: element("span", {}), name: element("span", { class: "news-name" }), detail: element("span", { class: "news-detail" }), when: element("time", {}) });
    link.append(row.pill, row.name, row.detail, row.when);
    this.rows.set(id, row);
    return row;
  }

  update(item) {
    const row = this.rows.get(item.id);
    if (row) this.fill(row, item);
  }

  fill(row, item) {
    const { run, progress } = item;
    const status = `${run.status} ${run.stale}`;
    if (row.status !== status) row.pill.replaceChildren(statusPill(run));
    row.status = status;
    const percent = progress?.total > 0 ? `${Math.floor((100 * progress.current) / progress.total)} %` : "";
    set(row.name, `${displayName(run)} · ${item.experiment}`);
    set(row.detail, run.error ? lastLine(run.error) : run.status === "running" ? [percent, progress?.message].filter(Boolean).join(" · ") : "");
    row.detail.classList.toggle("error-line", Boolean(run.error));
    const seconds = took(run);
    set(row.when, run.status === "running" ? (seconds === undefined ? "" : span(seconds)) : whenOf(Date.parse(run.completed_at)));
    row.link.title = run.error ? run.error.slice(-2000) : "";
  }
}

function set(node, text) {
  if (node.textContent !== text) node.textContent = text;
}
