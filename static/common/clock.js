// The service's clock. Running durations and ETAs use it: the computer that shows the page may have another time.

const clock = { low: -Infinity, high: Infinity };
// The milliseconds that a `Date` header may be behind: it has whole seconds, and uvicorn renews it after ten of its
// ticks, which take 100 ms or a little more.
const BEHIND = 2100;

// The service's time in milliseconds since the epoch.
export function serviceNow() {
  return Date.now() + offset();
}

// Learns from the `Date` header of a response: the service's clock was between that second and BEHIND later at some
// moment between sending the request and receiving the response (both by this computer's clock).
export function learn(date, sentAt, receivedAt = Date.now()) {
  const second = Date.parse(date ?? "");
  if (Number.isNaN(second)) return;
  const low = second - receivedAt;
  const high = second + BEHIND - sentAt;
  // one of the two clocks was set
  const isSet = low > clock.high || high < clock.low;
  clock.low = isSet ? low : Math.max(clock.low, low);
  clock.high = isSet ? high : Math.min(clock.high, high);
}

// The offset that all responses allow: none if possible, else the middle.
function offset() {
  const { low, high } = clock;
  if (low === -Infinity || (low <= 0 && high >= 0)) return 0;
  return (low + high) / 2;
}
