// The form that asks for the token.

import { element } from "../common/dom.js";
import { logIn } from "./session.js";

// Shows the form in `root`, with the error of an earlier try; calls `onDone` after a login.
export function askForToken(root, error, onDone) {
  const token = element("input", { type: "password", id: "token", name: "token", autocomplete: "current-password", required: true, "aria-describedby": "login-problem" });
  const problem = element("p", { id: "login-problem", class: "problem", "aria-live": "assertive" });
  const button = element("button", {}, "Log in");
  const submit = async (event) => {
    event.preventDefault();
    button.disabled = true;
    problem.textContent = "";
    try {
      await logIn(token.value);
      onDone();
    } catch (error) {
      problem.textContent = sentence(error);
      token.select();
    } finally {
      button.disabled = false;
    }
  };
  root.replaceChildren(element("section", { class: "card login" },
    element("h1", {}, "Log in"),
    element("form", { onsubmit: submit }, element("label", { for: "token" }, "Token"), element("div", { class: "line" }, token, button), problem),
    element("p", { class: "faint" }, "The operator of this service has the token. The page keeps it in a cookie.")));
  if (error) problem.textContent = sentence(error);
  token.focus();
}

function sentence({ status, message, retryAfter }) {
  if (status === 401) return "This token is not valid.";
  if (status === 429) return `Too many wrong tokens. Try again ${retryAfter ? `in ${retryAfter} s` : "later"}.`;
  return status ? message : "The service does not answer. Try again.";
}
