import assert from "node:assert/strict";
import { test } from "node:test";

import { joined, seedGroups, settled } from "../../tb_plugin/static/numbers/seeds.js";

const series = (facts, settings = {}) => ({ meta: { facts, split: "test", n_units: 8, ...settings } });

test("networks that differ only by chance belong together", () => {
  const found = seedGroups([
    series({ dropout: "0", seed: "0", "test accuracy": "0.9", epochs: "12", model: "a" }),
    series({ dropout: "0.1", seed: "0" }),
    series({ dropout: "0", seed: "1", "test accuracy": "0.8", epochs: "13", model: "b" }),
    series({ dropout: "0", seed: "2" }, { split: "train" }),
    series({ seed: "3", dropout: "0" }, { n_units: 9 }),
  ]);
  assert.deepEqual(found, [[0, 2], [1], [3], [4]]);
  assert.deepEqual(settled({ dropout: "0", seed: "1", model: "b" }), { dropout: "0" });
});

test("orderings of curves with the same points are one curve", () => {
  const a = { run: "a", x: [0, 4], rows: [[1, 0]] };
  const b = { run: "b", x: [0, 4], rows: [[1, 0.5], [1, 0.2]] };
  assert.deepEqual(joined([a, b]), { run: "a", x: [0, 4], rows: [[1, 0], [1, 0.5], [1, 0.2]] });
  assert.deepEqual(joined([a]), a);
  assert.equal(joined([a, { ...b, x: [0, 2] }]), null);
  assert.equal(joined([a, { ...b, x: [0, 2, 4] }]), null);
});
