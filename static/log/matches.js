// The lines that a search or a filter selects, the newest last. The service reads the newest first, in
// pages: a page may be short or empty although older lines match.

import { getExactJson, nextPath, runPath } from "../common/api.js";
import { text } from "../common/json.js";
import { plain } from "./ansi.js";
import { FIRST } from "./lines.js";

const MOST_MATCHES = 50000;
const NEWEST = Number.MAX_SAFE_INTEGER;

export class Matches {
  // `filter` has levels (or null), stream (or "") and needle (or null), and the text q of it. `onChange(older)`
  // is called after a page that has put so many lines in front.
  constructor(id, filter, onChange) {
    this.filter = filter;
    this.onChange = onChange;
    this.entries = [];
    // of all matches: null as long as not all lines are read
    this.total = null;
    this.newest = 0;
    // live lines that arrive before the first page
    this.pending = [];
    this.leaving = new AbortController();
    this.path = (before) => `${runPath(id)}/logs?${query(filter, before)}`;
    this.next = this.path(NEWEST);
  }

  get count() {
    return this.entries.length;
  }

  get hasOlder() {
    return this.next != null;
  }

  get(index) {
    return this.entries[index];
  }

  key(index) {
    return this.entries[index].seq;
  }

  place(seq) {
    const index = this.nearest(seq);
    return this.entries[index]?.seq === seq ? index : -1;
  }

  nearest(seq) {
    let [low, high] = [0, this.entries.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.entries[middle].seq < seq) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  need() {}

  // Reads pages until there are so many more matches that a view is full, line `seq` is reached, or
  // all lines are read. Raises ApiError, TypeError (no answer), or AbortError after close().
  async read(seq = Infinity) {
    if (this.isReading) return;
    this.isReading = true;
    try {
      const wanted = this.count + FIRST;
      while (this.next && (this.count < wanted || this.entries[0].seq > seq)) await this.readPage();
    } finally {
      this.isReading = false;
    }
  }

  async readPage() {
    const path = this.next;
    const page = await getExactJson(path, { signal: this.leaving.signal });
    this.next = nextPath(path, page.next);
    this.entries = page.logs.concat(this.entries);
    if (this.pending) {
      this.newest = page.logs.at(-1)?.seq ?? 0;
      this.total = page.total;
      this.append(this.pending.splice(0), true);
      this.pending = null;
    }
    if (!this.next) this.total = this.count;
    this.onChange(page.logs.length);
  }

  // Adds those of the live entries that match; returns their number.
  append(entries, isFirst = false) {
    if (this.pending && !isFirst) {
      this.pending.push(...entries);
      return 0;
    }
    const found = entries.filter((entry) => entry.seq > this.newest && this.matches(entry));
    for (const entry of found) this.entries.push(entry);
    if (!found.length) return 0;
    this.newest = found.at(-1).seq;
    if (this.total != null) this.total += found.length;
    return found.length;
  }

  // Drops the oldest lines of too many; they are read again when they are needed.
  drop() {
    if (this.entries.length <= MOST_MATCHES + FIRST || this.isReading) return;
    this.entries.splice(0, this.entries.length - MOST_MATCHES);
    this.next = this.path(this.entries[0].seq);
  }

  matches({ level, message, metadata }) {
    const { levels, stream, needle } = this.filter;
    if (levels && !levels.includes(level)) return false;
    if (stream && metadata?.stream !== stream) return false;
    return !needle || needle.isIn(plain(message)) || (metadata != null && needle.isInMetadata(text(metadata)));
  }

  close() {
    this.leaving.abort();
  }
}

function query({ levels, stream, q }, before) {
  const made = new URLSearchParams({ before, limit: FIRST });
  if (levels) made.set("level", levels.join(","));
  if (stream) made.set("stream", stream);
  if (q) made.set("q", q);
  return made;
}
