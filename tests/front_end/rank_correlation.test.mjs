import assert from "node:assert/strict";
import { test } from "node:test";

import {
  bootstrapInterval,
  rankCorrelation,
  relationWord,
  spearmanInterval,
} from "../../tb_plugin/static/numbers/rank_correlation.js";
import { close } from "./helpers.mjs";

test("the interval of a rank correlation holds it, and narrows with n", () => {
  const [low, high] = spearmanInterval(0.5, 30);
  close(Math.atanh(high) - Math.atanh(0.5), (1.959964 * Math.sqrt(1.125)) / Math.sqrt(27));
  assert.ok(low < 0.5 && 0.5 < high);
  const [lower, higher] = spearmanInterval(0.5, 300);
  assert.ok(low < lower && higher < high);
  for (const [rho, n] of [
    [0.5, 3],
    [NaN, 100],
  ])
    assert.ok(spearmanInterval(rho, n).every(Number.isNaN));
  assert.deepEqual(spearmanInterval(-1, 100), [-1, -1]);
});

/** Pairs with ties, that rise together but for a jitter. */
function risingPairs(n, modulus, slope) {
  const x = Float64Array.from({ length: n }, (_, i) => (i * 37) % modulus);
  return { x, y: x.map((value, i) => slope * Math.floor(value / 10) + ((i * 53) % 17)) };
}

test("the bootstrap's interval is that of the report", () => {
  // repro.core.metrics.spearman of the same pairs; both draw at random, to within about 0.01 each.
  for (const [pairs, rho, interval] of [
    [risingPairs(80, 101, 1), 0.4975800186071283, [0.306, 0.642]],
    [risingPairs(80, 101, 0), 0.018667476418970014, [-0.216, 0.235]],
    [risingPairs(400, 401, 1), 0.9244295591634643, [0.9125, 0.9326]],
  ]) {
    const found = rankCorrelation(pairs.x, pairs.y);
    assert.ok(Math.abs(found.rho - rho) < 1e-9, String(found.rho));
    found.interval.forEach((end, i) => assert.ok(Math.abs(end - interval[i]) < 0.025, `${end}`));
    assert.deepEqual(rankCorrelation(pairs.x, pairs.y), found); // drawn again, it is the same
  }
});

test("of many pairs the formula and the bootstrap agree, and of few nothing is said", () => {
  const { x, y } = risingPairs(2000, 2003, 0.05);
  const { rho } = rankCorrelation(x, y);
  const formula = spearmanInterval(rho, 2000);
  bootstrapInterval(x, y).forEach((end, i) => assert.ok(Math.abs(end - formula[i]) < 0.01));
  assert.ok(bootstrapInterval(x.slice(0, 2), y.slice(0, 2)).every(Number.isNaN));
  assert.deepEqual(rankCorrelation(x, x).interval, [1, 1]);
  assert.ok(rankCorrelation(x, x.map(() => 3)).interval.every(Number.isNaN));
});

test("fewer than ten pairs have a correlation and no interval", () => {
  const ordered = Float64Array.from({ length: 10 }, (_, i) => i);
  assert.deepEqual(rankCorrelation(ordered, ordered), { rho: 1, interval: [1, 1] });
  const nine = rankCorrelation(ordered.slice(1), ordered.slice(1));
  assert.equal(nine.rho, 1);
  assert.ok(nine.interval.every(Number.isNaN));
  assert.equal(relationWord(/** @type {any} */ (nine.interval)), "");
});

test("no relation is said only of an interval that is all negligible", () => {
  assert.equal(relationWord([-0.1, 0.2]), "negligible");
  assert.equal(relationWord([-0.1, 0.4]), "undecided");
  assert.equal(relationWord([0.31, 0.5]), "related");
  assert.equal(relationWord([-0.5, -0.3]), "related");
  assert.equal(relationWord([NaN, NaN]), "");
});
