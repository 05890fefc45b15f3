import assert from "node:assert/strict";
import { test } from "node:test";

import {
  density,
  inside,
  nearest,
  niceExtent,
  niceStep,
  paddedExtent,
  samePart,
  span,
} from "../../tb_plugin/static/numbers/geometry.js";

test("axes end at round numbers outside the data", () => {
  assert.deepEqual(niceExtent([-0.013, 0.227]), [-0.05, 0.25]);
  const [low, high] = niceExtent(paddedExtent([3, 3, 3]));
  assert.ok(low < 3 && high > 3);
  assert.deepEqual(paddedExtent([]), [0, 1]);
});

test("a point is inside an outline, whatever its shape", () => {
  const hollow = [
    [0, 0],
    [4, 0],
    [4, 4],
    [2, 1],
    [0, 4],
  ];
  assert.deepEqual(inside([2, 2, 0.5, 5], [0.5, 3, 2, 1], hollow), [0, 2]);
});

test("a box selects what comparisons select", () => {
  const x = Float64Array.from({ length: 500 }, (_, i) => Math.sin(i * 12.9898));
  const y = Float64Array.from({ length: 500 }, (_, i) => Math.cos(i * 78.233));
  const box = [
    [-0.5, -0.2],
    [0.3, -0.2],
    [0.3, 0.9],
    [-0.5, 0.9],
  ];
  const expected = [...x.keys()].filter(
    (i) => x[i] > -0.5 && x[i] < 0.3 && y[i] > -0.2 && y[i] < 0.9,
  );
  assert.ok(expected.length > 50);
  assert.deepEqual(inside(x, y, box), expected);
});

test("density counts every point within the extents once, edges too", () => {
  const cells = density([0, 1, 0.1, 2], [0, 1, 0.1, 0], [0, 1], [0, 1], 2, 2);
  assert.deepEqual(cells, [
    { column: 0, row: 0, count: 2 },
    { column: 1, row: 1, count: 1 },
  ]);
});

test("neighbours are near in units of the axes", () => {
  // Along x the extent is 100, along y 1: a step of 10 is nearer than one of 0.5.
  assert.deepEqual(nearest([0, 10, 0, 100], [0, 0, 0.5, 1], 0, 2), [1, 2]);
});

test("an axis beside a zoomed one shows the same part of its own extent", () => {
  assert.deepEqual(samePart([1, 3], [0, 4], [10, 20]), [12.5, 17.5]);
  assert.deepEqual(samePart([0, 4], [0, 4], [-1, 1]), [-1, 1]);
});

test("the span of many values does not fill the stack", () => {
  assert.deepEqual(span(Float64Array.from({ length: 300_000 }, (_, i) => i - 7)), [-7, 299_992]);
});

test("labels stand at 1, 2 or 5 times a power of ten", () => {
  assert.deepEqual([0.1, 0.11, 0.3, 7, 100].map(niceStep), [0.1, 0.2, 0.5, 10, 100]);
});
