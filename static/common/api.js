// Requests to the service.

import { learn } from "./clock.js";
import { parse } from "./json.js";

export class ApiError extends Error {
  constructor(message, status, retryAfter = null) {
    super(message);
    this.status = status;
    this.retryAfter = retryAfter;
  }
}

// Raises ApiError for a response that is no success.
export async function send(path, options = {}) {
  const sentAt = Date.now();
  const response = await fetch(path, { ...options, headers: { Accept: "application/json", ...options.headers } });
  learn(response.headers.get("date"), sentAt);
  if (response.ok) return response;
  let detail = `${response.status} ${response.statusText}`;
  try {
    detail = (await response.json()).detail ?? detail;
  } catch {
    // the response is not the service's, but a proxy's for example
  }
  const error = new ApiError(detail, response.status, response.headers.get("retry-after"));
  error.isFromService = response.headers.get("content-type")?.startsWith("application/problem+json");
  throw error;
}

// The same; if the service wants a login, the page asks for it.
export async function request(path, options) {
  try {
    return await send(path, options);
  } catch (error) {
    if (error.status === 401 && error.isFromService) dispatchEvent(new Event("login"));
    throw error;
  }
}

export async function getJson(path, options) {
  return (await request(path, options)).json();
}

// The same, with exact integers (json.js).
export async function getExactJson(path, options) {
  return parse(await (await request(path, options)).text());
}

export const runPath = (id) => `runs/${segment(id, "run")}`;
export const instancePath = (id) => `instances/${segment(id, "instance")}`;

// A browser resolves these two in a path, even if they are encoded.
function segment(id, what) {
  if (id === "." || id === "..") throw new ApiError(`there is no ${what} ${id}`, 404);
  return encodeURIComponent(id);
}

// The path of a list's next page, relative to this page: a proxy may serve us below another path.
export function nextPath(path, next) {
  return next && path.replace(/\?.*$/, "") + next.replace(/^[^?]*/, "");
}
