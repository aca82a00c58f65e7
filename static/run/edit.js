// A text that is edited in its place: a button turns it into a field; Enter saves, Escape leaves it as it was.

import { element } from "../common/dom.js";

export class Editable {
  // `what` names it, as in "rename the run"; `save(text)` stores it, and may raise ApiError. `options` has
  // isLong (several lines: Ctrl+Enter saves) and maxlength.
  constructor(shown, what, save, { isLong = false, maxlength = 65536 } = {}) {
    this.shown = shown;
    this.save = save;
    this.isLong = isLong;
    this.maxlength = maxlength;
    this.what = what;
    this.button = element("button", { type: "button", class: "small edit", "aria-label": what, title: what, onclick: () => this.open() }, "✎");
    this.problem = element("span", { class: "problem", role: "alert", hidden: true });
    this.root = element("span", { class: "editable" }, shown, this.button);
    this.text = "";
  }

  // Shows `text`; the field keeps what is being typed.
  show(text, mayWrite) {
    this.text = text;
    this.button.hidden = !mayWrite;
  }

  open() {
    const field = element(this.isLong ? "textarea" : "input", { "aria-label": this.what, maxlength: this.maxlength, rows: this.isLong ? 5 : null, onkeydown: (event) => this.key(event) });
    field.value = this.text;
    this.field = field;
    const save = element("button", { type: "submit", class: "small" }, "Save");
    const leave = element("button", { type: "button", class: "small", onclick: () => this.close() }, "Leave it");
    this.form = element("form", { class: "editing", onsubmit: (event) => this.submit(event) }, field, save, leave, this.problem);
    this.problem.hidden = true;
    this.root.replaceChildren(this.form);
    field.focus();
    field.select();
  }

  key(event) {
    if (event.key === "Escape") {
      event.stopPropagation();
      this.close();
    } else if (event.key === "Enter" && this.isLong && (event.ctrlKey || event.metaKey)) {
      this.form.requestSubmit();
    }
  }

  async submit(event) {
    event.preventDefault();
    const { value } = this.field;
    const { form } = this;
    try {
      if (value !== this.text) await this.save(value);
      // left meanwhile, and perhaps open again
      if (form.isConnected) this.close();
    } catch (error) {
      this.problem.textContent = error.status ? error.message : "not saved: the service does not answer";
      this.problem.hidden = false;
    }
  }

  close() {
    this.form = null;
    this.root.replaceChildren(this.shown, this.button);
    this.button.focus();
  }
}
