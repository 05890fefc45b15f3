import assert from "node:assert/strict";
import { test } from "node:test";

import { ABLATION, NOISE } from "../../tb_plugin/static/views/curves/subjects.js";

const state = (changes) => ({ x: "fraction", y: "raw", ...changes });

test("both subjects answer the same questions", () => {
  assert.deepEqual(Object.keys(ABLATION).sort(), Object.keys(NOISE).sort());
});

test("accuracy is relative to the intact network, under noise to the least noise", () => {
  assert.deepEqual(ABLATION.relative({ x: [0, 2], rows: [[0.8, 0.4]] }), [[1, 0.5]]);
  assert.deepEqual(NOISE.relative({ x: [0.1, 2], rows: [[0.8, 0.4]] }), [[1, 0.5]]);
  assert.throws(() => ABLATION.relative({ x: [1, 2], rows: [[0.8, 0.4]] }), /without ablation/);
});

test("units are counted or a fraction; a scale of noise is neither", () => {
  const curve = { x: [0, 2, 4] };
  assert.deepEqual(ABLATION.x(curve, 4, state({})), [0, 0.5, 1]);
  assert.deepEqual(ABLATION.x(curve, 4, state({ x: "count" })), [0, 2, 4]);
  assert.deepEqual(NOISE.x(curve, 4, state({})), [0, 2, 4]);
  assert.equal(ABLATION.xTitle([1024], state({})), "Units ablated (fraction of 1,024)");
  assert.equal(ABLATION.xTitle([4, 8], state({ x: "count" })), "Units ablated (count)");
});

test("the axis holds every unit, or every scale of noise but 0", () => {
  assert.deepEqual(ABLATION.xExtent([], [4, 8], state({ x: "count" })), [0, 8]);
  assert.deepEqual(ABLATION.xExtent([], [4, 8], state({})), [0, 1]);
  assert.deepEqual(NOISE.xExtent([{ x: [0, 0.1, 1] }, { x: [0.05] }], [4], state({})), [0.05, 1]);
});
