import assert from "node:assert/strict";
import { test } from "node:test";

import { byActivity, byChange } from "../../tb_plugin/static/numbers/shades.js";

test("activity is shaded from the least to the most active unit of a layer", () => {
  assert.deepEqual(byActivity([0, 1, 2, 5]), [
    { tint: "silent", share: 0 },
    { tint: "active", share: Math.round(12 + 88 * Math.sqrt(0.2)) },
    { tint: "active", share: Math.round(12 + 88 * Math.sqrt(0.4)) },
    { tint: "active", share: 100 },
  ]);
  assert.deepEqual(byActivity([3, 3]).map(({ share }) => share), [100, 100]);
});

test("a change is shaded by its sign, in units of the most active intact unit", () => {
  assert.deepEqual(byChange([1, 0, 4, 12], [1, 1, 0, 4]), [
    { tint: "silent", share: 0 },
    { tint: "less", share: 50 },
    { tint: "more", share: 100 },
    { tint: "more", share: 100 },
  ]);
  assert.deepEqual(byChange([0, 0], [0, 0]).map(({ tint }) => tint), ["silent", "silent"]);
});
