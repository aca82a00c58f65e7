// Which runs a table shows, in which order, in which groups, and with which columns.

import { groupId } from "../results/view.js";
import { bestOf, columnOf, DIFFERING, leadingMetrics, METRICS, NAME, Names } from "./columns.js";
import { wordsOf } from "./collection.js";
import { compile, parse, QueryError } from "./query.js";
import { compare, isNumeric, plain, spread } from "./values.js";

const MOST_COLUMNS = 120;
const MOST_METRICS = 50;
// the part of the time that arrangements may take
const SHARE = 0.1;

export class Arrangement {
  // Keeps `filter`, `sort`, `columns`, `group` and `open` in the address. `standard` has the ids of the columns of an
  // address that has none; `mostDiffering` and `mostMetrics` bound those that come by themselves.
  constructor(address, { standard, mostDiffering, mostMetrics, hasExperiments }) {
    this.address = address;
    this.standard = standard;
    this.hasExperiments = hasExperiments;
    this.bounds = { mostDiffering, mostMetrics };
    this.metrics = [];
    this.items = [];
    this.entries = [];
    this.columns = [];
    this.fault = null;
    this.accepts = () => true;
    this.took = 0;
  }

  get filter() {
    return this.address.get("filter") ?? "";
  }

  get sort() {
    const given = this.address.get("sort");
    if (!given) return null;
    const isDown = given.startsWith("-");
    return { id: isDown ? given.slice(1) : given, sign: isDown ? -1 : 1 };
  }

  get group() {
    return this.address.get("group");
  }

  get tokens() {
    const given = this.address.getAll("columns");
    return given.length ? given : this.standard;
  }

  // The tokens in the order of the columns. Beside charts there is little room: what sorts, settings and metrics have it.
  get ordered() {
    const { tokens } = this;
    if (tokens !== this.standard || !this.isNarrow) return tokens;
    const [late, sorted] = [["began", "took", "progress"], this.sort?.id ?? NAME.id];
    return [tokens[0], sorted, ...tokens.filter((token) => !late.includes(token)), ...late];
  }

  set tokens(tokens) {
    const same = tokens.join("\n") === this.standard.join("\n");
    // without any chosen column there is still the name
    this.address.set({ columns: same ? [] : tokens.length ? tokens : [NAME.id] });
  }

  // Milliseconds to wait before the next arrangement, so that many changes do not take all the time.
  get pause() {
    return Math.min(1000, this.took / SHARE);
  }

  // What names in the filter stand for, where that is not what is written.
  get meanings() {
    if (this.fault) return [];
    const named = (this.terms ?? []).filter(({ name }) => name).map(({ name }) => [name, this.names.find(name).id]);
    return named.filter(([name, id]) => /^(config|last|least|greatest)\./.test(id) && name !== id && `config.${name}` !== id).map(([name, id]) => `${name} is ${id}`);
  }

  // Whether the order, the groups or the filter may depend on the progress, or on the metrics, of a run.
  dependsOn(what) {
    const ids = [this.sort?.id, ...(this.group ? this.columns.map(({ id }) => id) : [])].filter(Boolean);
    const isOf = what === "progress" ? (id) => id === "progress" : (id) => /^(last|least|greatest)\./.test(id);
    const names = this.fault ? [] : (this.terms ?? []).filter(({ name }) => name).map(({ name }) => this.names.find(name).id);
    return [...ids, ...names].some(isOf);
  }

  // Arranges the items of a collection, whose `version` grows when configurations change.
  update(items, version = -1) {
    const began = performance.now();
    this.all = [...items];
    if (version < 0 || version !== this.version) this.configs = configKeys(this.all);
    this.version = version;
    this.names = new Names({ configs: this.configs, metrics: new Set(this.metrics.map(({ key }) => key)), arePartial: this.hasExperiments });
    this.select();
    // what is derived from configurations stays while the same runs are shown
    const shown = this.items.reduce((hash, { rank }) => (hash * 31 + rank) | 0, this.items.length);
    const signature = `${version} ${shown} ${this.all.length}`;
    if (version < 0 || signature !== this.signature) {
      this.differingKeys = null;
      this.lengths = new Map();
    }
    this.signature = signature;
    this.order();
    this.columns = this.chooseColumns();
    this.took = performance.now() - began;
  }

  // A filter that can't be understood leaves the runs as they were chosen before.
  select() {
    try {
      this.terms = parse(this.filter);
      this.accepts = compile(this.terms, (name) => this.names.find(name), wordsOf);
      this.fault = null;
    } catch (error) {
      if (!(error instanceof QueryError)) throw error;
      this.fault = error;
    }
    this.items = this.all.filter(this.accepts);
  }

  // The metrics that columns, filter and sort need.
  wantedMetrics() {
    const ids = [...this.expand(), ...(this.sort ? [this.sort.id] : [])];
    const columns = ids.map(columnOf);
    for (const { name } of this.terms ?? []) {
      try {
        if (name) columns.push(this.names.find(name));
      } catch {
        // the filter says so itself
      }
    }
    const keys = columns.filter((column) => column?.kind === "metric").map(({ key }) => key);
    return [...new Set(keys)].slice(0, MOST_METRICS);
  }

  // The metrics to read with the runs, before any is known.
  initialMetrics() {
    this.update([]);
    return this.wantedMetrics();
  }

  // The ids of the columns: tokens become what they stand for.
  expand(token) {
    const each = (one) => {
      if (one === DIFFERING) return this.differing().map((key) => `config.${key}`);
      if (one !== METRICS) return [one];
      return leadingMetrics(this.metrics, this.bounds.mostMetrics).flatMap((key) => [`last.${key}`, `${bestOf(key)}.${key}`]);
    };
    return token ? each(token) : [...new Set(this.ordered.flatMap(each))];
  }

  // The keys of the configuration that differ between the shown runs; between all of them if one is shown.
  differing() {
    return (this.differingKeys ??= this.findDiffering());
  }

  findDiffering() {
    const items = this.items.length > 1 ? this.items : (this.all ?? []);
    const keys = new Map();
    for (const { config } of items) {
      for (const [key, value] of config) {
        const known = keys.get(key);
        if (!known) keys.set(key, { value, count: 1, differs: false });
        else {
          known.count += 1;
          known.differs ||= known.value !== value;
        }
      }
    }
    return [...keys].filter(([, { count, differs }]) => differs || count < items.length)
      .map(([key, { count }], at) => ({ key, count, at })).sort((one, other) => other.count - one.count || one.at - other.at)
      .slice(0, this.bounds.mostDiffering).map(({ key }) => key);
  }

  chooseColumns() {
    const ids = this.expand().filter((id) => id !== NAME.id);
    const columns = [NAME, ...ids.map(columnOf).filter(Boolean).slice(0, MOST_COLUMNS)];
    // the last part of a nested key is enough where no other column ends so
    const ends = new Map();
    for (const { title } of columns) ends.set(endOf(title), (ends.get(endOf(title)) ?? 0) + 1);
    return columns.map((column) => this.fit(column.kind === "config" && ends.get(endOf(column.title)) === 1 ? { ...column, title: endOf(column.title) } : column));
  }

  // The column with its width in rem, and with the best of its values.
  fit(column) {
    const isName = column.id === NAME.id;
    const fitted = { ...column };
    if (column.kind || isName || column.id === "experiment" || column.id === "tags") {
      if (!this.lengths.has(column.id)) this.lengths.set(column.id, this.items.slice(0, 300).reduce((most, item) => Math.max(most, this.lengthOf(column, item)), 0));
      let longest = this.lengths.get(column.id);
      const title = column.title.length * 0.47 + 2.4;
      const [least, most] = isName ? [9, this.isNarrow ? 15 : 20] : column.kind === "metric" ? [5.6, 9] : [4, 14];
      if (isName) for (const group of this.groups ?? []) longest = Math.max(longest, group.name.length + 6);
      fitted.width = Math.max(least, Math.min(most, Math.max(title, longest * 0.5 + 1.6 + (isName ? 2.4 : 0))));
    }
    if (column.kind === "metric" && this.groups) fitted.width = Math.max(fitted.width, 8.5);
    if (column.id === "status" && this.groups) fitted.width = 10;
    // an error's last line has room
    if (column.id === "progress" && !this.isNarrow && this.items.some(({ run }) => run.error)) fitted.width = 17;
    if (["least", "greatest"].includes(column.which)) {
      const sign = column.which === "least" ? 1 : -1;
      fitted.best = this.items.map(column.value).filter((value) => value !== undefined).reduce((best, value) => (best !== undefined && compare(best, value, sign) <= 0 ? best : value), undefined);
    }
    return fitted;
  }

  lengthOf(column, item) {
    const value = column.value(item);
    if (value === undefined) return 0;
    return column.kind === "metric" ? 8 : Array.isArray(value) ? value.join(", ").length : plain(value).length;
  }

  order() {
    const { sort } = this;
    const column = sort && columnOf(sort.id);
    const newest = (one, other) => other.rank - one.rank;
    const values = new Map(column ? this.items.map((item) => [item, sortable(column.value(item))]) : []);
    this.items.sort(column ? (one, other) => compare(values.get(one), values.get(other), sort.sign) || newest(one, other) : newest);
    const grouping = this.group && columnOf(this.group);
    this.groups = grouping ? this.groupBy(grouping, column) : null;
    this.entries = this.groups ? this.groups.flatMap((group) => [group, ...(group.isOpen ? group.items.map((item) => entry(item, 2)) : [])]) : this.items.map((item) => entry(item, 1));
  }

  groupBy(grouping, column) {
    const open = new Set(this.address.getAll("open"));
    const groups = new Map();
    for (const item of this.items) {
      const value = sortable(grouping.value(item));
      const text = value === undefined || value === "" ? "none" : plain(value);
      if (!groups.has(text)) groups.set(text, new Group(grouping, value, text, open.has(text)));
      groups.get(text).items.push(item);
    }
    const sorted = [...groups.values()];
    const isByGroup = !column || column.id === grouping.id;
    const sign = column ? this.sort.sign : 1;
    const key = (group) => (isByGroup ? group.value : group.middle(column));
    return sorted.sort((one, other) => compare(key(one), key(other), sign));
  }

  toggle(group) {
    const open = new Set(this.address.getAll("open"));
    if (!open.delete(group.text)) open.add(group.text);
    this.address.set({ open: [...open] });
  }

  // Sorts by a column; again in the other direction; a third time not at all.
  sortBy(column) {
    const first = column.which === "greatest" || ["time", "span", "percent"].includes(column.type) ? -1 : 1;
    const { sort } = this;
    const sign = sort?.id !== column.id ? first : sort.sign === first ? -first : 0;
    this.address.set({ sort: sign ? `${sign < 0 ? "-" : ""}${column.id}` : null });
  }

  // Shows the greatest value of a metric in the place of the least one, or the other way round.
  turn(column) {
    const other = `${column.which === "least" ? "greatest" : "least"}.${column.key}`;
    const tokens = this.tokens.flatMap((token) => (token !== column.id && this.expand(token).includes(column.id) ? this.expand(token) : [token]));
    this.tokens = tokens.map((token) => (token === column.id ? other : token));
    if (this.sort?.id === column.id) this.address.set({ sort: `${column.which === "least" ? "-" : ""}${other}` });
  }

  // Shows or hides a column, or what a token stands for.
  show(id, wanted) {
    const tokens = this.tokens.flatMap((token) => (token !== id && !wanted && this.expand(token).includes(id) ? this.expand(token) : [token]));
    this.tokens = wanted ? [...tokens.filter((token) => token !== id), id] : tokens.filter((token) => token !== id);
  }
}

// Runs with the same value of a key.
class Group {
  constructor(column, value, text, isOpen) {
    this.kind = "group";
    this.column = column;
    this.value = value;
    this.text = text;
    this.id = groupId(this.name);
    this.isOpen = isOpen;
    this.items = [];
    this.level = 1;
  }

  get name() {
    return `${this.column.title} = ${this.text}`;
  }

  spread(column) {
    return spread(this.items.map((item) => column.value(item)));
  }

  // What groups are sorted by: the mean, or the first text.
  middle(column) {
    const { mean } = this.spread(column);
    return mean ?? this.items.map((item) => sortable(column.value(item))).sort((one, other) => compare(one, other))[0];
  }
}

function endOf(key) {
  return key.split(".").at(-1) || key;
}

function entry(item, level) {
  return { kind: "run", id: item.id, item, level };
}

function sortable(value) {
  if (Array.isArray(value)) return value.join(", ") || undefined;
  return typeof value === "boolean" ? String(value) : value;
}

// The keys of all configurations, and whether a value of each is a number.
function configKeys(items) {
  const keys = new Map();
  for (const { config } of items) {
    for (const [key, value] of config) if (!keys.get(key)) keys.set(key, isNumeric(value));
  }
  return keys;
}

// The keys by which runs can be grouped: [id, title].
export function groupings(arrangement) {
  const keys = arrangement.differing();
  return [
    ...(arrangement.hasExperiments ? [["experiment", "experiment"]] : []), ["status", "status"],
    ...keys.map((key) => [`config.${key}`, key]),
  ];
}
