// JSON whose integers stay exact. Beyond 2^53 they are BigInt, where the browser gives a reviver the source text.

// Only texts with so many digits in a row can have such an integer; the others are parsed without a reviver.
const LONG = /\d{16}/;
const INTEGER = /^-?\d+$/;

export function parse(text) {
  return LONG.test(text) ? JSON.parse(text, exact) : JSON.parse(text);
}

function exact(_, value, context) {
  if (typeof value !== "number" || Number.isSafeInteger(value)) return value;
  return INTEGER.test(context?.source) ? BigInt(context.source) : value;
}

// The JSON text of a value that may have BigInts in it.
export function text(value, indent) {
  return JSON.stringify(value, (_, each) => (typeof each === "bigint" ? JSON.rawJSON(String(each)) : each), indent);
}
