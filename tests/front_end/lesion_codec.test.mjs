import assert from "node:assert/strict";
import { test } from "node:test";

import { isOfAnother, readLesions, writeLesions } from "../../tb_plugin/static/page/lesion_codec.js";

test("lesions are written as runs of units, and read as far as the units exist", () => {
  const deleted = [[true, true, true, false, true], [false], [false, true]];
  assert.equal(writeLesions(deleted), "0:0-2,4;2:1");
  assert.deepEqual(readLesions("0:0-2,4;2:1", [5, 1, 2]), deleted);
  assert.deepEqual(readLesions("0:3-99999999;7:1;x:1;1:-;:", [5, 1]), [
    [false, false, false, true, true],
    [false],
  ]);
});

test("a large lesion is short enough for a link, and comes back unit for unit", () => {
  const sizes = [1024, 2816, 7];
  let seed = 1;
  const random = () => (seed = (seed * 16807) % 2147483647) / 2147483647;
  const cases = [
    sizes.map((size) => Array.from({ length: size }, (_, i) => i % 2 === 0)),
    sizes.map((size) => Array.from({ length: size }, () => random() < 0.4)),
    sizes.map((size) => new Array(size).fill(true)),
  ];
  for (const deleted of cases) {
    const text = writeLesions(deleted);
    assert.deepEqual(readLesions(text, sizes), deleted);
    assert.ok(encodeURIComponent(text).length < 1000, text.length);
    assert.ok(!text.includes("="));
  }
  assert.equal(writeLesions(cases[2]), "0:0-1023;1:0-2815;2:0-6");
});

test("bits that are cut off or made up name what they can", () => {
  assert.deepEqual(readLesions("0:~BQ;1:~***", [4, 2]), [
    [true, false, true, false],
    [false, false],
  ]);
  assert.deepEqual(readLesions("0:~_w", [3]), [[true, true, true]]); // eight bits, three units
});

test("a lesion that names units a network does not have was written for another", () => {
  const sizes = [700, 6];
  const many = [Array.from({ length: 700 }, (_, i) => i % 3 !== 1), new Array(6).fill(true)];
  for (const text of ["", "0:0-699;1:5", writeLesions(many)]) assert.equal(isOfAnother(text, sizes), false, text);
  for (const text of ["0:700", "0:3-700", "1:6", "2:0"]) assert.equal(isOfAnother(text, sizes), true, text);
  assert.equal(isOfAnother(writeLesions(many), [300, 6]), true);
});
