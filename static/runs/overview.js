// All instances with their newest runs, updated by the stream.

import { getJson } from "../common/api.js";
import { copyButton, element, statusPill } from "../common/dom.js";
import { counted, displayName, duration, lastLine, number } from "../common/format.js";
import { RunList } from "./list.js";
import { Stream } from "../stream/stream.js";

const RUNS_SHOWN = 5;
const CARDS_SHOWN = 100;

export class Overview extends RunList {
  constructor(root, route, shell) {
    super(root, shell);
    this.instances = new Map();
    this.counts = new Map();
    shell.title("Athanor", null);
  }

  async start() {
    const instances = await getJson("instances?limit=1000");
    const runs = await getJson("runs?limit=1000");
    if (this.closed) return;
    this.search = element("input", { type: "search", placeholder: "Search instances and runs  /", "aria-label": "search instances and runs", oninput: () => this.draw() });
    this.summary = element("span", { class: "faint" });
    this.cards = element("div", {});
    this.tools = element("div", { class: "tools" }, this.search, this.summary);
    this.root.replaceChildren(this.tools, this.cards);
    this.begin(instances, runs);
    // both lists are at least as new as this cursor; an event that is repeated changes nothing
    this.stream = new Stream(["experiments:instances", "experiments:runs"], instances.last_event_id, {
      event: (event) => this.take(event),
      state: (name, text) => this.shell.state(name, text),
      resume: async () => {
        const instances = await getJson("instances?limit=1000");
        this.begin(instances, await getJson("runs?limit=1000"));
        return instances.last_event_id;
      },
    });
    this.clock = setInterval(() => this.tick(), 1000);
  }

  begin(instances, runs) {
    this.instances = new Map(instances.instances.map((instance) => [instance.id, instance]));
    this.counts = new Map(instances.instances.map(({ id, run_count }) => [id, run_count]));
    this.runs = new Map(runs.runs.reverse().map((run) => [run.id, run]));
    this.draw();
  }

  take(event) {
    if (event.type === "run_progress") {
      this.bar(event.run_id).show(event);
      return;
    }
    if (event.instance) this.instances.set(event.instance.id, { ...this.instances.get(event.instance.id), ...event.instance });
    if (event.type === "instance_deleted") {
      this.instances.delete(event.instance_id);
      for (const run of this.runs.values()) {
        if (run.instance_id === event.instance_id) this.runs.delete(run.id);
      }
    }
    if (event.type === "run_deleted" && this.runs.delete(event.run_id)) {
      this.counts.set(event.instance_id, (this.counts.get(event.instance_id) ?? 1) - 1);
    }
    if (event.run) {
      const { id, instance_id } = event.run;
      if (event.type === "run_created" && !this.runs.has(id)) this.counts.set(instance_id, (this.counts.get(instance_id) ?? 0) + 1);
      this.runs.set(id, event.run);
    }
    this.draw();
  }

  render() {
    const wanted = this.search.value.trim().toLowerCase();
    const byInstance = new Map([...this.instances.keys()].map((id) => [id, []]));
    for (const run of [...this.runs.values()].reverse()) byInstance.get(run.instance_id)?.push(run);
    let cards = [...this.instances.values()].map((instance) => [instance, byInstance.get(instance.id)]);
    if (wanted) {
      const has = (...texts) => texts.some((text) => String(text ?? "").toLowerCase().includes(wanted));
      cards = cards
        .map(([instance, runs]) => [instance, has(instance.name, instance.id, instance.description) ? runs : runs.filter((run) => has(run.id, displayName(run), run.status, run.error))])
        .filter(([instance, runs]) => runs.length || has(instance.name, instance.id, instance.description));
    }
    const age = ([instance, runs]) => runs[0]?.created_at ?? instance.last_run_at ?? instance.created_at;
    cards.sort((one, other) => (age(one) < age(other) ? 1 : -1));
    const running = [...this.runs.values()].filter((run) => run.status === "running").length;
    this.tools.hidden = this.instances.size === 0;
    this.summary.textContent = `${counted(this.instances.size, "instance")}, ${number(running)} running`;
    const shown = cards.slice(0, CARDS_SHOWN).map(([instance, runs]) => this.card(instance, runs));
    if (!this.instances.size) shown.push(this.empty());
    else if (!cards.length) shown.push(element("p", { class: "faint" }, "nothing matches"));
    if (cards.length > CARDS_SHOWN) shown.push(element("p", { class: "faint" }, `and ${counted(cards.length - CARDS_SHOWN, "older instance")}: search for them`));
    const focused = document.activeElement?.closest?.("a")?.getAttribute("href");
    this.cards.replaceChildren(...shown);
    if (focused && document.activeElement === document.body) this.cards.querySelector(`a[href="${CSS.escape(focused)}"]`)?.focus();
  }

  card(instance, runs) {
    const count = this.counts.get(instance.id) ?? runs.length;
    const path = `#/instances/${encodeURIComponent(instance.id)}`;
    return element("section", { class: "card" },
      element("div", { class: "line" },
        element("h2", {}, element("a", { href: path }, instance.name)), element("span", { class: "faint" }, count ? counted(count, "run") : "no run yet")),
      instance.description ? element("p", { class: "faint" }, instance.description) : null,
      runs.length ? element("ul", { class: "runs" }, ...runs.slice(0, RUNS_SHOWN).map((run) => runRow(run, this.bar(run.id)))) : null,
      count > RUNS_SHOWN ? element("p", {}, element("a", { href: path }, `all ${counted(count, "run")}`)) : null,
    );
  }

  empty() {
    const base = location.href.replace(/[#?].*$/, "").replace(/\/$/, "");
    const ways = {
      "In Python": `import athanor\n\nwith athanor.init("first", url="${base}") as run:\n    run.log("Hello, world")`,
      "Any program": `ATHANOR_URL=${base} athanor run -- echo 'Hello, world'`,
      "With curl": [
        `curl -X PUT ${base}/instances/first -d '{"name": "first"}'`,
        `curl -X POST ${base}/instances/first/runs -d '{"id": "hello"}'`,
        `curl -X POST ${base}/runs/hello/start`,
        `curl -X POST ${base}/runs/hello/logs -d 'Hello, world'`,
      ].join("\n"),
    };
    return element("section", { class: "card" },
      element("h2", {}, "No experiments yet"),
      element("p", {}, "An experiment appears here when it reports for the first time."),
      ...Object.entries(ways).flatMap(([title, text]) => [
        element("div", { class: "line way" }, element("h3", {}, title), element("span", { class: "space" }), copyButton(text)), element("pre", {}, text)]),
    );
  }
}

export function runRow(run, bar) {
  const name = displayName(run);
  return element("li", {},
    element("a", { href: `#/runs/${encodeURIComponent(run.id)}` },
      statusPill(run),
      element("code", { title: run.id }, name),
      run.status === "running" ? bar.root : element("span", { class: "bar error-line" }, run.error ? lastLine(run.error) : ""),
      element("span", { class: "faint right" }, run.status === "running" || !run.log_count ? "" : counted(run.log_count, "line")),
      element("time", { class: "right", "data-run": run.id }, duration(run)),
    ),
  );
}
