// A button whose first click asks for confirmation, in the button itself.

import { element } from "../common/dom.js";

// milliseconds after which the question is withdrawn
const PATIENCE = 4000;

export function confirmButton(label, question, action, attributes = {}) {
  let timer = null;
  const withdraw = () => {
    clearTimeout(timer);
    timer = null;
    button.textContent = label;
  };
  const button = element("button", { type: "button", class: "small danger", ...attributes, onblur: () => timer && withdraw() }, label);
  button.addEventListener("click", () => {
    if (timer) {
      withdraw();
      action();
      return;
    }
    button.textContent = question;
    timer = setTimeout(withdraw, PATIENCE);
  });
  return button;
}
