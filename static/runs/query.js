// The language that filters runs: terms between spaces, all of which must hold.
//
//   lr<1e-3   status:failed   loss<0.2   tag:baseline   -tag:old   "some text"   took>2h
//
// A term is a text, or a name, an operator and a value. `-` before a term means not. Double quotes hold
// names and values with spaces or operators in them.

import { isNumeric } from "./values.js";

const OPERATOR = /^(<=|>=|!=|[:=<>])/;
const SECONDS = { s: 1, sec: 1, m: 60, min: 60, h: 3600, d: 86400, w: 604800 };

export class QueryError extends Error {
  // `at` is where the fault begins in the text, and `length` how long it is.
  constructor(message, at, length = 1) {
    super(message);
    this.at = at;
    this.length = Math.max(1, length);
  }
}

// The terms of a text: {not, name, operator, value, at, length, valueAt}; a text alone has no name.
// Raises QueryError.
export function parse(text) {
  const terms = [];
  let at = 0;
  for (;;) {
    at += text.slice(at).match(/^\s*/)[0].length;
    if (at >= text.length) return terms;
    const term = readTerm(text, at);
    terms.push(term);
    at += term.length;
  }
}

function readTerm(text, begin) {
  let at = begin;
  const not = text[at] === "-" && /\S/.test(text[at + 1] ?? "");
  if (not) at += 1;
  const first = readWord(text, at, true);
  at += first.length;
  const operator = text.slice(at).match(OPERATOR)?.[0];
  if (!operator) {
    if (!first.value) throw new QueryError("a text is missing between these quotes", begin, at - begin);
    return { not, name: null, operator: null, value: first.value, at: begin, length: at - begin, valueAt: begin };
  }
  if (!first.value) throw new QueryError(`a name is missing before ${operator}`, at, operator.length);
  at += operator.length;
  const second = readWord(text, at, false);
  if (!second.length || (!second.value && !second.isQuoted)) throw new QueryError(`a value is missing after ${first.value}${operator}`, at - operator.length, operator.length);
  return { not, name: first.value, operator, value: second.value, isQuoted: second.isQuoted, at: begin, length: at + second.length - begin, valueAt: at };
}

// A word, or a text between double quotes. A word ends at a space, and as a name at an operator.
function readWord(text, at, isName) {
  if (text[at] === '"') {
    const end = text.indexOf('"', at + 1);
    if (end < 0) throw new QueryError("this quote has no end", at, text.length - at);
    return { value: text.slice(at + 1, end), length: end + 1 - at, isQuoted: true };
  }
  const value = text.slice(at).match(isName ? /^(?:!(?!=)|[^\s":=<>!])*/ : /^\S*/)[0];
  return { value, length: value.length, isQuoted: false };
}

// A function that tells of an item whether all terms hold. `find(name)` gives a column {id, type, value(item)}
// or raises an Error that says why there is none; `words(item)` gives the text that terms without a name
// search. Raises QueryError.
export function compile(terms, find, words) {
  const tests = terms.map((term) => {
    const test = term.name === null ? textTest(term, words) : columnTest(term, find);
    return term.not ? (item) => !test(item) : test;
  });
  return (item) => tests.every((test) => test(item));
}

function textTest({ value }, words) {
  const wanted = value.toLowerCase();
  return (item) => words(item).includes(wanted);
}

function columnTest(term, find) {
  let column;
  try {
    column = find(term.name);
  } catch (error) {
    throw new QueryError(error.message, term.at + (term.not ? 1 : 0), term.name.length);
  }
  const { operator } = term;
  if (operator === "!=") {
    const same = equality(column, term);
    return (item) => !same(item);
  }
  if (operator === ":" || operator === "=") return equality(column, term);
  const limit = measure(term.value, column, term);
  const holds = { "<": (a) => a < limit, ">": (a) => a > limit, "<=": (a) => a <= limit, ">=": (a) => a >= limit }[operator];
  return (item) => {
    const value = column.value(item);
    return isNumeric(value) && holds(value);
  };
}

// `:` of a text means that it is in the value, and takes several values between commas; `=` means the same value.
function equality(column, term) {
  const wanted = term.operator === ":" && !term.isQuoted ? term.value.split(",").filter(Boolean) : [term.value];
  if (!wanted.length) throw new QueryError(`a value is missing after ${term.name}:`, term.valueAt, term.value.length);
  if (column.choices) check(column, wanted, term);
  const numbers = ["number", "span", "time", "percent"].includes(column.type) ? wanted.map((value) => measure(value, column, term)) : null;
  const texts = wanted.map((value) => value.toLowerCase());
  const isPart = term.operator === ":" && column.type === "text";
  return (item) => {
    const value = (column.terms ?? column.value)(item);
    if (value === undefined) return false;
    if (numbers) return numbers.some((number) => Object.is(number, value) || number == value);
    if (Array.isArray(value)) return value.some((each) => texts.includes(String(each).toLowerCase()));
    if (isNumeric(value)) return wanted.some((text) => text.trim() !== "" && Number(text) === Number(value));
    const text = String(value).toLowerCase();
    return texts.some((each) => (isPart ? text.includes(each) : text === each));
  };
}

function check(column, wanted, term) {
  for (const value of wanted) {
    if (!column.choices.includes(value.toLowerCase())) {
      throw new QueryError(`${column.title} is one of ${column.choices.join(", ")}; not “${value}”`, term.valueAt, term.value.length);
    }
  }
}

// The number that a value means in a column: a span in seconds, a time in milliseconds, a part of 1 for percent.
function measure(text, column, term) {
  const fault = (what) => new QueryError(`“${text}” is no ${what}`, term.valueAt, term.value.length);
  if (column.type === "span") {
    const seconds = spanOf(text);
    if (seconds === null) throw fault("duration: write 90s, 10m, 2h or 1d");
    return seconds;
  }
  if (column.type === "time") {
    const time = timeOf(text);
    if (Number.isNaN(time)) throw fault("date: write 2026-11-26, 2026-11-26T18:30, today or yesterday");
    return time;
  }
  if (column.type === "percent") {
    const part = Number(text.replace(/%$/, "")) / 100;
    if (text === "%" || Number.isNaN(part)) throw fault("percentage: write 50%");
    return part;
  }
  if (/^[+-]?(nan|inf(inity)?)$/i.test(text)) return /nan/i.test(text) ? NaN : text.startsWith("-") ? -Infinity : Infinity;
  const number = text.trim() === "" ? NaN : Number(text);
  if (Number.isNaN(number)) throw fault("number");
  return number;
}

function spanOf(text) {
  if (/^\d+(\.\d+)?$/.test(text)) return Number(text);
  const parts = [...text.matchAll(/(\d+(?:\.\d+)?)(sec|min|[smhdw])/g)];
  if (!parts.length || parts.map(([part]) => part).join("") !== text) return null;
  return parts.reduce((sum, [, count, unit]) => sum + Number(count) * SECONDS[unit], 0);
}

// A date without a time is the beginning of the day here.
function timeOf(text) {
  const today = new Date();
  today.setHours(0, 0, 0, 0);
  if (text === "today") return today.getTime();
  if (text === "yesterday") return today.setDate(today.getDate() - 1);
  return Date.parse(/^\d{4}-\d\d?-\d\d?$/.test(text) ? `${text}T00:00` : text);
}
