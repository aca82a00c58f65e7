// The runs that are chosen for a comparison, each with a slot of the palette. A slot stays with its run.

import { SLOTS } from "../results/palette.js";

export class Choice {
  // Reads `compare` of the address: `id`, or `id~slot` for a run whose slot is not its place in the list.
  constructor(address) {
    this.address = address;
    this.slots = new Map();
    address.getAll("compare").flatMap((ids) => ids.split(",")).filter(Boolean).forEach((text, place) => {
      const [id, slot] = text.split("~");
      const wanted = /^\d+$/.test(slot ?? "") ? Number(slot) : place;
      this.slots.set(id, wanted < SLOTS && !this.taken.has(wanted) ? wanted : this.free());
    });
  }

  get size() {
    return this.slots.size;
  }

  get taken() {
    return new Set(this.slots.values());
  }

  has(id) {
    return this.slots.has(id);
  }

  // The lowest slot that no run has; null if there is none.
  free() {
    const { taken } = this;
    for (let slot = 0; slot < SLOTS; slot += 1) if (!taken.has(slot)) return slot;
    return null;
  }

  set(ids, wanted) {
    let isFull = false;
    for (const id of ids) {
      if (!wanted) this.slots.delete(id);
      else if (!this.slots.has(id)) {
        const slot = isFull ? null : this.free();
        isFull = slot === null;
        this.slots.set(id, slot);
      }
    }
    this.keep();
  }

  clear() {
    this.slots.clear();
    this.keep();
  }

  // Drops runs that do not exist any more; returns how many.
  prune(items) {
    const gone = [...this.slots.keys()].filter((id) => !items.has(id));
    if (gone.length) this.set(gone, false);
    return gone.length;
  }

  keep() {
    const shown = [...this.slots].filter(([, slot]) => slot !== null);
    this.address.set({ compare: shown.map(([id, slot], place) => (slot === place ? id : `${id}~${slot}`)) });
  }

  // A slot for each run of `groups`: the lowest of the chosen runs of its group.
  grouped(groups) {
    const slots = new Map(this.slots);
    for (const { items } of groups) {
      const ids = items.map(({ id }) => id).filter((id) => this.slots.has(id));
      const own = ids.map((id) => this.slots.get(id)).filter((slot) => slot !== null);
      const slot = own.length ? Math.min(...own) : null;
      for (const id of ids) slots.set(id, slot);
    }
    return slots;
  }
}
