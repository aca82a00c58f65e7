// What the Logs tab says as long as a run has no lines.

import { copyButton, element } from "../common/dom.js";
import { ago } from "../common/format.js";
import { ROOT } from "../common/root.js";

export function whyEmpty(run) {
  const path = `${ROOT}/runs/${run.id}`;
  if (run.status === "pending") {
    return [
      element("h2", {}, "This run has not started"),
      element("p", {}, `It was created ${ago(run.created_at)}. It starts when its program does; this page then follows it.`),
      ...way("With curl", `curl -X POST ${path}/start`),
    ];
  }
  if (run.completed_at) {
    return [element("h2", {}, "This run has no lines"), element("p", {}, run.error ? "Its error is above." : "It ended without reporting one.")];
  }
  return [
    element("h2", {}, "No lines yet"),
    element("p", {}, "A line appears here when the run reports it."),
    ...way("In Python, in the run's program", "run.log(\"Hello, world\")"),
    ...way("What the program prints", "with run.capture():\n    print(\"Hello, world\")"),
    ...way("With curl", `curl -X POST ${path}/logs -d 'Hello, world'`),
  ];
}

function way(title, text) {
  return [element("div", { class: "line way" }, element("h3", {}, title), element("span", { class: "space" }), copyButton(text)), element("pre", {}, text)];
}
