import assert from "node:assert/strict";
import { test } from "node:test";

import { amongRandom, bandCounts, bandOf, chanceWords } from "../../tb_plugin/static/numbers/chance.js";

test("the band goes from the least to the most of the orders", () => {
  assert.deepEqual(bandOf([0, 2], [[1, 0.5], [1, 0.3]]), [
    { k: 0, low: 1, mean: 1, high: 1 },
    { k: 2, low: 0.3, mean: 0.4, high: 0.5 },
  ]);
  assert.deepEqual(bandOf([0, 2], []), []);
});

test("the band is read from no unit to all, never twice at one number", () => {
  assert.deepEqual(bandCounts(4, 12), [0, 1, 2, 3, 4]);
  const counts = bandCounts(1000, 12);
  assert.deepEqual([counts.length, counts[0], counts.at(-1)], [13, 0, 1000]);
  assert.equal(new Set(counts).size, counts.length);
});

test("only a lesion outside of all random ones is told apart from chance", () => {
  const random = [50, 60, 70, 80];
  assert.deepEqual(amongRandom(60, random), { less: 1, same: 1, more: 2 });
  assert.equal(chanceWords(49, random).verdict, "more");
  assert.match(chanceWords(49, random).text, /more than chance does: below all 4 .*1 time in 5/);
  assert.equal(chanceWords(50, random).verdict, "alike"); // as much as one of them
  assert.match(chanceWords(60, random).text, /2 of 4 random deletions of as many units hurt as much/);
  assert.equal(chanceWords(81, random).verdict, "less");
});
