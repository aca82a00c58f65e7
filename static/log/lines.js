// A run's lines, as far as they are loaded. Other lines are requested when they become visible.

import { getExactJson, runPath } from "../common/api.js";

export const FIRST = 5000;
const CHUNK = 500;
const MOST_CHUNKS = 120;

// All lines by seq: line `index` has seq index + 1. They are kept in chunks; the chunks that were
// not needed for the longest time are dropped.
export class AllLines {
  constructor(id, onChange) {
    this.id = id;
    this.onChange = onChange;
    this.count = 0;
    this.chunks = new Map();
    this.requested = new Set();
  }

  // The number of line `index`.
  key(index) {
    return index + 1;
  }

  // Where line `seq` is; -1 if it is not in the list.
  place(seq) {
    return seq >= 1 && seq <= this.count ? seq - 1 : -1;
  }

  // Where the first line is that is not before `seq`.
  nearest(seq) {
    return Math.max(0, seq - 1);
  }

  get(index) {
    return this.chunks.get(Math.floor(index / CHUNK))?.[index % CHUNK];
  }

  // Adds a page of consecutive entries; entries that are loaded already stay.
  take(entries) {
    for (const entry of entries) {
      const index = entry.seq - 1;
      const key = Math.floor(index / CHUNK);
      let chunk = this.chunks.get(key);
      if (!chunk) this.chunks.set(key, (chunk = []));
      chunk[index % CHUNK] ??= entry;
      if (entry.seq > this.count) this.count = entry.seq;
    }
    this.drop();
  }

  // Adds entries of the stream, which may repeat some; returns the number of new ones.
  append(entries) {
    const before = this.count;
    this.take(entries);
    return this.count - before;
  }

  // Requests the missing lines between two indexes.
  need(first, last) {
    for (let key = Math.floor(first / CHUNK); key <= Math.floor(last / CHUNK); key += 1) {
      const chunk = this.chunks.get(key);
      if (chunk) {
        this.chunks.delete(key);
        this.chunks.set(key, chunk);
      }
      const from = Math.max(first, key * CHUNK);
      const to = Math.min(last, key * CHUNK + CHUNK - 1, this.count - 1);
      for (let index = from; index <= to; index += 1) {
        if (this.get(index) === undefined) {
          this.fetch(key);
          break;
        }
      }
    }
  }

  async fetch(key) {
    if (this.closed || this.requested.has(key)) return;
    this.requested.add(key);
    try {
      const after = key * CHUNK;
      const upTo = Math.min(this.count, after + CHUNK);
      const page = await getExactJson(`${runPath(this.id)}/logs?after=${after}&before=${upTo + 1}&limit=${CHUNK}`);
      this.take(page.logs);
      const chunk = this.chunks.get(key) ?? [];
      this.chunks.set(key, chunk);
      // a line that the service no longer has was deleted by retention
      for (let index = after; index < upTo; index += 1) chunk[index % CHUNK] ??= { seq: index + 1, gone: true };
      this.requested.delete(key);
    } catch {
      setTimeout(() => {
        this.requested.delete(key);
        this.onChange();
      }, 1000 + 1000 * Math.random());
    }
    this.onChange();
  }

  // Requests nothing any more.
  close() {
    this.closed = true;
  }

  drop() {
    while (this.chunks.size > MOST_CHUNKS) this.chunks.delete(this.chunks.keys().next().value);
  }
}
