// One line in the document: its number, time, level, message and metadata.

import { serviceNow } from "../common/clock.js";
import { element } from "../common/dom.js";
import { clock, number } from "../common/format.js";
import { text } from "../common/json.js";
import { styled } from "./ansi.js";

// characters of a message in a row: no screen is wider, and the layout of 256 KiB takes long
const MOST_SHOWN = 4000;
const MOST_METADATA = 200;
// lines of one message where lines wrap
const MOST_LINES = 100;
const MOST_PARTS = 300;
const DAY = new Intl.DateTimeFormat(undefined, { weekday: "short", month: "short", day: "numeric" });
const DAY_AND_YEAR = new Intl.DateTimeFormat(undefined, { year: "numeric", month: "short", day: "numeric" });

export class Row {
  constructor() {
    this.seq = element("span", { class: "seq" });
    this.time = element("time");
    this.level = element("span", { class: "level" });
    this.day = element("span", { class: "day", hidden: true });
    this.message = element("span", { class: "message" });
    // the keyboard's way is Enter (log.js)
    this.more = element("button", { type: "button", class: "more", tabindex: "-1", hidden: true });
    this.metadata = element("span", { class: "metadata" });
    this.root = element("div", { class: "row" }, this.seq, this.time, this.level, this.day, this.message, this.more, this.metadata);
    this.root.line = this;
    this.shown = {};
  }

  // Shows line `seq`; `entry` is undefined as long as it is loading. `look` has needle (or null), isWrapped,
  // isSelected and isNewDay. The document changes only if something of it has changed: a selection stays.
  show(seq, entry, look) {
    const before = this.shown;
    this.shown = { seq, entry, ...look };
    const isKnown = Boolean(entry && !entry.gone);
    const isDay = isKnown && look.isNewDay;
    this.root.className = `row ${isKnown ? entry.level : "unknown"}${look.isSelected ? " selected" : ""}${isDay ? " new-day" : ""}`;
    if (isDay && this.day.hidden) this.day.textContent = dayOf(entry.timestamp);
    this.day.hidden = !isDay;
    if (before.seq === seq && before.entry === entry && before.needle === look.needle && before.isWrapped === look.isWrapped) return;
    this.root.dataset.seq = entry ? seq : "";
    this.seq.textContent = number(seq);
    this.time.textContent = isKnown ? clock(entry.timestamp) : "";
    this.time.title = isKnown ? new Date(entry.timestamp).toLocaleString() : "";
    this.level.textContent = isKnown ? entry.level : "";
    this.day.textContent = isDay ? dayOf(entry.timestamp) : "";
    this.others = 0;
    if (isKnown) this.showMessage(entry, look);
    else this.message.textContent = entry ? "deleted by retention" : "…";
    this.more.hidden = this.others === 0;
    this.more.textContent = `+${number(this.others)}`;
    this.more.setAttribute("aria-label", `show ${number(this.others)} more lines of this message`);
    this.showMetadata(isKnown ? entry.metadata : null, look.needle);
  }

  showMessage(entry, { needle, isWrapped }) {
    const { text, parts } = styled(entry.message);
    const [begin, end, others] = excerpt(text, needle, isWrapped ? MOST_LINES : 1);
    this.others = others;
    paint(this.message, text, parts, begin, Math.min(end, begin + MOST_SHOWN), needle?.places(text));
    if (end > begin + MOST_SHOWN) this.message.append("…");
  }

  showMetadata(metadata, needle) {
    const all = metadata ? text(metadata) : "";
    const marks = needle?.placesInMetadata(all);
    const [at] = marks?.[0] ?? [0];
    const begin = at > MOST_METADATA / 2 ? at - 20 : 0;
    const end = Math.min(all.length, begin + MOST_METADATA);
    paint(this.metadata, all, [], begin, end, marks);
    if (begin) this.metadata.prepend("…");
    if (end < all.length) this.metadata.append("…");
  }
}

function dayOf(timestamp) {
  const day = new Date(timestamp);
  return (day.getFullYear() === new Date(serviceNow()).getFullYear() ? DAY : DAY_AND_YEAR).format(day);
}

// The part of a message that a row shows: its last lines, or one that matches if the last ones do not.
// Returns where it begins and ends, and the number of other lines.
function excerpt(text, needle, most) {
  const whole = text.trimEnd().length || text.length;
  if (!text.slice(0, whole).includes("\n")) return [0, whole, 0];
  const ends = [];
  for (let at = text.indexOf("\n"); at >= 0 && at < whole; at = text.indexOf("\n", at + 1)) ends.push(at);
  const count = ends.length + 1;
  const from = Math.max(0, count - most);
  const begin = from ? ends[from - 1] + 1 : 0;
  const matches = needle?.places(text) ?? [];
  if (most === 1 && matches.length && !matches.some(([at]) => at >= begin)) {
    const line = ends.findIndex((end) => end >= matches[0][0]);
    return [line ? ends[line - 1] + 1 : 0, ends[line], count - 1];
  }
  return [begin, whole, from];
}

// Fills the element `into` with a part of `text`, with its styled parts and with marks, which have their places.
export function paint(into, text, parts, begin, end, marks = []) {
  if (!parts.length && !marks.length) {
    into.textContent = text.slice(begin, end);
    return;
  }
  const edges = [...parts, ...marks].flatMap(([from, to]) => [from, to]).filter((edge) => edge > begin && edge < end);
  const cuts = [...new Set([begin, ...edges, end])].sort((one, other) => one - other);
  const made = [];
  let part = 0;
  let mark = 0;
  for (let at = 0; at + 1 < cuts.length; at += 1) {
    const from = cuts[at];
    if (at === MOST_PARTS) {
      made.push(text.slice(from, end));
      break;
    }
    while (parts[part]?.[1] <= from) part += 1;
    while (marks[mark]?.[1] <= from) mark += 1;
    const piece = text.slice(from, cuts[at + 1]);
    const classes = parts[part]?.[0] <= from ? parts[part][2] : null;
    if (marks[mark]?.[0] <= from) made.push(element("mark", { class: classes }, piece));
    else made.push(classes ? element("span", { class: classes }, piece) : piece);
  }
  into.replaceChildren(...made);
}
