// A value as a tree.

import { element } from "../common/dom.js";
import { counted } from "../common/format.js";

const MOST_CHILDREN = 200;
const MOST_DEPTH = 40;
const MOST_TEXT = 2000;

// Children are created when their parent is opened, so a large value costs nothing before.
export function tree(value, name, depth) {
  const label = name ? element("span", { class: "key" }, `${name.slice(0, 200)}: `) : "";
  if (value === null || typeof value !== "object") {
    const text = leaf(value);
    return element("div", { class: `leaf ${typeof value}` }, label, text.length > MOST_TEXT ? `${text.slice(0, MOST_TEXT)}… (${text.length} characters)` : text);
  }
  const entries = Object.entries(value);
  const kind = Array.isArray(value) ? `[${entries.length}]` : `{${entries.length}}`;
  const preview = depth < 2 ? brief(value) : "";
  const root = element("details", {}, element("summary", {}, label, element("span", { class: "faint" }, `${kind} ${preview}`)));
  root.addEventListener("toggle", () => {
    if (!root.open || root.childElementCount > 1) return;
    if (depth >= MOST_DEPTH) {
      root.append(element("div", { class: "faint" }, "deeper levels are not shown"));
      return;
    }
    more(root, entries, 0, depth);
  });
  return root;
}

// Appends the entries of an object to `root`.
export function branches(root, value) {
  more(root, Object.entries(value), 0, 0);
}

// A value that has no parts, as JSON.
export function leaf(value) {
  return typeof value === "bigint" ? String(value) : (JSON.stringify(value) ?? "");
}

function more(root, entries, from, depth) {
  root.append(...entries.slice(from, from + MOST_CHILDREN).map(([key, child]) => tree(child, key, depth + 1)));
  if (entries.length <= from + MOST_CHILDREN) return;
  const button = element("button", { type: "button", class: "small" }, `${counted(entries.length - from - MOST_CHILDREN, "more")}`.replace(/s$/, ""));
  button.addEventListener("click", () => {
    button.remove();
    more(root, entries, from + MOST_CHILDREN, depth);
  });
  root.append(button);
}

export function brief(value) {
  const parts = [];
  for (const [key, child] of Object.entries(value).slice(0, 6)) {
    const shown = child !== null && typeof child === "object" ? "…" : leaf(child).slice(0, 24);
    parts.push(Array.isArray(value) ? shown : `${key.slice(0, 24)}: ${shown}`);
  }
  return parts.join(", ").slice(0, 120);
}
