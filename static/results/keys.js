// Which keys there are, in which groups, and how each is shown.

const { compare } = new Intl.Collator("en", { numeric: true });

// The part before the first slash: `train` of `train/loss`.
export function groupOf(key) {
  const end = key.indexOf("/");
  return end > 0 ? key.slice(0, end) : "";
}

// A map of groups by name, each a list of [kind, key] in order. `metrics` are maps of metrics by key, one
// of each run. A key with a single point is a tile, with more a chart; with other values than numbers it
// has those too, if `hasValues` says that they are shown.
export function layOut(metrics, filter, hasValues) {
  const words = filter.trim().toLowerCase().split(/\s+/);
  const found = new Map();
  for (const keys of metrics) {
    for (const { key, count, points } of keys.values()) {
      const most = found.get(key) ?? { points: 0, others: 0 };
      found.set(key, { points: Math.max(most.points, points), others: Math.max(most.others, count - points) });
    }
  }
  const keys = [...found.keys()].filter((key) => words.every((word) => key.toLowerCase().includes(word))).sort(compare);
  const groups = new Map([...new Set(keys.map(groupOf))].sort(compare).map((name) => [name, []]));
  for (const key of keys) {
    const { points, others } = found.get(key);
    const items = groups.get(groupOf(key));
    if (points) items.push([points === 1 ? "tile" : "chart", key]);
    if (others && hasValues) items.push(["values", key]);
  }
  for (const [name, items] of groups) if (!items.length) groups.delete(name);
  return groups;
}
