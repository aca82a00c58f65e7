// The About tab: the configuration, the notes, the tags and the timeline of a run.

import { element } from "../common/dom.js";
import { Deletion } from "./deletion.js";
import { Editable } from "./edit.js";
import { ObjectTable } from "./table.js";
import { Tags } from "./tags.js";
import { Timeline } from "./timeline.js";

// what of a run's metadata has a place of its own
const PLACED = ["name", "config", "tags", "notes", "summary"];

export class About {
  // `actions` has patch(fields) and deleted().
  constructor(id, instance, actions) {
    this.instance = instance;
    this.configuration = new ObjectTable("Configuration");
    this.experiment = new ObjectTable("Configuration of the experiment");
    this.summary = new ObjectTable("Summary");
    this.metadata = new ObjectTable("Other metadata");
    this.tables = [this.configuration, this.summary, this.metadata, this.experiment];
    this.none = element("p", { class: "faint" }, "This run has no configuration. In a script: athanor.init(…, config={\"lr\": 0.1})");
    this.text = element("div", { class: "notes" });
    this.notes = new Editable(this.text, "edit the notes", (notes) => actions.patch({ notes }), { isLong: true });
    this.tags = new Tags((tags) => actions.patch({ tags }));
    this.timeline = new Timeline(id);
    this.deletion = new Deletion(id, actions.deleted);
    this.noted = element("section", { class: "facts" }, element("h2", {}, "Notes"), this.notes.root);
    this.root = element("div", { class: "about" },
      element("div", {}, this.none, ...this.tables.map(({ root }) => root)),
      element("div", {}, this.noted, this.tags.root, this.timeline.root, this.deletion.root));
  }

  show(run, mayWrite) {
    const metadata = run.metadata ?? {};
    const isObject = metadata.config !== null && typeof metadata.config === "object" && !Array.isArray(metadata.config);
    this.configuration.show(isObject ? metadata.config : metadata.config === undefined ? {} : { config: metadata.config });
    this.experiment.show(this.instance.configuration);
    this.summary.show(metadata.summary === undefined ? {} : { ...object(metadata.summary, "summary") });
    this.metadata.show(Object.fromEntries(Object.entries(metadata).filter(([key]) => !PLACED.includes(key))));
    this.none.hidden = !this.configuration.root.hidden || !this.experiment.root.hidden;
    const notes = typeof metadata.notes === "string" ? metadata.notes : "";
    this.text.textContent = notes || (mayWrite ? "no notes yet" : "");
    this.text.classList.toggle("faint", !notes);
    this.notes.show(notes, mayWrite);
    this.noted.hidden = !notes && !mayWrite;
    this.tags.show(run, mayWrite);
    this.timeline.show(run);
    this.deletion.show(run, mayWrite);
  }

  // The tab is seen.
  open(run) {
    this.timeline.load(run);
  }

  key(event) {
    const search = this.tables.map((table) => table.search).find((field) => field.checkVisibility());
    if (event.key !== "/" || !search) return false;
    search.focus();
    return true;
  }

  close() {
    this.timeline.close();
  }
}

function object(value, name) {
  return value !== null && typeof value === "object" ? value : { [name]: value };
}
