import assert from "node:assert/strict";
import { test } from "node:test";

import { fittingArrangement } from "../../tb_plugin/static/numbers/arrangement.js";

/** A layer of 40 units whose importance goes up to a size. */
const layer = (size, x = 1) => ({
  rows: Array.from({ length: 40 }, (_, i) => i),
  x: Float64Array.from({ length: 40 }, (_, i) => (x * i) / 40),
  y: Float64Array.from({ length: 40 }, (_, i) => (size * (i - 5)) / 40),
});
const layers = (...sizes) => sizes.map((size) => layer(size));

test("few layers of one size share a plot, many have a panel each", () => {
  assert.equal(fittingArrangement(layers(1)), "one");
  assert.equal(fittingArrangement(layers(1, 1.5, 0.4, 2)), "one");
  assert.equal(fittingArrangement(layers(1, 1.5, 0.4, 2, 1)), "shared");
});

test("layers whose values differ widely have axes of their own, whichever axis it is", () => {
  assert.equal(fittingArrangement(layers(1, 0.05)), "own");
  assert.equal(fittingArrangement([layer(1, 30), layer(1), layer(1, 2)]), "own");
  assert.equal(fittingArrangement(layers(1, 0.12)), "one");
});

test("one unit far from all others is no reason, nor a layer without values", () => {
  const odd = layer(1);
  odd.y[0] = 200;
  assert.equal(fittingArrangement([odd, layer(1)]), "one");
  const empty = { rows: [], x: new Float64Array(), y: new Float64Array() };
  assert.equal(fittingArrangement([layer(1), empty]), "one");
  assert.equal(fittingArrangement([layer(1), layer(0)]), "one"); // all is 0 there
  assert.equal(fittingArrangement([]), "one");
});
