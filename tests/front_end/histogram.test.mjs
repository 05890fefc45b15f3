import assert from "node:assert/strict";
import { test } from "node:test";

import {
  binOf,
  histogram,
  histogramOutline,
  pooledCounts,
} from "../../tb_plugin/static/numbers/histogram.js";

test("a histogram counts every value once, gaps not at all", () => {
  const { edges, counts } = histogram([0, 0.1, 0.5, NaN, 1], 2, [0, 1]);
  assert.deepEqual(edges, [0, 0.5, 1]);
  assert.deepEqual(counts, [2, 2]);
});

test("the mean of pooled layers is that of their units", () => {
  const layers = [
    { layer: "a", n: 1, counts: [1, 0], mean: 0 },
    { layer: "b", n: 3, counts: [0, 3], mean: 4 },
  ];
  assert.equal(pooledCounts(layers, null).mean, 3);
  assert.equal(pooledCounts(layers, "b").mean, 4);
  assert.ok(Number.isNaN(pooledCounts([{ layer: "c", n: 2 }], null).mean));
});

test("the outline of a histogram has two points a bin", () => {
  assert.deepEqual(histogramOutline([0, 1, 3], [0.25, 0.75]), [
    [0, 0.25],
    [1, 0.25],
    [1, 0.75],
    [3, 0.75],
  ]);
});

test("a value belongs to one bin, the upper end to the last", () => {
  const edges = [0, 0.5, 1];
  assert.deepEqual([-1, 0, 0.49, 0.5, 1, 2].map((v) => binOf(edges, v)), [0, 0, 0, 1, 1, 1]);
});
