import assert from "node:assert/strict";
import { test } from "node:test";

import { changes, largest, runsOf, saidOf } from "../../tb_plugin/static/views/lab/lab_words.js";

const classes = ["cat", "dog", "fox"];

test("an image of shuffled labels is said to have been learned as something else", () => {
  const said = saidOf({ label: 2, truth: 0, png: "" }, classes, [0, 0, 1], [0, 0, 1]);
  assert.deepEqual([said.right, said.flipped, said.learned, said.seen], [true, false, "learned as fox", "✓ fox"]);
  assert.match(said.spoken, /learned as fox, the network says fox/);
});

test("an answer that flipped names both", () => {
  const said = saidOf({ label: 1, truth: 1, png: "" }, classes, [0, 1, 0], [0.6, 0.4, 0]);
  assert.deepEqual([said.right, said.flipped, said.learned], [false, true, ""]);
  assert.deepEqual([said.seen, said.former], ["✗ cat", "was dog"]);
  const digits = saidOf({ label: 1, truth: 1, png: "" }, ["7", "3"], [0, 1], [1, 0]);
  assert.deepEqual([digits.seen, digits.former], ["✗ 3 → 7", ""]);
  assert.match(said.spoken, /says cat, the intact one dog/);
});

test("the image whose answer changes most is that of the largest difference over both networks", () => {
  const same = { before: [[1, 0], [0.5, 0.5]], now: [[1, 0], [0.5, 0.5]] };
  const other = { before: [[1, 0], [1, 0]], now: [[0.9, 0.1], [0.2, 0.8]] };
  assert.deepEqual(changes([same]), [0, 0]);
  assert.equal(largest(changes([same])), 0);
  assert.ok(Math.abs(changes([same, other])[1] - 0.8) < 1e-12);
  assert.equal(largest(changes([same, other])), 1);
});

test("neighbours that are deleted make one chip", () => {
  const lesion = [[true, true, false, true], [false], [true]];
  assert.deepEqual(runsOf(lesion), [
    { layer: 0, from: 0, to: 1 },
    { layer: 0, from: 3, to: 3 },
    { layer: 2, from: 0, to: 0 },
  ]);
});
