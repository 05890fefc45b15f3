// Summaries of ablation and noise curves: over orderings, as areas, as the place of half. Pure.

import { mean, quantile, standardDeviation } from "./statistics.js";

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

// What a network must know beyond a constant answer, as a share of what a perfect network knows. With
// ten classes of equal size it is twice the accuracy of guessing, as in the report.
const LEARNED = 1 / 9;

/** Whether a network classifies better than a constant answer by enough to be compared.
 * @param {number} intact  its accuracy
 * @param {number} floor  its accuracy with all units ablated, when it gives one answer to all images;
 *     NaN if that was not measured
 * @returns {boolean} true where `floor` is not known */
export function hasLearned(intact, floor) {
  return !(floor < 1 && (intact - floor) / (1 - floor) < LEARNED - 1e-9);
}

/** Area under accuracy against the fraction of units ablated, raw and divided by the intact
 * accuracy.
 *
 * @param {number[]} x  units ablated
 * @param {(number | null)[][]} rows
 * @param {number} nUnits
 * @returns {{auc: number, normalized: number, normalizedSd: number, intact: number,
 *     learned: boolean}} NaN for a curve that does not reach from no unit to all units; learned:
 *     see `hasLearned`
 */
export function curveAreas(x, rows, nUnits) {
  const intact = mean(
    /** @type {number[]} */ (rows.map((row) => row[0]).filter((v) => v !== null)),
  );
  const none = { auc: NaN, normalized: NaN, normalizedSd: NaN, learned: true };
  if (x[0] !== 0) return { ...none, intact: NaN };
  if (x[x.length - 1] !== nUnits) return { ...none, intact };
  const last = rows.map((row) => row[row.length - 1]).filter((v) => v !== null);
  const fraction = x.map((count) => count / nUnits);
  const areas = rows.map((row) => areaUnderCurve(fraction, row));
  const normalized = rows.map((row, i) => areas[i] / (row[0] || NaN));
  return {
    auc: mean(areas),
    normalized: mean(normalized),
    normalizedSd: standardDeviation(normalized),
    intact,
    learned: hasLearned(intact, mean(/** @type {number[]} */ (last))),
  };
}

/** Trapezoid rule. @param {number[]} x @param {(number | null)[]} y */
function areaUnderCurve(x, y) {
  let area = 0;
  for (let i = 1; i < x.length; i++) {
    area += ((x[i] - x[i - 1]) * (Number(y[i] ?? NaN) + Number(y[i - 1] ?? NaN))) / 2;
  }
  return area;
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
