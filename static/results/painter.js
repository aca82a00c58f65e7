// Draws charts in frames, as many in each as its time allows, so that the page stays responsive.

// milliseconds of a frame in which charts are drawn
const BUDGET = 10;
// points that are drawn in a frame: the browser makes pixels of them after our time is measured
const MOST_POINTS = 12000;

export class Painter {
  constructor() {
    this.waiting = new Set();
    this.frame = 0;
  }

  // `what` has `render()`, which returns how many points it drew.
  add(what) {
    this.waiting.add(what);
    this.frame ||= requestAnimationFrame(() => this.paint());
  }

  paint() {
    this.frame = 0;
    const until = performance.now() + BUDGET;
    let points = 0;
    for (const what of this.waiting) {
      this.waiting.delete(what);
      points += what.render();
      if (points > MOST_POINTS || performance.now() > until) break;
    }
    if (this.waiting.size) this.frame = requestAnimationFrame(() => this.paint());
  }

  close() {
    cancelAnimationFrame(this.frame);
    this.waiting.clear();
  }
}
