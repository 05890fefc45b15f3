// Computes what charts show from stored numbers. Pure: no page, no network.

/** Mean, s.d., 10 % and 90 % quantiles and extremes over the orderings at each point; gaps (null)
 * are left out.
 *
 * The s.d. is the sample s.d. over orderings (n - 1 in the denominator; 0 for one ordering).
 * @param {(number | null)[][]} rows  one row per ordering
 */
export function summarizeOrderings(rows) {
  const points = rows[0].map(
    (_, i) => /** @type {number[]} */ (rows.map((r) => r[i]).filter((v) => v !== null)),
  );
  return {
    mean: points.map(mean),
    sd: points.map(standardDeviation),
    q10: points.map((values) => quantile(values, 0.1)),
    q90: points.map((values) => quantile(values, 0.9)),
    low: points.map((values) => (values.length ? Math.min(...values) : NaN)),
    high: points.map((values) => (values.length ? Math.max(...values) : NaN)),
  };
}

/** Quantile, linear between the two nearest values, as in NumPy. @param {number[]} values
 * @param {number} share in [0, 1] @returns {number} NaN for none */
export function quantile(values, share) {
  if (!values.length) return NaN;
  const sorted = [...values].sort((a, b) => a - b);
  const place = share * (sorted.length - 1);
  const below = Math.floor(place);
  const above = Math.min(below + 1, sorted.length - 1);
  return sorted[below] + (place - below) * (sorted[above] - sorted[below]);
}

/** @param {number[]} values @returns {number} NaN for none */
export function mean(values) {
  return values.length ? values.reduce((sum, v) => sum + v, 0) / values.length : NaN;
}

/** @param {number[]} values */
export function standardDeviation(values) {
  if (values.length < 2) return values.length ? 0 : NaN;
  const centre = mean(values);
  return Math.sqrt(values.reduce((sum, v) => sum + (v - centre) ** 2, 0) / (values.length - 1));
}

/** Accuracy relative to the intact network: 1 before any ablation.
 *
 * @param {number[]} x  units ablated; must begin with 0
 * @param {(number | null)[][]} rows
 * @returns {(number | null)[][]}
 */
export function relativeToIntact(x, rows) {
  if (x[0] !== 0) throw new Error("invalid curve: no point without ablation");
  return rows.map((row) => {
    const intact = row[0];
    if (intact === null || !(intact > 0))
      throw new Error(`invalid curve: accuracy before ablation is ${intact}`);
    return row.map((value) => (value === null ? null : value / intact));
  });
}

/** Trapezoid rule. @param {number[]} x @param {(number | null)[]} y */
export function areaUnderCurve(x, y) {
  let area = 0;
  for (let i = 1; i < x.length; i++) {
    area += ((x[i] - x[i - 1]) * (Number(y[i] ?? NaN) + Number(y[i - 1] ?? NaN))) / 2;
  }
  return area;
}

/** Area under accuracy against the fraction of units ablated, raw and divided by the intact
 * accuracy.
 *
 * @param {number[]} x  units ablated
 * @param {(number | null)[][]} rows
 * @param {number} nUnits
 * @returns {{auc: number, normalized: number, normalizedSd: number, intact: number}} NaN for a
 *     curve that does not reach from no unit to all units
 */
export function curveAreas(x, rows, nUnits) {
  const intact = mean(
    /** @type {number[]} */ (rows.map((row) => row[0]).filter((v) => v !== null)),
  );
  if (x[0] !== 0) return { auc: NaN, normalized: NaN, normalizedSd: NaN, intact: NaN };
  if (x[x.length - 1] !== nUnits) return { auc: NaN, normalized: NaN, normalizedSd: NaN, intact };
  const fraction = x.map((count) => count / nUnits);
  const areas = rows.map((row) => areaUnderCurve(fraction, row));
  const normalized = rows.map((row, i) => areas[i] / (row[0] || NaN));
  return {
    auc: mean(areas),
    normalized: mean(normalized),
    normalizedSd: standardDeviation(normalized),
    intact,
  };
}

/** Ranks from 1; ties get their mean rank. @param {ArrayLike<number>} values  no NaN */
export function ranks(values) {
  // Typed arrays sort numbers natively, many times faster than with a comparison function; and a
  // search in them is many times faster than a Map of 100,000 numbers.
  const sorted = Float64Array.from(values).sort();
  const shared = new Float64Array(sorted.length);
  for (let start = 0; start < sorted.length;) {
    let end = start;
    while (end + 1 < sorted.length && sorted[end + 1] === sorted[start]) end++;
    shared.fill((start + end) / 2 + 1, start, end + 1);
    start = end + 1;
  }
  return Float64Array.from(values, (value) => shared[firstPlace(sorted, value)]);
}

/** First index of a value among sorted values. @param {Float64Array} sorted
 * @param {number} value  one of them */
function firstPlace(sorted, value) {
  let low = 0;
  let high = sorted.length - 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (sorted[middle] < value) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Pearson's correlation; NaN where one side is constant.
 * @param {ArrayLike<number>} x @param {ArrayLike<number>} y */
export function pearson(x, y) {
  const { sxx, sxy, syy } = moments(x, y);
  return sxx > 0 && syy > 0 ? sxy / Math.sqrt(sxx * syy) : NaN;
}

/** Spearman's rank correlation. @param {ArrayLike<number>} x @param {ArrayLike<number>} y */
export function spearman(x, y) {
  return pearson(ranks(x), ranks(y));
}

/** 95 % interval of a fraction (Wilson); also right at 0 and 1.
 * @param {number} k  of n @param {number} n @returns {[number, number]} */
export function wilson(k, n) {
  if (!(n > 0)) return [NaN, NaN];
  const z2 = 1.959964 ** 2;
  const centre = (k + z2 / 2) / (n + z2);
  const width = Math.sqrt(z2 * ((k * (n - k)) / n + z2 / 4)) / (n + z2);
  return [Math.max(0, centre - width), Math.min(1, centre + width)];
}

/** Change of a fraction between two readings of the same n images, with its 95 % interval: Wald's
 * with 1/2 added to each of the four cells (Agresti and Min 2005), also right for few changes.
 * @param {number} lost  correct only in the first reading @param {number} gained  correct only in
 * the second reading
 * @param {number} n @returns {{change: number, interval: [number, number]}} */
export function pairedChange(lost, gained, n) {
  if (!(n > 0)) return { change: NaN, interval: [NaN, NaN] };
  const [b, c, m] = [lost + 0.5, gained + 0.5, n + 2];
  const centre = (c - b) / m;
  const width = 1.959964 * Math.sqrt((b + c) / m - centre ** 2) / Math.sqrt(m);
  return {
    change: (gained - lost) / n,
    interval: [Math.max(-1, centre - width), Math.min(1, centre + width)],
  };
}

/** Least squares y = slope x + intercept; null where x is constant.
 * @param {ArrayLike<number>} x @param {ArrayLike<number>} y */
export function leastSquares(x, y) {
  const { sxx, sxy, mx, my } = moments(x, y);
  return sxx > 0 ? { slope: sxy / sxx, intercept: my - (sxy / sxx) * mx } : null;
}

/** @param {ArrayLike<number>} x @param {ArrayLike<number>} y */
function moments(x, y) {
  const n = x.length;
  let mx = 0;
  let my = 0;
  for (let i = 0; i < n; i++) {
    mx += x[i] / n;
    my += y[i] / n;
  }
  let sxx = 0;
  let sxy = 0;
  let syy = 0;
  for (let i = 0; i < n; i++) {
    sxx += (x[i] - mx) ** 2;
    sxy += (x[i] - mx) * (y[i] - my);
    syy += (y[i] - my) ** 2;
  }
  return { mx, my, sxx, sxy, syy };
}

/** A unit table from its bytes: columns of n little-endian float32, one after the other.
 *
 * @param {ArrayBuffer} bytes
 * @param {import("./types.js").TableHeader} header
 * @returns {import("./types.js").UnitTable}
 */
export function decodeTable(bytes, header) {
  const { n, columns, layers } = header;
  if (bytes.byteLength !== 4 * n * columns.length) {
    throw new Error(
      `invalid table: ${bytes.byteLength} bytes for ${n} rows of ${columns.length} columns`,
    );
  }
  const column = (/** @type {number} */ i) => new Float32Array(bytes, 4 * n * i, n);
  const measured = new Map(columns.map((name, i) => [name, column(i)]));
  measured.delete("layer");
  measured.delete("unit");
  return { n, layers, layer: column(0), unit: column(1), columns: measured };
}

/** Whether each unit is silent: never active on any image.
 *
 * A unit is silent if its mean_activation is 0; without this column, if all its values are 0.
 * @param {import("./types.js").UnitTable} table
 * @returns {boolean[]}
 */
export function silentUnits(table) {
  const activation = table.columns.get("mean_activation");
  const columns = activation ? [activation] : [...table.columns.values()];
  return Array.from({ length: table.n }, (_, i) => columns.every((column) => column[i] === 0));
}

/** Columns that can be an axis: one number for each unit, not one for each class.
 * @param {Iterable<string>} names */
export function axisColumns(names) {
  return [...names].filter((name) => !/^class_(mean|drop)\/\d+$/.test(name));
}

/** Which points lie inside an outline (even-odd rule).
 * @param {ArrayLike<number>} x @param {ArrayLike<number>} y
 * @param {[number, number][]} outline @returns {number[]} their places */
export function inside(x, y, outline) {
  const [left, right] = span(outline.map((corner) => corner[0]));
  const [bottom, top] = span(outline.map((corner) => corner[1]));
  const found = [];
  for (let i = 0; i < x.length; i++) {
    const boxed = x[i] >= left && x[i] <= right && y[i] >= bottom && y[i] <= top;
    if (boxed && crossings(x[i], y[i], outline) % 2) found.push(i);
  }
  return found;
}

/** The smallest and the largest value, for any number of values. @param {ArrayLike<number>} values
 * @returns {[number, number]} */
export function span(values) {
  let [low, high] = [Infinity, -Infinity];
  for (let i = 0; i < values.length; i++) {
    if (values[i] < low) low = values[i];
    if (values[i] > high) high = values[i];
  }
  return [low, high];
}

/** How many edges a ray to the right crosses. @param {number} px @param {number} py
 * @param {[number, number][]} outline */
function crossings(px, py, outline) {
  let count = 0;
  for (let i = 0; i < outline.length; i++) {
    const [ax, ay] = outline[i];
    const [bx, by] = outline[(i + 1) % outline.length];
    if (ay > py !== by > py && px < ax + ((py - ay) / (by - ay)) * (bx - ax)) count++;
  }
  return count;
}

/** Counts points in a grid of cells; returns only cells with points.
 * @param {ArrayLike<number>} x @param {ArrayLike<number>} y
 * @param {[number, number]} xExtent @param {[number, number]} yExtent
 * @param {number} columns @param {number} rows
 * @returns {{column: number, row: number, count: number}[]} */
export function density(x, y, xExtent, yExtent, columns, rows) {
  const counts = new Uint32Array(columns * rows);
  const place = (/** @type {number} */ value, /** @type {[number, number]} */ [low, high], n = 1) =>
    Math.min(n - 1, Math.floor(((value - low) / (high - low)) * n));
  for (let i = 0; i < x.length; i++) {
    const column = place(x[i], xExtent, columns);
    const row = place(y[i], yExtent, rows);
    if (column >= 0 && row >= 0 && x[i] <= xExtent[1] && y[i] <= yExtent[1])
      counts[row * columns + column]++;
  }
  const cells = [];
  for (let i = 0; i < counts.length; i++) {
    if (counts[i]) cells.push({ column: i % columns, row: Math.floor(i / columns), count: counts[i] });
  }
  return cells;
}

/** The points nearest to one of the points; distances in units of each axis's extent.
 * @param {ArrayLike<number>} x @param {ArrayLike<number>} y @param {number} place
 * @param {number} n @returns {number[]} their places, the nearest first, without the point itself */
export function nearest(x, y, place, n) {
  const [left, right] = paddedExtent(x, 0);
  const [bottom, top] = paddedExtent(y, 0);
  const distance = Float64Array.from(x, (value, i) =>
    Math.hypot((value - x[place]) / (right - left || 1), (y[i] - y[place]) / (top - bottom || 1)),
  );
  return Array.from(distance, (_, i) => i)
    .filter((i) => i !== place)
    .sort((a, b) => distance[a] - distance[b])
    .slice(0, n);
}

/** The x at which a falling curve passes half of its first value, interpolated in log x.
 * @param {number[]} x @param {number[]} y @returns {number} NaN if it never does */
export function halfway(x, y) {
  const half = y[0] / 2;
  const after = y.findIndex((value) => value <= half);
  if (after < 1) return NaN;
  const share = (y[after - 1] - half) / (y[after - 1] - y[after]);
  const [a, b] = [Math.log(x[after - 1]), Math.log(x[after])];
  return Number.isFinite(a) ? Math.exp(a + share * (b - a)) : share * x[after];
}

/** Smallest and largest number, widened by a margin so that no mark touches the frame.
 * @param {ArrayLike<number>} values @param {number} [margin] share of the extent
 * @returns {[number, number]} */
export function paddedExtent(values, margin = 0.05) {
  const [low, high] = span(values);
  if (!(low <= high)) return [0, 1];
  const pad = (high - low) * margin || Math.abs(low) * margin || 1;
  return [low - pad, high + pad];
}

/** Rounds an extent outwards to steps of 1, 2 or 5 times a power of ten.
 * @param {[number, number]} extent @returns {[number, number]} */
export function niceExtent([low, high]) {
  const step = niceStep((high - low) / 8);
  return [tidy(Math.floor(low / step) * step), tidy(Math.ceil(high / step) * step)];
}

/** The next 1, 2 or 5 times a power of ten. @param {number} rough  above 0 */
export function niceStep(rough) {
  const power = 10 ** Math.floor(Math.log10(rough));
  return tidy(power * [1, 2, 5, 10].filter((m) => m * power >= rough * (1 - 1e-9))[0]);
}

/** Removes the rounding error of a product such as 3 * 0.1. @param {number} value */
function tidy(value) {
  return Number(value.toPrecision(12));
}

/** The most and the least class-selective unit among those with an importance above the median, as
 * in the report's portraits. Without a measured importance all active units are candidates.
 * @param {import("./types.js").UnitTable} table @returns {[number, number]} their rows */
export function selectiveAndConfusing(table) {
  const selectivity = table.columns.get("class_selectivity") ?? [...table.columns.values()][0];
  const importance = table.columns.get("importance");
  const silent = silentUnits(table);
  const active = Array.from({ length: table.n }, (_, i) => i).filter(
    (i) => !silent[i] && !Number.isNaN(selectivity[i]),
  );
  const harms = active.map((i) => importance?.[i] ?? 0);
  const median = quantile(harms, 0.5);
  const mattering = active.filter((_, place) => harms[place] > median);
  const [first = 0, ...others] = (mattering.length ? mattering : active).sort(
    (a, b) => selectivity[b] - selectivity[a],
  );
  return [first, others.at(-1) ?? first];
}

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

/** The same part of another extent, for an axis that follows the zoom of another axis.
 * @param {[number, number]} part @param {[number, number]} extent @param {[number, number]} other
 * @returns {[number, number]} */
export function samePart([low, high], [least, most], [otherLeast, otherMost]) {
  const place = (/** @type {number} */ value) =>
    otherLeast + ((value - least) / (most - least)) * (otherMost - otherLeast);
  return [place(low), place(high)];
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
