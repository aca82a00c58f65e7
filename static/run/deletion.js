// Deletes a run, after a question that says what goes with it.

import { request, runPath } from "../common/api.js";
import { element } from "../common/dom.js";
import { counted, displayName } from "../common/format.js";

export class Deletion {
  // `onDeleted()` is called when the run is gone.
  constructor(id, onDeleted) {
    this.id = id;
    this.onDeleted = onDeleted;
    this.button = element("button", { type: "button", class: "small danger", onclick: () => this.ask() }, "Delete this run…");
    this.hint = element("span", { class: "faint" });
    this.question = element("p", {});
    this.problem = element("p", { class: "problem", role: "alert", hidden: true });
    this.dialog = element("dialog", { "aria-label": "delete the run" },
      element("h2", {}, "Delete this run?"), this.question, this.problem,
      element("div", { class: "line" },
        element("button", { type: "button", onclick: () => this.dialog.close() }, "Keep it"),
        element("button", { type: "button", class: "danger", onclick: () => this.delete() }, "Delete")));
    this.root = element("section", { class: "facts line" }, this.button, this.hint, this.dialog);
  }

  show(run, mayWrite) {
    this.run = run;
    this.root.hidden = !mayWrite;
    this.button.disabled = run.status === "running";
    this.hint.textContent = run.status === "running" ? "A running run can't be deleted: cancel it first." : "";
  }

  ask() {
    this.problem.hidden = true;
    this.question.textContent = `${displayName(this.run)}, with ${counted(this.run.log_count, "line")} and ${counted(this.run.result_count, "result")}. This can't be undone.`;
    this.dialog.showModal();
  }

  async delete() {
    try {
      await request(runPath(this.id), { method: "DELETE" });
      this.dialog.close();
      this.onDeleted();
    } catch (error) {
      this.problem.textContent = error.status ? error.message : "the service does not answer: try again";
      this.problem.hidden = false;
    }
  }
}
