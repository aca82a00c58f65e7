// A run's lines, as far as they are loaded. Other lines are requested when they become visible.

<<<<<<< HEAD:static/log/lines.js
import { getJson, runPath } from "../common/api.js";
=======
import { plain } from "./ansi.js";
import { getJson, nextPath, runPath } from "./api.js";
>>>>>>> search/search:static/lines.js

export const FIRST = 5000;
const CHUNK = 500;
const MOST_CHUNKS = 120;
const MOST_MATCHES = 50000;
// A page of a search may be short, or empty, although older lines match: the service reads for a bounded
// time. So many matches are loaded at once.
const SCREENFUL = 200;
const NEWEST = Number.MAX_SAFE_INTEGER;

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
      const page = await getJson(`${runPath(this.id)}/logs?after=${after}&before=${upTo + 1}&limit=${CHUNK}`);
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

// Lines that match a search, the newest last; the service searches the stored lines.
export class Matches {
  constructor(id, levels, text, onChange) {
    this.id = id;
    this.levels = levels;
    this.text = text;
    this.needle = ascii(text);
    this.escaped = JSON.stringify(this.needle).slice(1, -1);
    this.onChange = onChange;
    this.entries = [];
    this.total = 0;
    this.isLoading = false;
    this.following = null;
    this.newest = 0;
    this.pending = [];
  }

  get count() {
    return this.entries.length;
  }

  get(index) {
    return this.entries[index];
  }

  get hasOlder() {
    return this.following != null;
  }

  async load() {
    this.isLoading = true;
    const [found, total] = await this.read(this.path(NEWEST));
    this.entries = found;
    this.total = total ?? found.length;
    this.newest = found.at(-1)?.seq ?? 0;
    this.isLoading = false;
    const pending = this.pending;
    this.pending = null;
    this.append(pending);
    this.onChange();
  }

  append(entries) {
    if (this.pending) {
      this.pending.push(...entries);
      return 0;
    }
    const before = this.entries.length;
    for (const entry of entries) {
      if (entry.seq > this.newest && this.matches(entry)) this.entries.push(entry);
    }
    const added = this.entries.length - before;
    if (added) this.newest = this.entries.at(-1).seq;
    this.total += added;
    if (this.entries.length > MOST_MATCHES + 5000) {
      this.entries.splice(0, this.entries.length - MOST_MATCHES);
      this.following = this.path(this.entries[0].seq);
      this.dropped = true;
    }
    return added;
  }

  matches({ level, message, metadata }) {
    if (this.levels && !this.levels.includes(level)) return false;
    if (!this.needle || ascii(plain(message)).includes(this.needle)) return true;
    const text = metadata ? ascii(JSON.stringify(metadata)) : "";
    return text.includes(this.needle) || text.includes(this.escaped);
  }

  // Loads older matches, and puts them in front; returns their number.
  async older() {
    if (this.isLoading || !this.hasOlder) return 0;
    this.isLoading = true;
    try {
      const [found, total] = await this.read(this.following);
      this.entries = found.concat(this.entries);
      // the service counts the lines of a level, and not those of a search
      if (total == null) this.total += found.length;
      return found.length;
    } finally {
      this.isLoading = false;
    }
  }

  // Reads pages until there is a screenful, or nothing older; returns the matches, and the total where
  // the service knows it.
  async read(path) {
    let found = [];
    let total;
    do {
      const page = await getJson(path);
      found = page.logs.concat(found);
      total = page.total;
      path = nextPath(path, page.next);
    } while (path && found.length < SCREENFUL && !this.closed);
    this.following = path;
    // a total of a later page counts the lines of that page only
    return [found, this.text ? null : total];
  }

  // Requests nothing any more.
  close() {
    this.closed = true;
  }

  need() {}

  path(before) {
    const query = new URLSearchParams({ before, limit: FIRST });
    if (this.levels) query.set("level", this.levels.join(","));
    if (this.text) query.set("q", this.text);
    return `${runPath(this.id)}/logs?${query}`;
  }
}

// Lower case as the service's search has it: of ASCII letters only.
function ascii(text) {
  return text.replace(/[A-Z]+/g, (letters) => letters.toLowerCase());
}
