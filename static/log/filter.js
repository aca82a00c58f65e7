// Which lines are shown: a text, the lowest level, and the stream of captured output. All of it is in the address.

import { element } from "../common/dom.js";
import { counted } from "../common/format.js";
import { Needle } from "./needle.js";

export const LEVELS = ["debug", "info", "warn", "error"];
// milliseconds without a key after which a search begins
const TYPING = 200;
const MOST_STREAMS = 8;

export class Filter {
  // `onChange()` is called when other lines are wanted
  constructor(address, onChange) {
    this.address = address;
    this.onChange = onChange;
    this.search = element("input", { type: "search", placeholder: "Search  /", "aria-label": "search lines", maxlength: "256", oninput: () => this.typed(), onkeydown: (event) => event.key === "Enter" && this.change() });
    this.level = element("select", { "aria-label": "lowest level", onchange: () => this.change() },
      ...LEVELS.map((level, at) => element("option", { value: level }, at ? `${level} and above` : "all levels")));
    this.stream = element("select", { "aria-label": "output", hidden: true, onchange: () => this.change() }, element("option", { value: "" }, "all output"));
    this.streams = new Set();
    const shortcut = (level) => element("button", { type: "button", class: `small toggle level ${level}`, hidden: true, onclick: () => this.toggle(level) });
    this.shortcuts = { error: shortcut("error"), warn: shortcut("warn") };
    this.search.value = address.get("q") ?? "";
    if (LEVELS.includes(address.get("level"))) this.level.value = address.get("level");
    if (address.get("stream")) this.offer(address.get("stream"), true);
    this.read();
  }

  read() {
    this.q = this.search.value;
    this.needle = this.q ? new Needle(this.q) : null;
    this.levels = this.level.value === "debug" ? null : LEVELS.slice(LEVELS.indexOf(this.level.value));
    this.wantedStream = this.stream.value;
  }

  get isEmpty() {
    return !this.q && !this.levels && !this.wantedStream;
  }

  // What the lines are selected by, as Matches take it.
  get wanted() {
    return { q: this.q, needle: this.needle, levels: this.levels, stream: this.wantedStream };
  }

  // Offers the streams that the run has lines of.
  see(entries) {
    for (const { metadata } of entries) if (metadata?.stream) this.offer(metadata.stream, false);
  }

  offer(stream, isChosen) {
    const isNew = !this.streams.has(stream);
    if (typeof stream !== "string" || stream.length > 64 || (isNew && this.streams.size === MOST_STREAMS)) return;
    if (isNew) this.stream.append(element("option", { value: stream }, `only ${stream}`));
    this.streams.add(stream);
    this.stream.hidden = false;
    if (isChosen) this.stream.value = stream;
  }

  // Shows how many warnings and errors there are, each a shortcut; `counts` are the lines of each level.
  showCounts(counts) {
    for (const [level, button] of Object.entries(this.shortcuts)) {
      const count = counts[level] ?? 0;
      button.hidden = count === 0;
      button.textContent = counted(count, level === "warn" ? "warning" : level);
      button.setAttribute("aria-pressed", String(this.level.value === level));
    }
  }

  // Selects the level, or all levels again.
  toggle(level) {
    this.level.value = this.level.value === level ? "debug" : level;
    this.change();
  }

  typed() {
    clearTimeout(this.typing);
    this.typing = setTimeout(() => this.change(), TYPING);
  }

  change() {
    clearTimeout(this.typing);
    const before = JSON.stringify([this.q, this.levels, this.wantedStream]);
    this.read();
    if (before === JSON.stringify([this.q, this.levels, this.wantedStream])) return;
    for (const [level, button] of Object.entries(this.shortcuts)) button.setAttribute("aria-pressed", String(this.level.value === level));
    this.address.set({ q: this.q, level: this.levels ? this.level.value : null, stream: this.wantedStream });
    this.onChange();
  }

  // Returns whether there was something to clear.
  clear() {
    if (this.isEmpty && !this.search.value) return false;
    this.search.value = "";
    this.level.value = "debug";
    this.stream.value = "";
    this.change();
    return true;
  }

  close() {
    clearTimeout(this.typing);
  }
}
