import assert from "node:assert/strict";
import { test } from "node:test";

import {
  leastSquares,
  pairedChange,
  quantile,
  ranks,
  spearman,
} from "../../tb_plugin/static/numbers/statistics.js";
import { close } from "./helpers.mjs";

test("tied values share their mean rank", () => {
  assert.deepEqual([...ranks([10, 20, 20, 5, 20])], [2, 4, 4, 1, 4]);
});

test("Spearman's correlation of a textbook example", () => {
  // IQ and hours of television of ten people: rho = -29/165.
  const iq = [106, 100, 86, 101, 99, 103, 97, 113, 112, 110];
  const hours = [7, 27, 2, 50, 28, 29, 20, 12, 6, 17];
  close(spearman(iq, hours), -29 / 165);
});

test("Spearman's correlation does not feel a monotone change of scale", () => {
  const x = [0.1, 0.7, 0.3, 0.9, 0.2];
  const y = [3, 1, 2, 5, 4];
  close(
    spearman(x, y),
    spearman(
      x.map(Math.exp),
      y.map((v) => v ** 3),
    ),
  );
  close(
    spearman(
      x,
      x.map((v) => -v),
    ),
    -1,
  );
});

test("a constant has no correlation and no line", () => {
  assert.ok(Number.isNaN(spearman([1, 1, 1], [1, 2, 3])));
  assert.equal(leastSquares([1, 1], [1, 2]), null);
  assert.ok(Number.isNaN(spearman([], [])));
});

test("least squares finds the line through points on a line", () => {
  const { slope, intercept } = leastSquares([0, 1, 3], [1, 3, 7]);
  close(slope, 2);
  close(intercept, 1);
});

test("quantiles are linear between the nearest values, as NumPy's", () => {
  assert.equal(quantile([3, 1, 2], 0.5), 2);
  close(quantile([1, 2, 3, 4], 0.9), 3.7); // numpy.quantile([1, 2, 3, 4], 0.9)
  assert.ok(Number.isNaN(quantile([], 0.5)));
});

test("a change on the same images has the interval of a worked example", () => {
  // Agresti and Min (2005): approval of a leader, 794 + 150 + 86 + 570 of 1,600 people.
  const { change, interval } = pairedChange(150, 86, 1600);
  close(change, -0.04);
  assert.deepEqual(
    interval.map((v) => Number(v.toFixed(3))),
    [-0.059, -0.021],
  );
});

test("no change at all is not certainty, and nothing has no change", () => {
  const { change, interval } = pairedChange(0, 0, 100);
  assert.equal(change, 0);
  assert.ok(interval[0] < 0 && interval[0] > -0.03 && interval[1] === -interval[0]);
  assert.ok(Number.isNaN(pairedChange(0, 0, 0).change));
  assert.equal(pairedChange(1, 0, 1).interval[0], -1);
});
