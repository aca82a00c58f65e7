// Numbers, times and counts as text.

import { serviceNow } from "./clock.js";

const WHOLE = new Intl.NumberFormat("en");

export function number(value) {
  if (!Number.isFinite(value)) return String(value);
  if (Number.isInteger(value) && Math.abs(value) < 1e15) return WHOLE.format(value);
  if (value === 0) return "0";
  return Math.abs(value) >= 1e-3 && Math.abs(value) < 1e6 ? `${+value.toPrecision(5)}` : value.toExponential(3);
}

export function counted(count, noun) {
  return `${number(count)} ${noun}${count === 1 ? "" : "s"}`;
}

export function span(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  const [days, hours, minutes] = [Math.floor(whole / 86400), Math.floor(whole / 3600) % 24, Math.floor(whole / 60) % 60];
  if (days) return `${days} d ${hours} h`;
  if (hours) return `${hours} h ${minutes} min`;
  return minutes ? `${minutes} min ${whole % 60} s` : `${whole} s`;
}

export function duration(run) {
  if (!run.started_at) return "";
  const end = run.completed_at ? Date.parse(run.completed_at) : serviceNow();
  return span((end - Date.parse(run.started_at)) / 1000);
}

// A time with its date, and how long ago it was by the service's clock.
export function moment(timestamp) {
  return new Date(timestamp).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "medium" });
}

export function ago(timestamp) {
  return `${span((serviceNow() - Date.parse(timestamp)) / 1000)} ago`;
}

export function clock(timestamp) {
  const at = new Date(timestamp);
  const two = (part) => String(part).padStart(2, "0");
  return `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}.${String(at.getMilliseconds()).padStart(3, "0")}`;
}

export function lastLine(text) {
  return text.trim().split("\n").at(-1).slice(0, 300);
}

export function displayName(run) {
  return typeof run.metadata?.name === "string" && run.metadata.name ? run.metadata.name : run.id;
}
