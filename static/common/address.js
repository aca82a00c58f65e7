// The part of the address after #: a path, and in its query what a view keeps, so that a link shows it.

export class Address {
  // Raises URIError for a path that is badly encoded.
  constructor(hash = location.hash) {
    const [path, query] = hash.replace(/^#/, "").split(/\?(.*)/s);
    this.parts = path.split("/").filter(Boolean).map(decodeURIComponent);
    this.query = new URLSearchParams(query);
  }

  get(name) {
    return this.query.get(name);
  }

  // The values of a field that is there several times.
  getAll(name) {
    return this.query.getAll(name);
  }

  // Sets fields of the query: a list as a field for each item. Null, "" and an empty list remove a field.
  // The history gets no new entry.
  set(fields) {
    for (const [name, value] of Object.entries(fields)) {
      this.query.delete(name);
      for (const each of Array.isArray(value) ? value : [value]) if (each != null && each !== "") this.query.append(name, each);
    }
    history.replaceState(history.state, "", this.hash);
  }

  // Replaces the path, and keeps the query.
  turn(...parts) {
    this.parts = parts;
    history.replaceState(history.state, "", this.hash);
  }

  // Replaces the path, and removes the query.
  go(...parts) {
    this.parts = parts;
    this.query = new URLSearchParams();
    history.replaceState(history.state, "", this.hash);
  }

  get hash() {
    const query = this.query.toString();
    return `#/${this.parts.map(encodeURIComponent).join("/")}${query ? `?${query}` : ""}`;
  }
}
