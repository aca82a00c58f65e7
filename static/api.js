// Requests to the service.

export class ApiError extends Error {
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

export async function request(path, options = {}) {
  const response = await fetch(path, { ...options, headers: { Accept: "application/json", ...options.headers } });
  if (response.ok) return response;
  let detail = `${response.status} ${response.statusText}`;
  try {
    detail = (await response.json()).detail ?? detail;
  } catch {
    // the response is not the service's, but a proxy's for example
  }
  throw new ApiError(detail, response.status);
}

export async function getJson(path, options) {
  return (await request(path, options)).json();
}

export const runPath = (id) => `runs/${encodeURIComponent(id)}`;
export const instancePath = (id) => `instances/${encodeURIComponent(id)}`;

// The path of a list's next page, relative to this page: a proxy may serve us below another path.
export function nextPath(path, next) {
  return next && path.replace(/\?.*$/, "") + next.replace(/^[^?]*/, "");
}
