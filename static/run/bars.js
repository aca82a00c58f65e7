// A run's progress: a bar for each of several, outermost first.

import { Bar, element } from "../common/dom.js";

export class Bars {
  constructor() {
    this.bars = [];
    this.root = element("div", { class: "bars", hidden: true });
  }

  // `startedAt` is when the run started: its outermost bar began then.
  show(progress, startedAt) {
    if (!progress) return;
    const { bars = [progress], updated_at } = progress;
    this.root.hidden = false;
    while (this.bars.length < bars.length) {
      const bar = new Bar(this.bars.length || !startedAt ? null : Date.parse(startedAt));
      this.bars.push(bar);
      this.root.append(bar.root);
    }
    while (this.bars.length > bars.length) this.bars.pop().root.remove();
    bars.forEach((each, at) => this.bars[at].show({ ...each, updated_at }));
    if (bars.length > 2) this.root.tabIndex = 0;
  }

  // An ended run needs no bars.
  end() {
    this.root.hidden = true;
  }
}
