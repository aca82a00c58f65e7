// Asking the service.

export class ApiError extends Error {
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

export async function ask(path, options = {}) {
  const answer = await fetch(path, { ...options, headers: { Accept: "application/json", ...options.headers } });
  if (answer.ok) return answer;
  let detail = `${answer.status} ${answer.statusText}`;
  try {
    detail = (await answer.json()).detail ?? detail;
  } catch {
    // not the service: a proxy perhaps
  }
  throw new ApiError(detail, answer.status);
}

export async function getJson(path, options) {
  return (await ask(path, options)).json();
}

export const runPath = (id) => `runs/${encodeURIComponent(id)}`;
export const instancePath = (id) => `instances/${encodeURIComponent(id)}`;

// The path of a list's next page, relative to this page: a proxy may have put us below another.
export function nextPath(path, next) {
  return next && path.replace(/\?.*$/, "") + next.replace(/^[^?]*/, "");
}

// All of a run's lines or results in a form, page by page, as a file.
export async function download(id, what, format, onProgress) {
  const type = { csv: "text/csv", ndjson: "application/x-ndjson", json: "application/x-ndjson" }[format];
  const parts = [];
  let path = `${runPath(id)}/${what}?limit=10000`;
  let first = true;
  while (path) {
    const answer = await ask(path, { headers: { Accept: type } });
    let text = await answer.text();
    if (format === "csv" && !first) text = text.replace(/^[^\n]*\n/, "");
    if (format === "json" && text) text = (first ? "" : ",\n") + text.trimEnd().replaceAll("\n", ",\n");
    parts.push(new Blob([text]));
    path = nextPath(path, answer.headers.get("link")?.match(/^<([^>]*)>/)?.[1]);
    first = false;
    onProgress?.(parts.length);
  }
  const blob = new Blob(format === "json" ? ["[", ...parts, "]\n"] : parts, { type });
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = `${id}-${what}.${format}`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
}
