// Creates and fills elements. Data of a run becomes text, never markup.

import { serviceNow } from "./clock.js";
import { number, span } from "./format.js";
import { Pace } from "./pace.js";

export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value === true) made.setAttribute(name, "");
    else if (value !== false && value != null) made.setAttribute(name, value);
  }
  made.append(...children.filter((child) => child != null));
  return made;
}

export function statusPill(run) {
  const stale = run.status === "running" && run.stale;
  const title = stale ? "no report for a minute" : null;
  return element("span", { class: `pill ${stale ? "stale" : run.status}`, title }, stale ? "stale" : run.status);
}

export function copyButton(text, label = "Copy") {
  const button = element("button", { type: "button", class: "small" }, label);
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(typeof text === "function" ? text() : text);
      button.textContent = "Copied";
    } catch {
      button.textContent = "Can't copy";
    }
    setTimeout(() => (button.textContent = label), 1500);
  });
  return button;
}

// A function that calls `draw` in the next frame, once for any number of calls.
export function framed(draw) {
  let frame = 0;
  const schedule = () => {
    frame ||= requestAnimationFrame(() => {
      frame = 0;
      draw();
    });
  };
  schedule.cancel = () => cancelAnimationFrame(frame);
  return schedule;
}

// A run's progress bar; without a total it shows activity only.
export class Bar {
  // `startedAt` is when the bar began, in milliseconds by the service's clock, if that is known
  constructor(startedAt = null) {
    this.meter = element("progress", { "aria-label": "progress" });
    this.text = element("span", { class: "bar-text" });
    this.root = element("div", { class: "bar", hidden: true }, this.meter, this.text);
    this.pace = new Pace(startedAt);
  }

  show(progress) {
    if (!progress) return;
    const { current, total, message, bars = [] } = progress;
    this.root.hidden = false;
    if (total) {
      this.meter.max = total;
      this.meter.value = Math.min(current, total);
    } else {
      this.meter.removeAttribute("value");
    }
    const count = total ? `${number(current)} of ${number(total)}` : number(current);
    // only progress that was requested has a time
    const left = this.pace.left(progress, progress.updated_at ? Date.parse(progress.updated_at) : serviceNow());
    this.text.textContent = [count, message, left ? `${span(left)} left` : null, ...bars.slice(1).map(brief)].filter(Boolean).join(" · ");
  }

  end() {
    if (!this.meter.hasAttribute("value")) this.meter.value = 1;
  }
}

// One of several bars, inside the first one.
function brief({ current, total, message }) {
  return `${message ? `${message} ` : ""}${total ? `${number(current)} of ${number(total)}` : number(current)}`;
}
