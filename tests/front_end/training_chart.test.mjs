import assert from "node:assert/strict";
import { test } from "node:test";

import { furthest } from "../../tb_plugin/static/views/training/training_chart.js";

test("the axis of a training holds every value of every run", () => {
  const run = (values, areas = []) => ({
    training: { scalars: { loss: { steps: values.map((_, i) => i), values } } },
    areas,
  });
  assert.deepEqual(furthest([run([2, 1]), run([null, 17.5, 3])], ["loss", "test_loss"]), [17.5, 2]);
  assert.deepEqual(furthest([run([2], [[9, 0.5]])], ["loss"]), [2, 9]);
  assert.deepEqual(furthest([run([null])], ["loss"]), [0, 0]);
  const many = Array.from({ length: 300 }, () => run(new Array(1000).fill(0.5)));
  assert.deepEqual(furthest(many, ["loss"]), [0.5, 999]);
});
