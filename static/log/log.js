// The Logs tab: all lines of a run, by scrolling, by search, and as they arrive.

import { Address } from "../common/address.js";
import { element } from "../common/dom.js";
import { downloadMenu } from "../common/download.js";
import { counted, lastLine, number } from "../common/format.js";
import { Detail } from "./detail.js";
import { Filter } from "./filter.js";
import { AllLines, FIRST } from "./lines.js";
import { Matches } from "./matches.js";
import { Row } from "./row.js";
import { LineSelection } from "./selection.js";
import { plain } from "./ansi.js";
import { Viewport } from "./viewport.js";

// rows that are loaded before and after the visible ones
const AHEAD = 200;
// milliseconds between two texts for screen readers, and between two changes of the address
const ANNOUNCED = 5000;
const NOTED = 250;
// lines between the first visible line and the selected one, if a link has both, that are likely one view
const NEAR = 60;
// milliseconds in which a second click may follow
const DOUBLE = 250;

export class LogTab {
  // The query of `address` has the search (q), level, stream, wrap (1), the selected line, and as `at` the
  // first visible line, unless the end is followed.
  constructor(id, address) {
    this.id = id;
    this.address = address;
    this.all = new AllLines(id, () => this.loaded());
    this.lines = this.all;
    this.fresh = 0;
    this.news = { count: 0, error: "" };
    this.selected = numberIn(address.get("line"));
    this.at = numberIn(address.get("at"));
    this.build();
    this.wrap(address.get("wrap") === "1");
    this.follow(!this.selected && !this.at);
  }

  build() {
    this.filter = new Filter(this.address, () => this.choose());
    this.viewport = new Viewport({
      key: (index) => this.lines.key(index),
      row: () => new Row(),
      fill: (row, index) => this.fill(row, index),
      need: (first, last) => this.lines.need(Math.max(0, first - AHEAD), Math.min(this.lines.count - 1, last + AHEAD)),
      kept: () => this.selection.keys,
      moved: () => this.moved(),
    }, "log lines");
    const { root } = this.viewport;
    root.addEventListener("click", (event) => this.click(event));
    root.addEventListener("keydown", (event) => event.key === "Enter" && event.target === root && this.enter(event));
    root.addEventListener("pointerdown", (event) => event.target.closest(".row") && this.hold());
    this.selection = new LineSelection(this.id, root, () => this.lines, (text) => this.note(text));
    this.count = element("span", { class: "faint said count" });
    const toggle = (title, name, onclick) => element("button", { type: "button", class: "small toggle", title, onclick }, name);
    this.wrapping = toggle("w", "Wrap", () => this.wrap(!this.viewport.isWrapped));
    this.following = toggle("f", "Follow", () => this.follow(!this.viewport.follows));
    this.pill = element("button", { type: "button", class: "new-lines", hidden: true, onclick: () => this.follow(true) });
    this.state = element("span", { class: "faint", role: "status" });
    this.announcer = element("span", { class: "unseen", role: "status", "aria-live": "polite" });
    this.empty = element("div", { class: "empty", hidden: true });
    this.detail = new Detail(() => this.show(null), () => this.linkTo(this.selected));
    const { search, level, stream, shortcuts } = this.filter;
    const menu = downloadMenu(this.id, "logs", "download lines", ["ndjson", "csv", "json"], this.state);
    this.root = element("div", { class: "log-tab" },
      element("div", { class: "tools" }, search, level, stream, ...Object.values(shortcuts), this.count, this.wrapping, this.following, menu, this.state),
      element("div", { class: "log" }, root, this.empty, this.pill, this.announcer),
      this.detail.root,
    );
  }

  // Takes the newest page of stored lines, in order: at first, and again after a long pause.
  begin(page) {
    const before = this.all.count;
    const [at, line] = before ? [this.viewport.follows ? null : this.seqAt(0), null] : [this.at, this.selected];
    this.all.count = Math.max(this.all.count, page.total, page.logs.at(-1)?.seq ?? 0);
    this.all.take(page.logs);
    this.filter.see(page.logs);
    if (!this.filter.isEmpty) {
      this.search(at, line);
    } else {
      if (before && !this.viewport.follows) this.fresh += this.all.count - before;
      this.counted();
      this.goTo(at, line);
    }
    if (line) this.open(line, !at || Math.abs(line - at) < NEAR);
  }

  // Shows line `at` first, or `line` in the middle.
  goTo(at, line) {
    if (at) this.viewport.moveTo(this.lines.nearest(at));
    else if (line) this.viewport.moveTo(this.lines.nearest(line) - this.viewport.visible / 2);
  }

  // Redraws after a request; the selected line may be among the loaded ones.
  loaded() {
    this.viewport.draw();
    if (this.selected && !this.detail.isOpen) this.open(this.selected, this.mustShow);
  }

  // Takes how many stored lines each level has, among the first `seq` lines.
  countLevels(counts, seq) {
    this.levels = { counts: { ...counts }, seq };
    this.filter.showCounts(counts);
  }

  // Counts live lines too.
  countLive(entries) {
    if (!this.levels) return;
    const { counts, seq } = this.levels;
    for (const entry of entries) if (entry.seq > seq) counts[entry.level] += 1;
    this.levels.seq = Math.max(seq, entries.at(-1)?.seq ?? 0);
    this.filter.showCounts(counts);
  }

  append(entries) {
    this.filter.see(entries);
    this.countLive(entries);
    const added = this.all.append(entries);
    if (added) this.announce(added, entries);
    const shown = this.lines === this.all ? added : this.lines.append(entries);
    if (!shown) {
      if (added) this.showCount();
      return;
    }
    if (this.viewport.follows) this.lines.drop?.();
    else this.fresh += shown;
    this.counted();
  }

  counted() {
    this.viewport.setCount(this.lines.count);
    this.viewport.draw();
    this.showCount();
  }

  showCount() {
    const total = counted(this.all.count, "line");
    const { count, isReading, hasOlder } = this.lines;
    if (this.lines === this.all) this.count.textContent = total;
    else if (this.lines.total != null) this.count.textContent = `${number(this.lines.total)} of ${total}`;
    else if (isReading || count < FIRST) this.count.textContent = `${number(count)} ${count === 1 ? "match" : "matches"} so far${isReading ? ", searching …" : ""}`;
    else this.count.textContent = hasOlder ? `more than ${number(count)} of ${total}` : total;
    this.pill.hidden = this.fresh === 0 || this.viewport.follows;
    this.pill.textContent = `${number(this.fresh)} new ↓`;
    this.following.setAttribute("aria-pressed", String(this.viewport.follows));
    this.empty.hidden = this.all.count > 0 || !this.empty.childElementCount;
  }

  // What is shown as long as there is no line.
  explain(...content) {
    this.empty.replaceChildren(...content);
    this.showCount();
  }

  // Tells screen readers how many lines have arrived, and the newest error, now and then.
  announce(count, entries) {
    this.news.count += count;
    const error = entries.findLast(({ level }) => level === "error");
    if (error) this.news.error = lastLine(plain(error.message));
    this.announcing ??= setTimeout(() => {
      this.announcing = null;
      const { error, count } = this.news;
      this.announcer.textContent = `${counted(count, "new line")}${error ? `, error: ${error}` : ""}`;
      this.news = { count: 0, error: "" };
    }, ANNOUNCED);
  }

  follow(wanted) {
    this.viewport.follows = wanted;
    if (wanted) {
      this.mustShow = false;
      this.fresh = 0;
      this.viewport.moveTo(this.viewport.last);
      if (this.at) this.address.set({ at: (this.at = null) });
    }
    this.showCount();
    this.notePlace();
  }

  wrap(wanted) {
    this.root.classList.toggle("wraps", wanted);
    this.wrapping.setAttribute("aria-pressed", String(wanted));
    if (wanted !== this.viewport.isWrapped) this.viewport.wrap(wanted);
    this.address.set({ wrap: wanted ? "1" : null });
  }

  // Nothing moves under a pressed mouse button.
  hold() {
    this.viewport.hold(true);
    const ended = new AbortController();
    const release = () => {
      ended.abort();
      this.viewport.hold(false);
    };
    for (const name of ["pointerup", "pointercancel", "blur"]) addEventListener(name, release, { signal: ended.signal });
  }

  // Scrolling up stops following, and scrolling to the end starts it again.
  moved() {
    this.mustShow = false;
    const { isAtEnd } = this.viewport;
    if (isAtEnd !== this.viewport.follows) {
      this.viewport.follows = isAtEnd;
      if (isAtEnd) this.fresh = 0;
    }
    this.showCount();
    this.notePlace();
    if (this.lines.hasOlder && this.viewport.top < 50) this.readOn();
  }

  // Puts the first visible line into the address. Browsers allow few changes of it in a second.
  notePlace() {
    this.noting ??= setTimeout(() => {
      this.noting = null;
      if (!this.lines.count) return;
      this.at = this.viewport.follows ? null : this.seqAt(0);
      this.address.set({ at: this.at });
    }, NOTED);
  }

  // The number of the line at a share of the view's height: 0 is the first visible one.
  seqAt(share) {
    const index = Math.min(this.lines.count - 1, Math.floor(this.viewport.top + share * this.viewport.visible));
    return index < 0 ? null : this.lines.key(index);
  }

  entry(seq) {
    return this.all.get(seq - 1) ?? this.lines.get(this.lines.place(seq));
  }

  fill(row, index) {
    const entry = this.lines.get(index);
    const seq = this.lines.key(index);
    row.show(seq, entry, {
      needle: this.filter.needle,
      isWrapped: this.viewport.isWrapped,
      isSelected: seq === this.selected,
      isNewDay: isNewDay(entry, this.lines.get(index - 1), index),
    });
  }

  // A click on a line opens or closes it; in its text only if no second click follows, which selects a word.
  click(event) {
    clearTimeout(this.opening);
    const row = event.target.closest(".row");
    if (!row || event.detail > 1 || !this.selection.isEmpty) return;
    const { seq, entry } = row.line.shown;
    const open = () => entry && this.selection.isEmpty && this.show(seq === this.selected ? null : seq);
    if (event.pointerType === "mouse" && event.target.closest(".message")) this.opening = setTimeout(open, DOUBLE);
    else open();
  }

  // Opens the selected line, or enters it.
  enter(event) {
    event.preventDefault();
    if (this.detail.isOpen) this.detail.root.focus();
    else if (this.selected) this.show(this.selected);
    else this.step(1);
  }

  // Selects a line and shows all of it below the list; null selects none.
  show(seq) {
    this.selected = seq;
    this.address.set({ line: seq });
    this.open(seq, true);
  }

  // Opens the line if it is loaded, or when it is. The list becomes lower by that: `mustShow` keeps the line in it,
  // unless the user moves before.
  open(seq, mustShow) {
    const entry = seq && this.entry(seq);
    this.mustShow = mustShow && !entry;
    this.detail.show(entry, this.filter.needle);
    if (entry && mustShow) this.keepVisible(this.lines.place(seq));
    if (seq && !entry) this.all.need(seq - 1, seq - 1);
    this.viewport.draw();
  }

  // The end is followed only as long as it shows the line.
  keepVisible(index) {
    if (index < 0 || (this.viewport.follows && index >= this.viewport.last)) return;
    this.viewport.follows = false;
    this.viewport.reveal(index);
    this.showCount();
    this.notePlace();
  }

  // Shows the next or the previous line below the list; the first time the last visible line.
  step(by) {
    const { top, visible, count } = this.viewport;
    if (!count) return;
    const at = this.selected ? this.lines.place(this.selected) : -1;
    const to = at < 0 ? Math.min(count - 1, Math.ceil(top + visible) - 1) : Math.min(count - 1, Math.max(0, at + by));
    this.show(this.lines.key(to));
  }

  // Shows other lines, because the filter has changed. Without one, the view stays at the match: the
  // selected line, or the one in the middle.
  choose() {
    clearTimeout(this.opening);
    this.fresh = 0;
    this.selection.clear();
    const before = this.lines;
    if (before !== this.all) before.close();
    else this.before = { top: this.viewport.top, follows: this.viewport.follows };
    if (!this.filter.isEmpty) {
      this.search();
      return;
    }
    this.note("");
    if (before.count) {
      const isSelected = this.selected && before.place(this.selected) >= 0;
      const seq = isSelected ? this.selected : this.seqAt(0.5);
      const above = Math.max(0, before.place(seq) - this.viewport.top);
      this.use(this.all, false, seq - 1 - Math.min(above, this.viewport.visible - 1));
    } else {
      this.use(this.all, this.before?.follows ?? true, this.before?.top ?? 0);
    }
    if (this.selected) this.open(this.selected, false);
  }

  // Searches; the end is shown, or the place of a line (goTo).
  async search(at = null, line = null) {
    const seq = at ?? line;
    if (this.lines !== this.all) this.lines.close();
    const matches = new Matches(this.id, this.filter.wanted, (older) => this.lines === matches && this.found(older));
    this.use(matches, !seq, 0);
    await this.readOn(seq ?? Infinity);
    if (this.lines !== matches || !seq) return;
    this.viewport.setCount(matches.count);
    this.goTo(at, line);
  }

  // Reads the next pages of a search; tries again as long as the service does not answer.
  async readOn(seq) {
    const { lines } = this;
    if (lines.isReading) return;
    const isShown = () => this.lines === lines;
    try {
      const reading = lines.read(seq);
      this.showCount();
      await reading;
      if (isShown()) this.note(lines.count ? "" : "nothing matches");
    } catch (error) {
      if (!isShown() || error.name === "AbortError") return;
      this.note(error.status ? error.message : "the service does not answer: trying again");
      if (!error.status || error.status === 503) this.trying = setTimeout(() => isShown() && this.readOn(seq), 2000);
    }
    if (isShown()) this.showCount();
  }

  // Older matches were put in front: the view stays where it is.
  found(older) {
    const { top } = this.viewport;
    this.viewport.setCount(this.lines.count);
    if (!this.viewport.follows) this.viewport.moveTo(top + older);
    this.viewport.draw();
    this.showCount();
  }

  use(lines, follows, top) {
    this.lines = lines;
    this.viewport.follows = follows;
    this.viewport.setCount(lines.count);
    this.viewport.moveTo(follows ? this.viewport.last : top);
    this.viewport.draw();
    this.follow(follows);
  }

  // A link that shows the line wherever it is.
  linkTo(line) {
    const link = new URL(location.href);
    const address = new Address(link.hash);
    for (const name of ["at", "q", "level", "stream"]) address.query.delete(name);
    address.query.set("line", line);
    link.hash = address.hash;
    return link.href;
  }

  // Goes to the newest of all lines.
  toEnd() {
    this.filter.clear();
    this.follow(true);
  }

  key(event) {
    // what a key shows stays: a click before it no longer opens its line
    clearTimeout(this.opening);
    if (event.key === "/") this.filter.search.focus();
    else if (event.key === "f") this.follow(!this.viewport.follows);
    else if (event.key === "w") this.wrap(!this.viewport.isWrapped);
    else if (event.key === "g") this.viewport.by(-Infinity);
    else if (event.key === "G") this.follow(true);
    else if (event.key === "j") this.step(1);
    else if (event.key === "k") this.step(-1);
    else if (event.key !== "Escape") return false;
    else if (this.filter.clear()) return true;
    else if (!this.selected) return false;
    else this.show(null);
    return true;
  }

  note(text) {
    this.state.textContent = text;
  }

  close() {
    for (const timer of [this.announcing, this.noting, this.trying, this.opening]) clearTimeout(timer);
    this.filter.close();
    this.all.close();
    if (this.lines !== this.all) this.lines.close();
    this.viewport.close();
  }
}

function numberIn(text) {
  return Math.floor(Number(text)) || null;
}

function isNewDay(entry, before, index) {
  if (!entry || entry.gone) return false;
  if (index === 0) return true;
  if (!before || before.gone) return false;
  return new Date(entry.timestamp).toDateString() !== new Date(before.timestamp).toDateString();
}
