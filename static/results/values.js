// The values of a key that are no numbers, the newest first; loaded when they are seen.

import { getExactJson, runPath } from "../common/api.js";
import { element } from "../common/dom.js";
import { counted } from "../common/format.js";
import { numberOf } from "./point.js";
import { isMatrix, isTable, matrix, records } from "./table.js";
import { brief, tree } from "./tree.js";

const NEWEST = Number.MAX_SAFE_INTEGER;
const PAGE = 20;
// pages that are read for one value, if the key has numbers too
const MOST_PAGES = 20;
const MOST_VALUES = 200;

export class Values {
  constructor(run, key) {
    this.run = run;
    this.key = key;
    this.values = new Map();
    this.state = element("span", { class: "faint", role: "status" });
    this.list = element("div", {});
    this.older = element("button", { type: "button", class: "small", hidden: true, onclick: () => this.load(this.oldest) }, "older values");
    this.root = element("section", { class: "card", "aria-label": key }, element("div", { class: "line" }, element("h3", {}, key), this.state), this.list, this.older);
  }

  see(isSeen) {
    if (!isSeen || this.hasBegun) return;
    this.hasBegun = true;
    this.load(NEWEST);
  }

  // Reads values before a seq, until some are no numbers.
  async load(before) {
    const loading = (this.loading = {});
    this.state.textContent = "loading";
    this.older.hidden = true;
    try {
      let found = [];
      let next = before;
      for (let pages = 0; pages < MOST_PAGES && !found.length && next; pages += 1) {
        const query = new URLSearchParams({ key: this.key, before: next, limit: PAGE });
        const page = await getExactJson(`${runPath(this.run)}/results?${query}`);
        if (loading !== this.loading) return;
        found = page.results.filter(isOther);
        next = page.next ? page.results[0]?.seq : null;
      }
      this.oldest = next;
      this.add(found);
      this.state.textContent = "";
    } catch (error) {
      if (loading !== this.loading) return;
      this.state.textContent = error.status ? error.message : "the service does not answer";
      this.oldest = before;
    }
    this.older.hidden = !this.oldest || this.values.size >= MOST_VALUES;
  }

  append(result) {
    if (isOther(result)) this.add([result]);
  }

  // Values that came in a pause are missing between what is here and what comes.
  resume() {
    if (!this.hasBegun) return;
    this.values.clear();
    this.list.replaceChildren();
    this.load(NEWEST);
  }

  // Live values may be in a page too: each is there once.
  add(results) {
    for (const result of results) if (!this.values.has(result.seq)) this.values.set(result.seq, this.entry(result));
    const seqs = [...this.values.keys()].sort((one, other) => other - one);
    for (const seq of seqs.slice(MOST_VALUES)) this.values.delete(seq);
    seqs.slice(0, MOST_VALUES).forEach((seq, at) => {
      const entry = this.values.get(seq);
      if (this.list.children[at] !== entry) this.list.insertBefore(entry, this.list.children[at] ?? null);
    });
    while (this.list.childElementCount > this.values.size) this.list.lastElementChild.remove();
    const first = this.list.firstElementChild;
    if (first?.matches(".shown") && !this.wasOpened) first.open = this.wasOpened = true;
    this.state.textContent = counted(this.values.size, "value");
  }

  entry({ value, step, timestamp }) {
    const name = step == null ? new Date(timestamp).toLocaleString() : `step ${step}`;
    const make = isMatrix(value) ? matrix : isTable(value) ? records : null;
    if (!make) return tree(value, name, 0);
    const size = element("span", { class: "faint" }, Array.isArray(value) ? `[${value.length}]` : brief(value));
    const root = element("details", { class: "shown" }, element("summary", {}, element("span", { class: "key" }, `${name}: `), size));
    root.addEventListener("toggle", () => root.open && root.childElementCount === 1 && root.append(make(value)));
    return root;
  }

  close() {
    this.loading = null;
    this.root.remove();
  }
}

function isOther({ value }) {
  return numberOf(value) === undefined;
}
