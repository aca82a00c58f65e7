// Draws charts in frames, as many in each as its time allows, so that the page stays responsive.

// milliseconds of a frame in which charts are drawn
const BUDGET = 10;

export class Painter {
  constructor() {
    this.waiting = new Set();
    this.frame = 0;
  }

  // `what` has `render()`.
  add(what) {
    this.waiting.add(what);
    this.frame ||= requestAnimationFrame(() => this.paint());
  }

  paint() {
    this.frame = 0;
    const until = performance.now() + BUDGET;
    for (const what of this.waiting) {
      this.waiting.delete(what);
      what.render();
      if (performance.now() > until) break;
    }
    if (this.waiting.size) this.frame = requestAnimationFrame(() => this.paint());
  }

  close() {
    cancelAnimationFrame(this.frame);
    this.waiting.clear();
  }
}
