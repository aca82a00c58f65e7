// The panel that chooses columns. An experiment may have thousands of metrics: a search finds them, and only the first
// that match are listed.

import { element } from "../common/dom.js";
import { counted } from "../common/format.js";
import { DIFFERING, FIXED, METRICS } from "./columns.js";

const MOST_LISTED = 60;
const WHICH = ["last", "least", "greatest"];

export class ColumnChooser {
  // `source` is an arrangement; `onChange` follows each choice.
  constructor(source, onChange) {
    this.source = source;
    this.onChange = onChange;
    this.search = element("input", { type: "search", placeholder: "Search columns", "aria-label": "search columns", oninput: () => this.list() });
    this.content = element("div", { class: "chooser-list" });
    this.root = element("div", { id: "columns", class: "card chooser", hidden: true, role: "dialog", "aria-label": "columns", onkeydown: (event) => this.key(event) },
      element("div", { class: "line" }, this.search,
        element("button", { type: "button", class: "small", onclick: () => this.reset() }, "Standard"),
        element("button", { type: "button", class: "small", onclick: () => this.show(false) }, "Close")),
      this.content);
    this.button = element("button", { type: "button", class: "small", "aria-expanded": "false", "aria-controls": "columns", onclick: () => this.show(this.root.hidden) }, "Columns");
  }

  show(wanted) {
    const hadFocus = this.root.contains(document.activeElement);
    this.root.hidden = !wanted;
    this.button.setAttribute("aria-expanded", String(wanted));
    if (wanted) {
      this.list();
      this.search.focus();
    } else if (hadFocus) this.button.focus();
  }

  key(event) {
    if (event.key !== "Escape") return;
    this.show(false);
    event.stopPropagation();
    event.preventDefault();
  }

  reset() {
    this.source.tokens = this.source.standard;
    this.changed();
  }

  changed() {
    this.onChange();
    this.list();
  }

  list() {
    if (this.root.hidden) return;
    const wanted = this.search.value.trim().toLowerCase();
    const has = (text) => text.toLowerCase().includes(wanted);
    const shown = new Set(this.source.expand());
    const automatic = [[DIFFERING, "keys of the configuration that differ"], [METRICS, "leading metrics"]].filter(([, title]) => has(title));
    const configs = [...this.source.names.configs.keys()].filter(has).sort();
    const metrics = this.source.metrics.map(({ key }) => key).filter(has);
    const focused = document.activeElement?.dataset?.column;
    this.content.replaceChildren(...[
      this.part("Automatic", automatic.map(([token, title]) => this.box(token, title, this.source.tokens.includes(token)))),
      this.part("Run", FIXED.filter(({ title }) => has(title)).map(({ id, title }) => this.box(id, title, shown.has(id)))),
      this.part("Configuration", this.bounded(configs, (key) => this.box(`config.${key}`, key, shown.has(`config.${key}`)))),
      this.part("Metrics", this.bounded(metrics, (key) => this.metric(key, shown))),
    ].filter(Boolean));
    if (!this.content.childElementCount) this.content.append(element("p", { class: "faint" }, "no column matches"));
    if (focused) [...this.content.querySelectorAll("input")].find(({ dataset }) => dataset.column === focused)?.focus();
  }

  part(title, rows) {
    return rows.length ? element("fieldset", {}, element("legend", {}, title), ...rows) : null;
  }

  bounded(keys, row) {
    const rows = keys.slice(0, MOST_LISTED).map(row);
    if (keys.length > MOST_LISTED) rows.push(element("p", { class: "faint" }, `and ${counted(keys.length - MOST_LISTED, "more").replace(/s$/, "")}: search for them`));
    return rows;
  }

  box(id, title, isShown, name = title) {
    const input = element("input", { type: "checkbox", "aria-label": name, "data-column": id, onchange: () => {
      this.source.show(id, input.checked);
      this.changed();
    } });
    input.checked = isShown;
    return element("label", { class: "column-choice", title: name }, input, element("span", {}, title));
  }

  metric(key, shown) {
    return element("div", { class: "metric-choice", role: "group", "aria-label": key },
      element("span", { class: "metric-key", title: key }, key), ...WHICH.map((which) => this.box(`${which}.${key}`, which, shown.has(`${which}.${key}`), `${which} of ${key}`)));
  }
}
