// The Logs tab: all lines of a run, by scrolling, by search, and as they arrive.

import { paint, plain } from "./ansi.js";
import { copyButton, element } from "../common/dom.js";
import { downloadMenu } from "../common/download.js";
import { clock, counted, number } from "../common/format.js";
import { AllLines, Matches } from "./lines.js";
import { Viewport } from "./viewport.js";

const LEVELS = ["debug", "info", "warn", "error"];
// characters of a row: no screen is wider, and the layout of 256 KiB takes long
const MOST_SHOWN = 4000;
// rows that are loaded before and after the visible ones
const AHEAD = 200;

export class LogTab {
  // The field `line` of `address` has the number of the selected line.
  constructor(id, address) {
    this.id = id;
    this.address = address;
    const line = Math.floor(Number(address.get("line"))) || null;
    this.all = new AllLines(id, () => this.loaded());
    this.lines = this.all;
    this.fresh = 0;
    this.selected = line;
    this.build();
    this.follow(line == null);
  }

  build() {
    this.viewport = new Viewport((row, index) => this.fill(row, index), () => this.moved(), "log lines");
    this.viewport.root.addEventListener("click", (event) => this.click(event));
    this.search = element("input", { type: "search", placeholder: "Search  /", "aria-label": "search lines", oninput: () => this.searched() });
    this.level = element("select", { "aria-label": "lowest level", onchange: () => this.filter() },
      ...LEVELS.map((level, at) => element("option", { value: at }, at ? `${level} and above` : "all levels")));
    this.count = element("span", { class: "faint count" });
    this.following = element("button", { type: "button", class: "small toggle", title: "f", onclick: () => this.follow(!this.viewport.follows) }, "Follow");
    this.pill = element("button", { type: "button", class: "new-lines", hidden: true, onclick: () => this.follow(true) });
    this.state = element("span", { class: "faint" });
    const menu = downloadMenu(this.id, "logs", "download lines", ["ndjson", "csv", "json"], this.state);
    this.detail = element("section", { class: "detail", hidden: true, "aria-label": "the line" });
    this.root = element("div", { class: "log-tab" },
      element("div", { class: "tools" }, this.search, this.level, this.count, this.state, element("span", { class: "space" }), this.following, menu),
      element("div", { class: "log" }, this.viewport.root, this.pill),
      this.detail,
    );
  }

  // Takes the newest page of stored lines, in order.
  begin(page) {
    this.all.count = Math.max(this.all.count, page.total, page.logs.at(-1)?.seq ?? 0);
    this.all.take(page.logs);
    this.counted();
    if (this.selected) {
      this.viewport.moveTo(this.selected - 1 - this.viewport.visible / 2);
      this.show(this.selected);
    }
  }

  // Redraws after a request; the selected line may be among the loaded ones.
  loaded() {
    this.viewport.draw();
    if (this.selected != null && this.detail.hidden && this.all.get(this.selected - 1)) this.unfold(this.all.get(this.selected - 1));
  }

  append(entries) {
    const added = this.all.append(entries);
    const shown = this.lines === this.all ? added : this.lines.append(entries);
    if (!shown) {
      if (added) this.showCount();
      return;
    }
    if (this.lines.dropped) {
      this.lines.dropped = false;
      this.viewport.moveTo(this.viewport.top - shown);
    }
    if (!this.viewport.follows) this.fresh += shown;
    this.counted();
  }

  counted() {
    this.viewport.setCount(this.lines.count);
    this.viewport.draw();
    this.showCount();
  }

  showCount() {
    const total = counted(this.all.count, "line");
    this.count.textContent = this.lines === this.all ? total : `${number(this.lines.total)}${this.lines.text && this.lines.hasOlder ? "+" : ""} of ${total}`;
    this.pill.hidden = this.fresh === 0 || this.viewport.follows;
    this.pill.textContent = `${number(this.fresh)} new ↓`;
    this.following.setAttribute("aria-pressed", String(Boolean(this.viewport.follows)));
  }

  follow(wanted) {
    this.viewport.follows = wanted;
    if (wanted) {
      this.fresh = 0;
      this.viewport.moveTo(this.viewport.last);
    }
    this.showCount();
  }

  // Scrolling up stops following, and scrolling to the end starts it again.
  moved() {
    const atEnd = this.viewport.isAtEnd;
    if (atEnd !== Boolean(this.viewport.follows)) {
      this.viewport.follows = atEnd;
      if (atEnd) this.fresh = 0;
    }
    this.showCount();
    if (this.lines !== this.all && this.viewport.top < 50 && this.lines.hasOlder) this.older();
  }

  async older() {
    const lines = this.lines;
    try {
      const added = await lines.older();
      if (lines !== this.lines || !added) return;
      const top = this.viewport.top;
      this.viewport.setCount(lines.count);
      this.viewport.moveTo(top + added);
    } catch (error) {
      this.state.textContent = error.message;
    }
  }

  fill(row, index) {
    this.lines.need(Math.max(0, index - AHEAD), Math.min(this.lines.count - 1, index + AHEAD));
    const entry = this.lines.get(index);
    if (row.entry === entry && row.index === index && row.chosen === this.selected) return;
    row.entry = entry;
    row.index = index;
    row.chosen = this.selected;
    if (!row.firstChild) {
      row.append(element("span", { class: "seq" }), element("time"), element("span", { class: "level" }), element("span", { class: "message" }), element("span", { class: "metadata" }));
    }
    const [seq, time, level, message, metadata] = row.children;
    const known = entry && !entry.gone;
    row.dataset.seq = entry?.seq ?? "";
    row.className = `row ${known ? entry.level : "unknown"}${entry && entry.seq === this.selected ? " selected" : ""}`;
    seq.textContent = number(entry?.seq ?? index + 1);
    time.textContent = known ? clock(entry.timestamp) : "";
    level.textContent = known ? entry.level : "";
    if (known) paint(message, entry.message.length > MOST_SHOWN ? `${entry.message.slice(0, MOST_SHOWN)}…` : entry.message);
    else message.textContent = entry?.gone ? "deleted by retention" : "…";
    const extra = known && entry.metadata ? JSON.stringify(entry.metadata) : "";
    metadata.textContent = extra.length > 200 ? `${extra.slice(0, 200)}…` : extra;
  }

  click(event) {
    const row = event.target.closest(".row");
    if (!row || String(getSelection())) return;
    this.show(row.entry?.seq === this.selected ? null : row.entry?.seq);
  }

  // Shows the whole line below the list, so that no other line moves.
  show(seq) {
    this.selected = seq ?? null;
    this.address.set({ line: seq });
    const entry = seq == null ? null : this.lines.get(this.place(seq));
    this.detail.hidden = true;
    if (entry) this.unfold(entry);
    else if (seq != null) this.all.need(seq - 1, seq - 1);
    this.viewport.draw();
  }

  unfold(entry) {
    this.detail.hidden = Boolean(entry.gone);
    if (entry.gone) return;
    const message = element("pre", { class: "whole" });
    paint(message, entry.message.slice(0, 262144));
    this.detail.replaceChildren(
      element("div", { class: "line" },
        element("strong", {}, `line ${number(entry.seq)}`), element("span", { class: `level ${entry.level}` }, entry.level), element("time", {}, new Date(entry.timestamp).toLocaleString()),
        element("span", { class: "space" }),
        copyButton(() => plain(entry.message)), copyButton(() => location.href, "Copy link"),
        element("button", { type: "button", class: "small", "aria-label": "close", onclick: () => this.show(null) }, "✕")),
      message,
      ...(entry.metadata ? [element("pre", { class: "whole" }, JSON.stringify(entry.metadata, null, 2).slice(0, 65536))] : []),
    );
  }

  // The index of line `seq` in the list; -1 if a filter excludes it.
  place(seq) {
    return this.lines === this.all ? seq - 1 : this.lines.entries.findIndex((entry) => entry.seq === seq);
  }

  // Shows the next or the previous line below the list; the first time the last visible line.
  step(by) {
    const { top, visible, count } = this.viewport;
    if (!count) return;
    const at = this.selected == null ? -1 : this.place(this.selected);
    const to = at < 0 ? Math.min(count - 1, Math.ceil(top + visible) - 1) : Math.min(count - 1, Math.max(0, at + by));
    this.show(this.lines === this.all ? to + 1 : this.lines.get(to).seq);
    if (to < this.viewport.top) this.viewport.by(to - this.viewport.top);
    else if (to > this.viewport.top + this.viewport.visible - 1) this.viewport.by(to + 1 - this.viewport.top - this.viewport.visible);
  }

  searched() {
    clearTimeout(this.typing);
    this.typing = setTimeout(() => this.filter(), 200);
  }

  async filter() {
    if (this.lines !== this.all) this.lines.close();
    const least = Number(this.level.value);
    const text = this.search.value;
    this.fresh = 0;
    this.state.textContent = "";
    if (!least && !text) {
      this.use(this.all);
      return;
    }
    const matches = new Matches(this.id, least ? LEVELS.slice(least) : null, text, () => this.lines === matches && this.use(matches));
    this.lines = matches;
    this.state.textContent = "searching";
    try {
      await matches.load();
      if (this.lines === matches) this.state.textContent = matches.count ? "" : "nothing matches";
    } catch (error) {
      if (this.lines === matches) this.state.textContent = error.message;
    }
  }

  use(lines) {
    this.lines = lines;
    this.viewport.setCount(lines.count);
    this.follow(true);
    this.viewport.draw();
  }

  clear() {
    if (!this.search.value && this.level.value === "0") return false;
    this.search.value = "";
    this.level.value = "0";
    this.filter();
    return true;
  }

  note(text) {
    this.state.textContent = text;
  }

  close() {
    clearTimeout(this.typing);
    this.all.close();
    this.lines.close();
    this.viewport.close();
  }
}
