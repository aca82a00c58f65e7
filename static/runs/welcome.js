// What to do while there is nothing to show: the ways to report a first run.

import { copyButton, element } from "../common/dom.js";
import { ROOT } from "../common/root.js";

// `name` is the experiment's name and `id` its id, if there is one already.
export function welcome(name = "first", id = null) {
  const path = id ?? "first";
  const ways = {
    "In Python": `import athanor\n\nwith athanor.init(${JSON.stringify(name)}, url="${ROOT}") as run:\n    run.log("Hello, world")`,
    "Any program": `ATHANOR_URL=${ROOT} athanor run${id ? ` -i ${quoted(name)}` : ""} -- echo 'Hello, world'`,
    "With curl": [
      ...(id ? [] : [`curl -X PUT ${ROOT}/instances/first -d '{"name": "first"}'`]),
      `curl -X POST ${ROOT}/instances/${path}/runs -d '{"id": "hello"}'`,
      `curl -X POST ${ROOT}/runs/hello/start`,
      `curl -X POST ${ROOT}/runs/hello/logs -d 'Hello, world'`,
    ].join("\n"),
  };
  return element("section", { class: "card" },
    element("h2", {}, id ? "No runs yet" : "No experiments yet"),
    element("p", {}, id ? "A run appears here when it is created. Report one of this experiment:" : "An experiment appears here when it reports for the first time."),
    ...Object.entries(ways).flatMap(([title, text]) => [
      element("div", { class: "line way" }, element("h3", {}, title), element("span", { class: "space" }), copyButton(text)), element("pre", {}, text)]));
}

function quoted(text) {
  return `'${text.replaceAll("'", "'\\''")}'`;
}
