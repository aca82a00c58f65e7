// What is shown instead of a run that the service does not have.

import { element } from "../common/dom.js";

export function missingRun(id, detail) {
  return element("section", { class: "card" },
    element("h1", {}, detail),
    element("p", {}, "It may have been deleted, the link may have lost a part, or the service may use another database than it did."),
    element("p", {}, "In a terminal, ", element("code", {}, "athanor runs"), " lists the runs of a service; here, ", element("a", { href: "#/" }, "all experiments"), " does."),
    id.length > 64 ? element("p", { class: "faint" }, "An id has at most 64 characters.") : null,
  );
}
