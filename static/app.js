// Chooses the view by the part of the address after #; the login; the keyboard; the connection's state.

import { Address } from "./common/address.js";
import { element } from "./common/dom.js";
import { InstanceView } from "./runs/instance.js";
import { askForToken } from "./login/login.js";
import { Overview } from "./runs/overview.js";
import { RunView } from "./run/run.js";
import { logIn, logOut, onOtherTabs, readSession } from "./login/session.js";

const root = document.getElementById("view");
const connection = document.getElementById("connection");
const icon = document.querySelector("link[rel=icon]");
const help = document.getElementById("help");
const leave = document.getElementById("log-out");
const ICON = icon.href;
const DOTS = { running: "#2f7fd6", completed: "#1a9c5b", failed: "#d6383d", cancelled: "#8a8f98", pending: "#c9a227" };
// milliseconds without the service, after which the page says what to do
const AWAY = 3000;
const away = document.getElementById("away");
let missed = null;
let view = null;
let shownPath = null;

const shell = {
  session: null,
  state(name, text) {
    connection.textContent = text;
    connection.className = `connection ${name}`;
    sayAway(name === "reconnecting");
  },
  title(text, status) {
    document.title = text;
    const dot = DOTS[status];
    icon.href = dot ? `data:image/svg+xml,${encodeURIComponent(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16"><circle cx="8" cy="8" r="7" fill="${dot}"/></svg>`)}` : ICON;
  },
};

// Says what to do if the service does not answer for a while.
function sayAway(isAway) {
  if (!isAway) {
    clearTimeout(missed);
    missed = null;
    away.hidden = true;
    return;
  }
  missed ??= setTimeout(() => {
    const why = navigator.onLine ? `The service at ${location.host} does not answer. Is it running? Start it with “athanor serve”, or ask who runs it.` : "This computer is offline.";
    away.textContent = `${why} This page connects again by itself; what it shows may be old.`;
    away.hidden = false;
  }, AWAY);
}

function route() {
  const address = new Address();
  const [kind, id] = address.parts;
  if (kind === "runs" && id) return { View: RunView, id, address };
  if (kind === "instances" && id) return { View: InstanceView, id, address };
  return { View: Overview, address };
}

async function show() {
  let wanted;
  try {
    wanted = route();
  } catch {
    wanted = { View: Overview, address: new Address("#/") };
  }
  view?.close();
  shell.state("connecting", "connecting");
  shell.title("Athanor", null);
  shownPath = location.hash;
  const shown = new wanted.View(root, wanted, shell);
  view = shown;
  await start(shown, 0);
}

// Tries again while the service is away; the old view stays until the new one is loaded.
async function start(shown, tries) {
  try {
    await enter();
    if (view === shown) await shown.start();
  } catch (error) {
    if (view !== shown) return;
    if (error.status === 404) {
      root.replaceChildren(shown.missing?.(error) ?? element("section", { class: "card" }, element("p", {}, error.message)));
      shell.state("ended", "not found");
      return;
    }
    if (shown.clock) {
      console.warn(error);
      return;
    }
    shell.state("reconnecting", "reconnecting");
    const pause = Math.min(15000, 1000 * 1.6 ** tries) * (0.75 + 0.75 * Math.random());
    setTimeout(() => view === shown && start(shown, tries + 1), pause);
  }
}

// Logs in with the token of a link (token.js), then finds out who is logged in.
async function enter() {
  const token = globalThis.linkToken;
  if (token) {
    try {
      await logIn(token);
    } catch (error) {
      // a service that is away gets the token later; an older one has no login
      if (!error.status) throw error;
      if (error.status !== 404) {
        globalThis.linkToken = null;
        ask(error);
        throw error;
      }
    }
    globalThis.linkToken = null;
  }
  shell.session = await readSession();
  leave.hidden = !shell.session.hasLogin;
  leave.title = shell.session.name;
}

// Replaces the view, and with it its stream, by the login. The view returns after it.
function ask(error) {
  if (!view) return;
  view.close();
  view = null;
  leave.hidden = true;
  shell.title("Athanor", null);
  shell.state("ended", "not logged in");
  askForToken(root, error, show);
}

// Another tab has logged in or out: the view stays if that changes nothing here.
async function follow() {
  const before = JSON.stringify(shell.session);
  try {
    if (view && JSON.stringify(await readSession()) === before) return;
  } catch {
    // a 401 has shown the login; a service that is away answers the view's next request
    return;
  }
  show();
}

addEventListener("login", () => ask());
onOtherTabs(follow);
leave.addEventListener("click", async () => {
  try {
    await logOut();
    show();
  } catch (error) {
    shell.state("reconnecting", `can't log out: ${error.status ? error.message : "the service does not answer"}`);
  }
});
addEventListener("hashchange", () => (location.hash !== shownPath || globalThis.linkToken) && show());
addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const typing = event.target.closest?.("input, select, textarea");
  if (typing && event.key !== "Escape") return;
  if (event.key === "?") help.showModal();
  else if (!view?.key?.(event)) return;
  if (typing) event.target.blur();
  event.preventDefault();
});
document.getElementById("show-help").addEventListener("click", () => help.showModal());
show();
