// The dialog that changes runs: name, tags, notes; cancel, mark as failed, delete. For one run, or several at once.

import { request, runPath } from "../common/api.js";
import { element } from "../common/dom.js";
import { counted, displayName } from "../common/format.js";
import { tagsOf, textOf } from "./columns.js";

// milliseconds in which a second press confirms
const SURE = 6000;
// requests at once
const PARALLEL = 4;

export class Editor {
  // `returnTo(id)` puts the focus back when the dialog closes.
  constructor(returnTo) {
    this.returnTo = returnTo;
    this.root = element("dialog", { class: "editor", "aria-labelledby": "editor-title", onclose: () => this.closed(), oncancel: (event) => this.cancelled(event) });
    this.items = [];
  }

  // Opens for some items; `part` is "delete" to begin at that button.
  open(items, part = null) {
    this.items = items;
    this.state = element("p", { class: "problem", role: "alert" });
    const isOne = items.length === 1;
    const title = isOne ? displayName(items[0].run) : counted(items.length, "run");
    const form = element("form", { method: "dialog", onsubmit: (event) => this.save(event) },
      element("h2", { id: "editor-title" }, title), ...(isOne ? this.fieldsOfOne(items[0].run) : this.fieldsOfMany()),
      element("div", { class: "line" }, element("button", { type: "submit" }, "Save"), element("button", { type: "button", onclick: () => this.close() }, "Close")));
    this.root.replaceChildren(form, element("div", { class: "line dangers" }, ...this.dangers()), this.state);
    this.root.showModal();
    if (part === "delete") this.root.querySelector("[data-part=delete]")?.focus();
    else this.root.querySelector("input")?.focus();
  }

  fieldsOfOne(run) {
    this.fields = {
      name: element("input", { type: "text", maxlength: 1000 }),
      tags: element("input", { type: "text", placeholder: "baseline, sweep 3" }),
      notes: element("textarea", { rows: 4 }),
    };
    this.fields.name.value = textOf(run.metadata?.name);
    this.fields.tags.value = tagsOf(run).join(", ");
    this.fields.notes.value = textOf(run.metadata?.notes);
    this.before = this.values();
    return [field("Name", this.fields.name), field("Tags, with commas between them", this.fields.tags), field("Notes", this.fields.notes)];
  }

  fieldsOfMany() {
    this.fields = { add: element("input", { type: "text", placeholder: "baseline" }), drop: element("input", { type: "text" }) };
    return [field("Add tags, with commas between them", this.fields.add), field("Remove tags", this.fields.drop)];
  }

  values() {
    return Object.fromEntries(Object.entries(this.fields).map(([name, { value }]) => [name, value]));
  }

  async save(event) {
    event.preventDefault();
    const values = this.values();
    const isOne = this.items.length === 1;
    const change = isOne ? this.changeOfOne(values) : null;
    if (isOne && !Object.keys(change).length) {
      this.close();
      return;
    }
    const [add, drop] = [listed(values.add ?? ""), listed(values.drop ?? "")];
    const ok = await this.all(this.items, "changed", ({ run }) => {
      const body = change ?? { tags: [...new Set([...tagsOf(run), ...add])].filter((tag) => !drop.includes(tag)) };
      return request(runPath(run.id), { method: "PATCH", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });
    });
    if (ok) this.close();
  }

  // Only what was changed: another may have changed the rest meanwhile.
  changeOfOne({ name, tags, notes }) {
    const change = {};
    if (name !== this.before.name) change.name = name.trim() || null;
    if (tags !== this.before.tags) change.tags = listed(tags);
    if (notes !== this.before.notes) change.notes = notes || null;
    return change;
  }

  dangers() {
    const active = this.items.filter(({ run }) => ["running", "pending"].includes(run.status) && !run.cancel_requested_at);
    const stale = this.items.filter(({ run }) => run.status === "running" && run.stale);
    const ended = this.items.filter(({ run }) => run.status !== "running");
    const post = (action, body) => ({ run }) => request(`${runPath(run.id)}/${action}`, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });
    const some = (items) => (this.items.length === 1 ? "" : ` ${counted(items.length, "run")}`);
    const buttons = [];
    if (active.length) buttons.push(this.danger(`Cancel${some(active)}`, "End what runs?", active, "asked to end", post("cancel", {})));
    if (stale.length) buttons.push(this.danger(`Mark${some(stale)} as failed`, "It has no sign of life: failed?", stale, "marked as failed", post("fail", { error: "marked as failed: no sign of life" })));
    if (ended.length) buttons.push(this.danger(`Delete${some(ended)}`, `Delete ${ended.length === 1 ? "it" : counted(ended.length, "run")} for good, with logs and results?`, ended, "deleted", ({ run }) => request(runPath(run.id), { method: "DELETE" }), "delete"));
    const kept = this.items.length - ended.length;
    if (kept) buttons.push(element("span", { class: "faint" }, `${this.items.length === 1 ? "a" : kept} running ${kept === 1 ? "run" : "runs"} can't be deleted`));
    return buttons;
  }

  // The first press asks, in the button itself; the second one does it.
  danger(label, question, items, done, act, part = null) {
    let timer = 0;
    const calm = () => {
      clearTimeout(timer);
      timer = 0;
      button.textContent = label;
      button.classList.remove("sure");
    };
    const press = async () => {
      if (!timer) {
        button.textContent = question;
        button.classList.add("sure");
        timer = setTimeout(calm, SURE);
        return;
      }
      calm();
      if (await this.all(items, done, act)) this.close();
    };
    const button = element("button", { type: "button", class: "danger", "data-part": part, onclick: press, onblur: calm }, label);
    return button;
  }

  // Does one thing to all items; says which ones could not. Returns whether all could, and the dialog is still theirs.
  async all(items, done, act) {
    const faults = [];
    const waiting = [...items];
    const { state } = this;
    state.textContent = "";
    const work = async () => {
      for (let item = waiting.shift(); item; item = waiting.shift()) {
        try {
          await act(item);
        } catch (error) {
          faults.push(`${displayName(item.run)}: ${error.status ? error.message : "the service does not answer"}`);
        }
      }
    };
    await Promise.all(Array.from({ length: PARALLEL }, work));
    if (faults.length) state.textContent = `${items.length > 1 ? `${items.length - faults.length} of ${items.length} ${done}. ` : ""}${faults.slice(0, 5).join("; ")}`;
    return !faults.length && state.isConnected;
  }

  close() {
    this.root.close();
    this.closed();
  }

  // Esc closes at once: what the reader does next finds the focus where it stays.
  cancelled(event) {
    event.preventDefault();
    this.close();
  }

  // A browser tells of a close later, when the dialog may be open again.
  closed() {
    if (this.root.open || !this.items.length) return;
    const [{ id }] = this.items;
    this.items = [];
    this.root.replaceChildren();
    this.returnTo(id);
  }
}

function field(label, input) {
  return element("label", { class: "field" }, element("span", {}, label), input);
}

function listed(text) {
  return [...new Set(text.split(",").map((tag) => tag.trim()).filter(Boolean))];
}
