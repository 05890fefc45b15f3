import assert from "node:assert/strict";
import { test } from "node:test";

import {
  curveAreas,
  halfway,
  hasLearned,
  relativeToIntact,
  summarizeOrderings,
} from "../../tb_plugin/static/numbers/curves.js";
import { close } from "./helpers.mjs";

test("the mean and s.d. over orderings, by hand", () => {
  const summary = summarizeOrderings([
    [1, 0.2],
    [1, 0.4],
    [1, 0.6],
  ]);
  close(summary.mean[1], 0.4);
  close(summary.sd[1], 0.2); // n - 1: (0.04 + 0 + 0.04) / 2 = 0.04
  assert.deepEqual(
    [summary.low, summary.high],
    [
      [1, 0.2],
      [1, 0.6],
    ],
  );
});

test("gaps are left out of the mean, and nothing but gaps is no number", () => {
  const summary = summarizeOrderings([
    [null, 0.5, null],
    [null, 0.7, 0.3],
  ]);
  assert.ok(Number.isNaN(summary.mean[0]) && Number.isNaN(summary.sd[0]));
  close(summary.mean[1], 0.6);
  assert.deepEqual([summary.mean[2], summary.sd[2]], [0.3, 0]);
});

test("the area under a straight line is a triangle", () => {
  assert.equal(curveAreas([0, 2, 4], [[1, 0.5, 0]], 4).auc, 0.5);
});

test("a constant curve has normalized area 1 whatever its height", () => {
  for (const height of [1, 0.25]) {
    const areas = curveAreas([0, 1, 4], [[height, height, height]], 4);
    close(areas.normalized, 1);
    close(areas.auc, height);
  }
});

test("the normalized area is the mean over orderings of area by intact accuracy", () => {
  const areas = curveAreas(
    [0, 4],
    [
      [1, 0],
      [0.5, 0.5],
    ],
    4,
  );
  close(areas.normalized, 0.75); // 0.5 and 1
  close(areas.auc, 0.5);
  close(areas.intact, 0.75);
});

test("a network at chance has learned nothing, with two classes as with ten", () => {
  assert.equal(hasLearned(0.134, 0.098), false);
  assert.equal(hasLearned(0.199, 0.1), false);
  assert.equal(hasLearned(0.2, 0.1), true); // twice the accuracy of guessing
  assert.equal(hasLearned(0.52, 0.5), false);
  assert.equal(hasLearned(0.95, 0.5), true);
  assert.equal(hasLearned(0.1, NaN), true); // nobody measured what guessing gives
  assert.equal(hasLearned(1, 1), true); // one class only
  assert.equal(curveAreas([0, 2, 4], [[0.12, 0.11, 0.1]], 4).learned, false);
  assert.equal(curveAreas([0, 2, 4], [[0.9, 0.5, 0.1]], 4).learned, true);
  assert.equal(curveAreas([0, 2], [[0.12, 0.1]], 4).learned, true);
});

test("a curve that stops early or starts late has no area", () => {
  assert.ok(Number.isNaN(curveAreas([0, 2], [[1, 0.5]], 4).normalized));
  assert.ok(Number.isNaN(curveAreas([1, 4], [[1, 0.5]], 4).normalized));
});

test("relative accuracy starts at 1, and a gap stays a gap", () => {
  assert.deepEqual(relativeToIntact([0, 1, 2], [[0.5, 0.25, null]]), [[1, 0.5, null]]);
});

test("accuracy relative to nothing is refused", () => {
  assert.throws(() => relativeToIntact([0, 1], [[0, 0]]), /before ablation is 0/);
  assert.throws(() => relativeToIntact([0, 1], [[null, 1]]), /invalid curve/);
  assert.throws(() => relativeToIntact([1, 2], [[1, 1]]), /without ablation/);
});

test("halfway is between the points around it, on a logarithmic scale", () => {
  close(halfway([1, 10, 100], [1, 0.75, 0.25]), 10 ** 1.5);
  assert.ok(Number.isNaN(halfway([1, 10], [1, 0.9])));
});
