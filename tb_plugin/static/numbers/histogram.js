// Histograms: counts of values in bins of equal width. Pure.

/** Histogram of values with bins of equal width; gaps are left out.
 * @param {ArrayLike<number>} values @param {number} nBins
 * @param {[number, number]} extent  extent that contains all values
 * @returns {{edges: number[], counts: number[]}} */
export function histogram(values, nBins, [low, high]) {
  const edges = Array.from({ length: nBins + 1 }, (_, i) => low + ((high - low) * i) / nBins);
  const counts = new Array(nBins).fill(0);
  for (let i = 0; i < values.length; i++)
    if (!Number.isNaN(values[i])) counts[binOf(edges, values[i])]++;
  return { edges, counts };
}

/** The bin of a value; the last bin includes its upper edge.
 * @param {number[]} edges @param {number} value */
export function binOf(edges, value) {
  const above = edges.findIndex((edge) => edge > value);
  return Math.min(edges.length - 2, Math.max(0, (above < 0 ? edges.length : above) - 1));
}

/** The outline of a histogram, two points a bin. @param {number[]} edges @param {number[]} heights
 * @returns {[number, number][]} */
export function histogramOutline(edges, heights) {
  return heights.flatMap((height, i) => [
    /** @type {[number, number]} */ ([edges[i], height]),
    /** @type {[number, number]} */ ([edges[i + 1], height]),
  ]);
}

/** Counts of one layer's histogram, or of all layers together (null), and the mean of the values.
 * @param {import("./types.js").LayerDistribution[]} layers @param {string | null} name */
export function pooledCounts(layers, name) {
  const chosen = layers.filter((l) => l.counts && (name === null || l.layer === name));
  const counts = /** @type {number[]} */ ([]);
  for (const layer of chosen)
    layer.counts?.forEach((count, i) => (counts[i] = (counts[i] ?? 0) + count));
  const n = chosen.reduce((sum, layer) => sum + layer.n, 0);
  const total = chosen.reduce((sum, layer) => sum + layer.n * (layer.mean ?? NaN), 0);
  return { counts, n, mean: total / n };
}
