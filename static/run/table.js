// An object as a table: nested keys are dotted. Long tables have a filter; all of it can be copied as JSON.

import { copyButton, element } from "../common/dom.js";
import { counted } from "../common/format.js";
import { text } from "../common/json.js";

// rows above which there is a filter
const FEW = 12;
const MOST_ROWS = 500;
const MOST_SHOWN = 2000;

export class ObjectTable {
  constructor(title) {
    this.search = element("input", { type: "search", placeholder: "Filter  /", "aria-label": `filter ${title.toLowerCase()}`, oninput: () => this.draw() });
    this.body = element("tbody", {});
    this.note = element("p", { class: "faint" });
    this.root = element("section", { class: "facts" },
      element("div", { class: "line" }, element("h2", {}, title), this.search, element("span", { class: "space" }), copyButton(() => text(this.value, 2), "Copy as JSON")),
      element("table", { "aria-label": title }, this.body), this.note);
  }

  // Shows an object; the table is hidden if it is empty.
  show(value) {
    const now = text(value ?? {});
    if (now === this.now) return;
    this.now = now;
    this.value = value ?? {};
    this.rows = flat(this.value, "");
    this.root.hidden = this.rows.length === 0;
    this.search.hidden = this.rows.length <= FEW;
    this.draw();
  }

  draw() {
    const wanted = this.search.value.toLowerCase();
    const found = this.rows.filter(([key, value]) => key.toLowerCase().includes(wanted) || value.toLowerCase().includes(wanted));
    this.body.replaceChildren(...found.slice(0, MOST_ROWS).map(([key, value]) =>
      element("tr", {}, element("th", { scope: "row" }, key), element("td", {}, value.length > MOST_SHOWN ? `${value.slice(0, MOST_SHOWN)}… (${counted(value.length, "character")})` : value))));
    const more = found.length - MOST_ROWS;
    this.note.textContent = more > 0 ? `and ${counted(more, "row")} more: filter them` : found.length ? "" : "nothing matches";
  }
}

// The rows of an object as [key, text].
function flat(value, key) {
  const isObject = value !== null && typeof value === "object" && !Array.isArray(value) && Object.keys(value).length;
  if (isObject) return Object.entries(value).flatMap(([name, child]) => flat(child, key ? `${key}.${name}` : name));
  if (!key) return [];
  return [[key, typeof value === "string" ? value : text(value)]];
}
