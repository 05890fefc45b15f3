// Means, quantiles, correlations, intervals of fractions, and least squares. Pure.

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
function pearson(x, y) {
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
