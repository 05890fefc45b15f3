import assert from "node:assert/strict";
import { test } from "node:test";

import { firstOf, isFirstOf, randomOrder } from "../../tb_plugin/static/numbers/random_order.js";

test("an order has every unit once, is the same for a seed, and another for another", () => {
  for (const n of [0, 1, 2, 17, 1024]) {
    const order = randomOrder(n, 3);
    assert.deepEqual([...order].sort((a, b) => a - b), Array.from({ length: n }, (_, i) => i));
    assert.deepEqual(order, randomOrder(n, 3));
  }
  assert.notDeepEqual(randomOrder(64, 0), randomOrder(64, 1));
  assert.equal(randomOrder(10, 2147483646).length, 10);
});

test("every unit is as likely at every place", () => {
  const n = 5;
  const seeds = 4000;
  const counts = Array.from({ length: n }, () => new Array(n).fill(0));
  for (let seed = 0; seed < seeds; seed++)
    randomOrder(n, seed).forEach((unit, place) => counts[place][unit]++);
  const expected = seeds / n;
  const chi2 = counts.flat().reduce((sum, count) => sum + (count - expected) ** 2 / expected, 0);
  assert.ok(chi2 < 45, String(chi2)); // 16 degrees of freedom; 0.9999 quantile 45
});

test("the first units of an order are a lesion of both layers, and are known again", () => {
  const order = [3, 0, 4, 1, 2];
  const lesion = firstOf([2, 3], order, 3);
  assert.deepEqual(lesion, [
    [true, false],
    [false, true, true],
  ]);
  assert.ok(isFirstOf(lesion, order));
  assert.ok(isFirstOf(firstOf([2, 3], order, 0), order));
  assert.ok(!isFirstOf([[true, true], [false, false, false]], order));
});
