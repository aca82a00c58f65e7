// The field with the filter: its text, what is wrong with it, and a help.

import { element } from "../common/dom.js";
import { statusCounts } from "./table.js";

const EXAMPLES = [
  ["some text", "in the name, id, experiment, status, tags, notes or error"],
  ["status:failed", "also running, stale, pending, completed, cancelled; status:failed,stale is one of both"],
  ["lr<1e-3", "a key of the configuration; also > <= >= = !=, and config.lr if a metric has the same name"],
  ["val/loss<0.2", "the last value of a metric; least.val/loss, greatest.val/loss and best.val/loss are others"],
  ["tag:baseline", "name: experiment: note: error: find a part of a text"],
  ["took>2h", "began>2026-11-20, age<1d, progress>50%"],
  ["-tag:old", "a minus before a term means: not"],
  ['"my key"=3', "quotes hold names and values with spaces or operators"],
];

export class FilterBox {
  // `onInput` is called with each text.
  constructor(text, placeholder, onInput) {
    this.onInput = onInput;
    this.input = element("input", { type: "search", class: "filter", placeholder, "aria-label": "filter runs", "aria-describedby": "filter-fault", autocomplete: "off", spellcheck: "false", oninput: () => onInput(this.input.value) });
    this.input.value = text;
    this.fault = element("p", { id: "filter-fault", class: "problem fault", role: "alert", hidden: true });
    this.help = element("div", { id: "filter-help", class: "card filter-help", hidden: true, role: "region", "aria-label": "how to filter" },
      element("p", {}, "A run is shown if all terms, with spaces between them, hold for it."),
      element("dl", {}, ...EXAMPLES.flatMap(([example, meaning]) => [element("dt", {}, element("button", { type: "button", class: "small", onclick: () => this.add(example) }, example)), element("dd", {}, meaning)])));
    this.toggle = element("button", { type: "button", class: "small", "aria-expanded": "false", "aria-controls": "filter-help", "aria-label": "how to filter", onclick: () => this.showHelp(this.help.hidden) }, "?");
    this.chips = element("span", { class: "chips", role: "group", "aria-label": "filter by status" });
  }

  get text() {
    return this.input.value;
  }

  set(text) {
    this.input.value = text;
    this.onInput(text);
  }

  add(term) {
    this.set(`${this.text.trim()} ${term}`.trim());
    this.input.focus();
  }

  showHelp(wanted) {
    this.help.hidden = !wanted;
    this.toggle.setAttribute("aria-expanded", String(wanted));
  }

  // Shows what is wrong with the text, and marks where.
  explain(fault) {
    this.input.setAttribute("aria-invalid", String(Boolean(fault)));
    this.fault.hidden = !fault;
    if (!fault) {
      this.said = null;
      return;
    }
    const said = `${fault.message}\n${fault.at}\n${this.text}`;
    if (said === this.said) return;
    this.said = said;
    const { at, length } = fault;
    this.fault.replaceChildren(
      `${fault.message} (character ${at + 1}): `,
      element("code", {}, this.text.slice(0, at), element("mark", {}, this.text.slice(at, at + length)), this.text.slice(at + length)));
  }

  // A button for each status with its count, which filters by it, or no longer.
  count(items) {
    const counts = statusCounts(items);
    const active = (status) => ` ${this.text} `.includes(` status:${status} `);
    for (const [status] of this.shown ?? []) if (active(status) && !counts.some(([each]) => each === status)) counts.push([status, 0]);
    const said = JSON.stringify([counts, this.text]);
    if (said === this.counted) return;
    this.counted = said;
    this.shown = counts;
    const focused = this.chips.contains(document.activeElement) ? document.activeElement.dataset.status : null;
    this.chips.replaceChildren(...counts.map(([status, count]) => element("button", { type: "button", class: `chip ${status}`, "data-status": status, "aria-pressed": String(active(status)), onclick: () => this.toggleStatus(status) }, `${count.toLocaleString("en")} ${status}`)));
    if (focused) this.chips.querySelector(`[data-status="${focused}"]`)?.focus();
  }

  toggleStatus(status) {
    const term = `status:${status}`;
    const terms = this.text.split(/\s+/).filter(Boolean);
    const others = terms.filter((each) => !/^status:\w+$/.test(each));
    this.set([...others, ...(terms.includes(term) ? [] : [term])].join(" "));
  }
}
