// Where one was in a list: how far it was scrolled, and the run that had the focus. The entry of the browser's history
// keeps it, so that Back returns there.

// milliseconds after the last scroll before the entry is changed: a browser allows few changes
const PAUSE = 150;

export class Place {
  // `name` tells the places of one entry apart.
  constructor(name = "runs") {
    this.name = name;
    this.kept = history.state?.places?.[name] ?? null;
  }

  // `current()` gives the id of the row with the focus.
  watch(root, current = () => null) {
    this.root = root;
    this.current = current;
    this.soon = () => {
      clearTimeout(this.timer);
      this.timer = setTimeout(() => this.keep(), PAUSE);
    };
    root.addEventListener("scroll", this.soon, { passive: true });
    root.addEventListener("click", () => this.keep(), { capture: true });
  }

  keep() {
    clearTimeout(this.timer);
    if (!this.root?.isConnected) return;
    const place = { top: this.root.scrollTop, left: this.root.scrollLeft, current: this.current() };
    history.replaceState({ ...history.state, places: { ...history.state?.places, [this.name]: place } }, "");
  }

  // Goes where one was, once. `table` is one that knows its rows, or null.
  restore(table = null) {
    const { kept } = this;
    this.kept = null;
    if (!kept || !this.root) return;
    this.root.scrollTop = kept.top;
    this.root.scrollLeft = kept.left;
    if (!table || !kept.current) return;
    table.current = table.places.has(kept.current) ? kept.current : null;
    table.render();
    table.rows.get(table.current)?.focus({ preventScroll: true });
  }

  close() {
    clearTimeout(this.timer);
    this.root = null;
  }
}
