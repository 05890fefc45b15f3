import assert from "node:assert/strict";
import { test } from "node:test";

import { histogramCounts, linspace } from "../../tb_plugin/static/site/binning.js";

test("edges are those of NumPy, to the last digit", () => {
  assert.deepEqual(linspace(0, 1, 3), [0, 1 / 3, 2 / 3, 1]);
  assert.deepEqual(linspace(-0.5, 0.25, 3), [-0.5, -0.25, 0, 0.25]);
  assert.equal(linspace(0.1, 0.7, 7)[7], 0.7); // 7 steps from 0.1 would end at 0.7000000000000001
});

test("a value on an edge belongs to the bin at its right, the last edge to the last bin", () => {
  assert.deepEqual(histogramCounts([0, 0.5, 1, 1.5, 2], [0, 1, 2]), [2, 3]);
  assert.deepEqual(histogramCounts([-9, 9, NaN, Infinity], [0, 1, 2]), [1, 1]);
});
