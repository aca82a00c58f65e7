// Making and filling elements. Whatever comes from a run is text, never markup.

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

export function statusPill(status) {
  return element("span", { class: `pill ${status}` }, status);
}

export function duration(run) {
  if (!run.started_at) return "";
  const end = run.completed_at ? Date.parse(run.completed_at) : Date.now();
  const seconds = Math.max(0, Math.round((end - Date.parse(run.started_at)) / 1000));
  const [hours, minutes] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60];
  if (hours) return `${hours} h ${minutes} min`;
  return minutes ? `${minutes} min ${seconds % 60} s` : `${seconds} s`;
}

export function lineCount(count) {
  return count === 1 ? "1 line" : `${number(count)} lines`;
}

export function number(value) {
  if (Number.isInteger(value)) return value.toLocaleString("en");
  return Math.abs(value) >= 1e-3 && Math.abs(value) < 1e6 ? value.toPrecision(5) : value.toExponential(3);
}

// A bar for what is known of a run's progress; without a total it only says that something moves.
export class Bar {
  constructor() {
    this.meter = element("progress", { "aria-label": "progress" });
    this.text = element("span", { class: "bar-text" });
    this.root = element("div", { class: "bar", hidden: true }, this.meter, this.text);
  }

  show(progress) {
    if (!progress) return;
    const { current, total, message } = progress;
    this.root.hidden = false;
    if (total) {
      this.meter.max = total;
      this.meter.value = Math.min(current, total);
    } else {
      this.meter.removeAttribute("value");
    }
    const count = total ? `${number(current)} of ${number(total)}` : number(current);
    this.text.textContent = message ? `${count} · ${message}` : count;
  }

  end() {
    if (!this.meter.hasAttribute("value")) this.meter.value = 1;
  }
}
