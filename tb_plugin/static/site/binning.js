// Bins of a histogram, to the last digit as NumPy computes them on the server. Pure.

/** numpy.linspace(low, high, bins + 1). @param {number} low @param {number} high
 * @param {number} bins */
export function linspace(low, high, bins) {
  const step = (high - low) / bins;
  const edges = Array.from({ length: bins + 1 }, (_, i) => i * step + low);
  edges[bins] = high;
  return edges;
}

/** numpy.histogram of values that are clipped to the edges; values that are not finite are left out.
 * @param {ArrayLike<number>} values @param {number[]} edges  increasing */
export function histogramCounts(values, edges) {
  const last = edges.length - 1;
  const counts = new Array(last).fill(0);
  for (let i = 0; i < values.length; i++) {
    if (!Number.isFinite(values[i])) continue;
    const value = Math.min(edges[last], Math.max(edges[0], values[i]));
    // The bin whose left edge is the last one not above the value; the last bin is closed.
    let low = 0;
    let high = last;
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if (edges[middle] <= value) low = middle;
      else high = middle;
    }
    counts[low]++;
  }
  return counts;
}
