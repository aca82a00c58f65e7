// What of a result is a point of a curve.

const NOT_FINITE = new Map([["NaN", NaN], ["Infinity", Infinity], ["-Infinity", -Infinity]]);

// The value as a number; undefined for other values. Three texts mean numbers (docs/protocol.md).
export function numberOf(value) {
  if (typeof value === "bigint") return Number(value);
  return typeof value === "number" ? value : NOT_FINITE.get(value);
}
