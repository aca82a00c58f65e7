// Downloads of a run's log lines and results.

import { nextPath, request, runPath } from "./api.js";
import { element } from "./dom.js";

// A menu of formats. Choosing one downloads all lines (`what` is "logs") or all results; `state` shows
// the progress and an error.
export function downloadMenu(id, what, label, formats, state) {
  const start = async () => {
    const format = menu.value;
    menu.value = "";
    if (!format) return;
    state.textContent = "downloading";
    try {
      await download(id, what, format, (pages) => (state.textContent = `downloading, page ${pages}`));
      state.textContent = "";
    } catch (error) {
      state.textContent = error.message;
    }
  };
  const menu = element("select", { "aria-label": label, onchange: start },
    element("option", { value: "" }, "Download"), ...formats.map((format) => element("option", { value: format }, format.toUpperCase())));
  return menu;
}

// Downloads all log lines or results of a run in one format, page by page, as a file.
async function download(id, what, format, onProgress) {
  const type = { csv: "text/csv", ndjson: "application/x-ndjson", json: "application/x-ndjson" }[format];
  const parts = [];
  let path = `${runPath(id)}/${what}?limit=10000`;
  let first = true;
  while (path) {
    const response = await request(path, { headers: { Accept: type } });
    let text = await response.text();
    if (format === "csv" && !first) text = text.replace(/^[^\n]*\n/, "");
    if (format === "json" && text) text = (first ? "" : ",\n") + text.trimEnd().replaceAll("\n", ",\n");
    parts.push(new Blob([text]));
    path = nextPath(path, response.headers.get("link")?.match(/^<([^>]*)>/)?.[1]);
    first = false;
    onProgress(parts.length);
  }
  const blob = new Blob(format === "json" ? ["[", ...parts, "]\n"] : parts, { type });
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = `${id}-${what}.${format}`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
}
