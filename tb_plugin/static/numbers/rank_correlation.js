// Spearman's rank correlation with its interval, as the report computes it. Pure.

import { quantile, ranks, spearman } from "./statistics.js";

// A rank correlation below this magnitude is negligible, as in the report's claims.
export const NEGLIGIBLE = 0.3;
// For fewer pairs the bootstrap says too little: six pairs in one order have the interval [1, 1].
export const FEWEST = 10;
// So many bootstrap draws put the ends of an interval within about 0.01.
const RESAMPLES = 1000;
// For more pairs the bootstrap would take seconds; the formula agrees with it to the third place.
export const MOST_RESAMPLED = 3000;

/** Rank correlation and its 95 % interval: a percentile bootstrap over the pairs; for more than
 * MOST_RESAMPLED pairs Fisher's transform; NaN for fewer than FEWEST pairs.
 * @param {Float64Array} x @param {Float64Array} y  no NaN
 * @param {boolean} [quick]  use Fisher's transform for any number of pairs
 * @returns {{rho: number, interval: [number, number]}} */
export function rankCorrelation(x, y, quick = x.length > MOST_RESAMPLED) {
  const rho = spearman(x, y);
  if (Number.isNaN(rho) || x.length < FEWEST) return { rho, interval: [NaN, NaN] };
  return { rho, interval: quick ? spearmanInterval(rho, x.length) : bootstrapInterval(x, y) };
}

/** Fisher's transform with Bonett and Wright's (2000) standard error, sqrt((1 + rho^2 / 2) / (n - 3)).
 * @param {number} rho @param {number} n
 * @returns {[number, number]} NaN where it has no meaning: n < 4, or rho is not a number */
export function spearmanInterval(rho, n) {
  if (!(n > 3) || Number.isNaN(rho)) return [NaN, NaN];
  if (Math.abs(rho) >= 1) return [rho, rho];
  const width = 1.959964 * Math.sqrt((1 + rho ** 2 / 2) / (n - 3));
  return [Math.tanh(Math.atanh(rho) - width), Math.tanh(Math.atanh(rho) + width)];
}

/** @param {Float64Array} x @param {Float64Array} y @returns {[number, number]} NaN for n < 3 */
export function bootstrapInterval(x, y) {
  if (x.length < 3) return [NaN, NaN];
  const sides = [groupsOf(x), groupsOf(y)];
  const random = generator(x.length);
  const counts = new Float64Array(x.length);
  const drawn = [];
  for (let i = 0; i < RESAMPLES; i++) {
    counts.fill(0);
    for (let k = 0; k < x.length; k++) counts[Math.floor(random() * x.length)]++;
    const rho = countedCorrelation(sides, counts);
    if (!Number.isNaN(rho)) drawn.push(rho);
  }
  return [quantile(drawn, 0.025), quantile(drawn, 0.975)];
}

/** Judges the interval: only an interval that is negligible as a whole shows "no relation".
 * @param {[number, number]} interval @returns {"negligible" | "related" | "undecided" | ""} */
export function relationWord([low, high]) {
  if (Number.isNaN(low)) return "";
  if (low > -NEGLIGIBLE && high < NEGLIGIBLE) return "negligible";
  return low >= NEGLIGIBLE || high <= -NEGLIGIBLE ? "related" : "undecided";
}

/** For each value, the number of its distinct value; and how many distinct values there are.
 * @param {Float64Array} values */
function groupsOf(values) {
  // Equal values share a rank; ranks of different values differ by at least a half.
  const places = ranks(values);
  const distinct = [...new Set(places)].sort((a, b) => a - b);
  const number = new Map(distinct.map((place, i) => [place, i]));
  return {
    group: Int32Array.from(places, (place) => /** @type {number} */ (number.get(place))),
    n: distinct.length,
  };
}

/** Rank correlation of a sample that contains each pair as often as its count. The values are
 * sorted only once: ranks follow from the counts of smaller values.
 * @param {{group: Int32Array, n: number}[]} sides @param {Float64Array} counts */
function countedCorrelation([a, b], counts) {
  const ra = midRanks(a, counts);
  const rb = midRanks(b, counts);
  const centre = (counts.length + 1) / 2; // the mean of all ranks, with or without ties
  let [aa, ab, bb] = [0, 0, 0];
  for (let i = 0; i < counts.length; i++) {
    const [da, db] = [ra[a.group[i]] - centre, rb[b.group[i]] - centre];
    aa += counts[i] * da * da;
    ab += counts[i] * da * db;
    bb += counts[i] * db * db;
  }
  return aa > 0 && bb > 0 ? ab / Math.sqrt(aa * bb) : NaN;
}

/** The shared rank of each distinct value. @param {{group: Int32Array, n: number}} side
 * @param {Float64Array} counts */
function midRanks({ group, n }, counts) {
  const rank = new Float64Array(n);
  for (let i = 0; i < group.length; i++) rank[group[i]] += counts[i];
  let below = 0;
  for (let g = 0; g < n; g++) {
    const size = rank[g];
    rank[g] = below + (size + 1) / 2;
    below += size;
  }
  return rank;
}

/** Random numbers in [0, 1) from a seed, so that an interval does not change when it is drawn again
 * (Marsaglia's xorshift, 32 bits). @param {number} seed */
function generator(seed) {
  let state = (seed ^ 0x9e3779b9) | 0 || 1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) / 2 ** 32;
  };
}
