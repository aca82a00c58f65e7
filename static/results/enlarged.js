// One chart as large as the window.

import { element } from "../common/dom.js";
import { Chart } from "./chart.js";
import { Legend } from "./legend.js";

export class Enlarged {
  // `host` is the chart's (chart.js); `onClose()` is called when the reader has closed the dialog. A browser
  // tells of that later, when another chart may be enlarged.
  constructor(host, onClose) {
    this.host = host;
    this.chart = null;
    this.root = element("dialog", { class: "enlarged", "aria-label": "enlarged chart", onclose: () => this.root.open || onClose() });
  }

  open(key, runs) {
    this.chart = new Chart(key, this.host, { isLarge: true });
    const legend = new Legend({ onHover: (id) => this.host.hover(id) });
    legend.show(runs);
    const close = element("button", { type: "button", class: "small", onclick: () => this.root.close() }, "Close");
    this.root.replaceChildren(legend.root, this.chart.root, close);
    this.root.showModal();
    this.chart.see(true);
    this.chart.canvas.focus();
  }

  close() {
    this.chart?.close();
    this.chart = null;
    if (this.root.open) this.root.close();
  }
}
