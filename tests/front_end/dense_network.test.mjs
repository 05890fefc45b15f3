import assert from "node:assert/strict";
import { test } from "node:test";

import {
  crossEntropy,
  DenseNetwork,
  fromHalf,
  largest,
  softmax,
} from "../../tb_plugin/static/numbers/dense_network.js";
import { close } from "./helpers.mjs";

// Two inputs, hidden layers of 3 and 2 units, two answers; small whole numbers, so sums are exact.
const layer = (name, kernel, bias, relu = true) => ({
  name,
  units: bias.length,
  kernel: Float32Array.from(kernel.flat()),
  bias: Float32Array.from(bias),
  relu,
});
const LAYERS = [
  layer("a", [[1, -1, 2], [0, 3, -1]], [0, 1, -1]),
  layer("b", [[1, 2], [-1, 1], [3, 0]], [1, -2]),
  layer("logits", [[2, -1], [0, 4]], [0.5, 0], false),
];
const IMAGES = Float32Array.from([1, 2, 3, 0]);
const network = () => new DenseNetwork(LAYERS, IMAGES);

/** The same by matrices written out: the keep masks multiply each activation. */
function plain(image, keep) {
  let now = [...IMAGES.slice(2 * image, 2 * image + 2)];
  const activations = [];
  LAYERS.forEach(({ units, kernel, bias, relu }, l) => {
    now = Array.from({ length: units }, (_, u) => now.reduce((sum, x, i) => sum + x * kernel[i * units + u], bias[u]));
    if (relu) now = now.map((value, u) => Math.max(0, value) * keep[l][u]);
    if (relu) activations.push(now);
  });
  return { activations, outputs: now };
}

const lesions = () => {
  const all = [];
  for (let bits = 0; bits < 32; bits++) all.push([[1, 2, 4].map((b) => Boolean(bits & b)), [8, 16].map((b) => Boolean(bits & b))]);
  return all;
};

test("every lesion is answered as by multiplying with the masks", () => {
  const lesioned = network();
  for (const deleted of lesions())
    for (const image of [0, 1]) {
      const { activations, outputs } = lesioned.answer(image, deleted);
      const wanted = plain(image, deleted.map((units) => units.map((gone) => Number(!gone))));
      assert.deepEqual(activations.map((one) => [...one]), wanted.activations);
      assert.deepEqual([...outputs], wanted.outputs);
    }
});

test("a lesion leaves no trace in the next answer", () => {
  const used = network();
  for (const deleted of lesions()) used.answer(1, deleted);
  assert.deepEqual(used.answer(1, []), network().answer(1, []));
});

test("a single unit is deleted as in a lesion of it alone", () => {
  const lesioned = network();
  for (const [l, { units }] of lesioned.hidden.entries())
    for (let u = 0; u < units; u++) {
      const alone = lesioned.hidden.map((one, i) => Array.from({ length: one.units }, (_, k) => i === l && k === u));
      assert.deepEqual(lesioned.without(0, l, u), lesioned.answer(0, alone).outputs);
    }
});

test("probabilities and losses hold for large outputs", () => {
  close(softmax([1000, 1000])[0], 0.5);
  close(softmax([0, Math.log(3)])[1], 0.75);
  close(crossEntropy([0, Math.log(3)], 0), Math.log(4));
  close(crossEntropy([-1000, 1000], 0), 2000);
  assert.equal(largest([1, 3, 3]), 1);
});

test("half precision is read as IEEE 754 has it", () => {
  const bits = [0x3c00, 0xc000, 0x3555, 0x0001, 0x83ff, 0x7bff, 0x7c00, 0x0000];
  const bytes = Uint8Array.from(bits.flatMap((b) => [b & 255, b >> 8]));
  const numbers = [1, -2, 0.333251953125, 2 ** -24, -1023 * 2 ** -24, 65504, Infinity, 0];
  assert.deepEqual([...fromHalf(bytes)], numbers);
  assert.ok(Number.isNaN(fromHalf(Uint8Array.from([0x01, 0x7e]))[0]));
});
