// The head of a run: its names, status, times, progress and error, and what can be done with it.

import { request, runPath } from "../common/api.js";
import { element, statusPill } from "../common/dom.js";
import { ago, displayName, duration, moment } from "../common/format.js";
import { Bars } from "./bars.js";
import { confirmButton } from "./confirm.js";
import { Editable } from "./edit.js";
import { Failure } from "./failure.js";
import { tagList } from "./tags.js";

export class Head {
  // `actions` has patch(fields), toEnd() and toggleNotify(), which returns whether there will be a notification
  constructor(id, instance, actions) {
    this.id = id;
    this.name = element("span", { class: "name" });
    this.rename = new Editable(this.name, "rename the run", (name) => actions.patch({ name }), { maxlength: 200 });
    this.pill = element("span", { role: "status" });
    this.took = element("time", {});
    this.problem = element("span", { class: "warn", role: "alert" });
    this.notify = element("button", { type: "button", class: "small toggle notify", "aria-pressed": "false", onclick: async () => this.notify.setAttribute("aria-pressed", String(await actions.toggleNotify())) }, "Notify me");
    this.cancel = confirmButton("Cancel", "End this run?", () => this.post("cancel"));
    this.cancelling = element("button", { type: "button", class: "small", disabled: true }, "Cancelling…");
    this.fail = confirmButton("Mark as failed", "It gives no sign of life: end it?", () => this.post("fail", { error: "marked as failed on the page: it gave no sign of life" }));
    this.times = element("span", { class: "times" });
    this.tags = element("span", { class: "tags" });
    this.bars = new Bars();
    this.failure = new Failure(`#/runs/${encodeURIComponent(id)}/logs`, actions.toEnd);
    this.root = element("section", { class: "card head" },
      element("div", { class: "line first" },
        element("h1", {}, element("a", { href: `#/instances/${encodeURIComponent(instance.id)}`, title: "the experiment" }, instance.name), " / ", this.rename.root),
        this.pill, this.took, element("span", { class: "space" }), this.problem, this.notify, this.fail, this.cancel, this.cancelling),
      element("div", { class: "line faint small-text second" }, element("code", { class: "id" }, id), this.times, this.tags),
      this.bars.root, this.failure.root);
  }

  // `mayWrite`: the caller may change the run.
  show(run, mayWrite) {
    const isFinal = Boolean(run.completed_at);
    const isCancelling = run.status === "running" && Boolean(run.cancel_requested_at);
    this.name.textContent = displayName(run);
    this.rename.show(displayName(run), mayWrite);
    if (this.pill.textContent !== pillText(run)) this.pill.replaceChildren(statusPill(run));
    this.notify.hidden = isFinal || !("Notification" in window);
    this.cancel.hidden = isFinal || isCancelling || !mayWrite;
    this.cancelling.hidden = !isCancelling || !mayWrite;
    this.fail.hidden = !(run.status === "running" && run.stale) || !mayWrite;
    this.tags.replaceChildren(...tagList(run));
    this.showTimes(run);
    this.failure.show(run.error);
    if (isFinal) this.bars.end();
  }

  showTimes(run) {
    const time = (what, at) => at && element("span", {}, `${what} `, element("time", { datetime: at, title: ago(at) }, moment(at)));
    const shown = [time(run.started_at ? "began" : "created", run.started_at ?? run.created_at), time("ended", run.completed_at)].filter(Boolean);
    this.times.replaceChildren(...shown);
    this.tick(run);
  }

  tick(run) {
    const took = duration(run);
    if (this.took.textContent !== took) this.took.textContent = took;
    this.took.title = run.started_at ? `began ${ago(run.started_at)}` : "";
  }

  async post(what, body) {
    this.problem.textContent = "";
    const json = body && { headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) };
    try {
      await request(`${runPath(this.id)}/${what}`, { method: "POST", ...json });
    } catch (error) {
      this.problem.textContent = error.status ? error.message : "the service does not answer: try again";
    }
  }
}

function pillText(run) {
  return run.status === "running" && run.stale ? "stale" : run.status;
}
