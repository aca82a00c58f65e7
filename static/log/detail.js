// The whole of one line, below the list: all lines of its message, and its metadata.

import { copyButton, element } from "../common/dom.js";
import { number } from "../common/format.js";
import { text } from "../common/json.js";
import { plain, styled } from "./ansi.js";
import { paint } from "./row.js";

const MOST_METADATA = 65536;

export class Detail {
  // `link()` returns the address of the line
  constructor(onClose, link) {
    this.onClose = onClose;
    this.link = link;
    this.root = element("section", { class: "detail", hidden: true, tabindex: "0", "aria-label": "the line" });
  }

  get isOpen() {
    return !this.root.hidden;
  }

  // Shows an entry with marks where `needle` is; nothing without one.
  show(entry, needle) {
    this.root.hidden = !entry || Boolean(entry.gone);
    if (this.root.hidden) return;
    const { text: all, parts } = styled(entry.message);
    const message = element("pre", { class: "whole" });
    paint(message, all, parts, 0, all.length, needle?.places(all));
    const metadata = element("pre", { class: "whole" });
    const json = entry.metadata ? text(entry.metadata, 2).slice(0, MOST_METADATA) : "";
    paint(metadata, json, [], 0, json.length, needle?.placesInMetadata(json));
    this.root.replaceChildren(
      element("div", { class: "line" },
        element("strong", {}, `line ${number(entry.seq)}`), element("span", { class: `level ${entry.level}` }, entry.level),
        element("time", { datetime: entry.timestamp }, new Date(entry.timestamp).toLocaleString()),
        element("span", { class: "space" }),
        copyButton(() => plain(entry.message)), copyButton(this.link, "Copy link"),
        element("button", { type: "button", class: "small", "aria-label": "close", onclick: this.onClose }, "✕")),
      message,
      ...(entry.metadata ? [metadata] : []),
    );
  }
}
