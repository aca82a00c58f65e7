// What the service answered, and what came since its request began: together nothing is missing, and
// nothing is there twice.

export class Live {
  // `make(answer)` gives an object with `append(result)`, which drops what it has
  constructor(make) {
    this.make = make;
    this.value = null;
    this.since = null;
    this.isStale = false;
  }

  get isLoading() {
    return this.since !== null;
  }

  get isCurrent() {
    return this.isLoading || (this.value !== null && !this.isStale);
  }

  // Begins a request; returns what `end` needs. An earlier request that is under way counts no more.
  begin() {
    this.since = [];
    return this.since;
  }

  end(since, answer) {
    if (since !== this.since) return;
    this.value = this.make(answer);
    for (const result of since) this.value.append(result);
    this.since = null;
    this.isStale = false;
  }

  fail(since) {
    if (since === this.since) this.since = null;
  }

  // Live results are missing: the value stays, until it is requested again.
  expire() {
    this.since = null;
    this.isStale = true;
  }

  append(result) {
    this.since?.push(result);
    return this.value?.append(result) ?? false;
  }
}
