// Which view is shown, by the part of the address behind #.

import { element } from "./dom.js";
import { Overview } from "./overview.js";
import { RunView } from "./run.js";

const root = document.getElementById("view");
const connection = document.getElementById("connection");
let view = null;

function showState(state) {
  connection.textContent = state;
  connection.className = `connection ${state}`;
}

async function show() {
  view?.close();
  showState("connecting");
  const run = location.hash.match(/^#\/runs\/([\w.-]+)$/);
  const shown = run ? new RunView(root, run[1], showState) : new Overview(root, showState);
  view = shown;
  try {
    await shown.start();
  } catch (error) {
    if (view !== shown) return;
    if (error.status === 404) {
      root.replaceChildren(element("section", { class: "card" }, element("p", {}, error.message)));
      showState("ended");
    } else {
      showState("reconnecting");
      setTimeout(() => view === shown && show(), 1000 + 2000 * Math.random());
    }
  }
}

addEventListener("hashchange", show);
show();
