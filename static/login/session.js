// Who is logged in. The token is in a cookie, which scripts can't read.

import { getJson, send } from "../common/api.js";
import { ROOT } from "../common/root.js";

const tabs = new BroadcastChannel(`athanor ${ROOT}`);

// Logs in with a token. Raises ApiError: 401 if it is wrong, 429 after too many wrong ones.
export async function logIn(token) {
  await send("login", { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ token }) });
  tabs.postMessage("login");
}

export async function logOut() {
  await send("login", { method: "DELETE" });
  tabs.postMessage("logout");
}

// Calls `listener` when another tab has logged in or out.
export function onOtherTabs(listener) {
  tabs.onmessage = listener;
}

export async function readSession() {
  try {
    const { name, may_write: mayWrite, login_required: hasLogin } = await getJson("login");
    return { name, mayWrite, hasLogin };
  } catch (error) {
    // an older service has no login
    if (error.status === 404) return { name: "", mayWrite: true, hasLogin: false };
    throw error;
  }
}
