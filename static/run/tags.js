// The tags of a run: shown, and edited one by one.

import { element } from "../common/dom.js";

// A run's tags as texts; its metadata may have anything there.
export function tagsOf(run) {
  const tags = run.metadata?.tags ?? [];
  return (Array.isArray(tags) ? tags : [tags]).filter((tag) => typeof tag === "string" && tag).slice(0, 100);
}

export function tagList(run) {
  return tagsOf(run).map((tag) => element("span", { class: "tag" }, tag));
}

export class Tags {
  // `save(tags)` stores them, and may raise ApiError.
  constructor(save) {
    this.save = save;
    this.list = element("span", { class: "tags" });
    this.field = element("input", { type: "text", maxlength: "64", placeholder: "add a tag", "aria-label": "add a tag" });
    this.form = element("form", { class: "editing", onsubmit: (event) => this.add(event) }, this.field, element("button", { type: "submit", class: "small" }, "Add"));
    this.problem = element("p", { class: "problem", role: "alert", hidden: true });
    this.root = element("section", { class: "facts" }, element("h2", {}, "Tags"), element("div", { class: "line" }, this.list, this.form), this.problem);
  }

  show(run, mayWrite) {
    this.tags = tagsOf(run);
    this.form.hidden = !mayWrite;
    this.root.hidden = !mayWrite && !this.tags.length;
    const remove = (tag) => element("button", { type: "button", class: "small", "aria-label": `remove the tag ${tag}`, onclick: () => this.store(this.tags.filter((each) => each !== tag)) }, "✕");
    this.list.replaceChildren(...this.tags.map((tag) => element("span", { class: "tag" }, tag, mayWrite ? remove(tag) : null)));
  }

  async add(event) {
    event.preventDefault();
    const tag = this.field.value.trim();
    if (!tag) return;
    if (await this.store([...new Set([...this.tags, tag])])) this.field.value = "";
  }

  // Returns whether it is stored.
  async store(tags) {
    this.problem.hidden = true;
    try {
      await this.save(tags);
      this.field.focus();
      return true;
    } catch (error) {
      this.problem.textContent = error.status ? error.message : "not saved: the service does not answer";
      this.problem.hidden = false;
      return false;
    }
  }
}
