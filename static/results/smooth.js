// An exponential mean of a series, without bias at its beginning.

// `ratio` (0 to 1, exclusive) is what is kept from one point to the next. A bucket of n points counts as
// n points of its mean, so that a thinned series has the mean of the whole one. Returns, for each bucket
// with finite values, the place of its last finite entry and the mean there.
export function smoothed({ ys, listed, sizes, means }, ratio) {
  const places = [];
  const values = [];
  let [mean, weight, end] = [0, 0, 0];
  for (let bucket = 0; bucket < sizes.length; bucket += 1) {
    end += listed[bucket];
    if (!Number.isFinite(means[bucket])) continue;
    const kept = ratio ** sizes[bucket];
    weight = weight * kept + 1 - kept;
    // so the sum of all weights is one from the beginning
    const share = (1 - kept) / weight;
    mean = mean * (1 - share) + means[bucket] * share;
    let at = end - 1;
    while (!Number.isFinite(ys[at])) at -= 1;
    places.push(at);
    values.push(mean);
  }
  return { places, values };
}
