// Why a run has failed: the last line of its error, and on demand all of it.

import { element } from "../common/dom.js";
import { lastLine } from "../common/format.js";
import { plain } from "../log/ansi.js";

export class Failure {
  // `link` leads to the last log lines; `showLines()` goes there within the page
  constructor(link, showLines) {
    this.line = element("code", { class: "error-line" });
    this.button = element("button", { type: "button", class: "small", "aria-expanded": "false", "aria-controls": "whole-error", onclick: () => this.toggle() }, "Whole error");
    const go = (event) => {
      if (event.ctrlKey || event.metaKey || event.shiftKey) return;
      event.preventDefault();
      showLines();
    };
    this.whole = element("pre", { class: "error", id: "whole-error", hidden: true, tabindex: "0", "aria-label": "the run's error" });
    this.root = element("div", { class: "failure", hidden: true },
      element("div", { class: "line" }, this.line, this.button, element("a", { class: "small-text", href: link, onclick: go }, "last log lines")), this.whole);
  }

  show(error) {
    this.root.hidden = !error;
    const text = plain(error ?? "");
    if (text === this.whole.textContent) return;
    this.whole.textContent = text;
    this.line.textContent = lastLine(text);
    this.button.hidden = this.line.textContent === text.trim();
  }

  toggle() {
    this.whole.hidden = !this.whole.hidden;
    this.button.setAttribute("aria-expanded", String(!this.whole.hidden));
    this.whole.scrollTop = this.whole.scrollHeight;
  }
}
