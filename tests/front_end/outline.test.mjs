import assert from "node:assert/strict";
import { test } from "node:test";

import { inside } from "../../tb_plugin/static/numbers/geometry.js";
import { readOutline, writeOutline } from "../../tb_plugin/static/page/outline.js";

test("an outline comes back from the address; nonsense is none", () => {
  const outline = [
    [0.5, -1],
    [2, 1],
    [1e-5, 3],
  ];
  assert.deepEqual(readOutline(writeOutline(outline)), outline);
  for (const text of ["", "1,2", "1,2;3;4,5", "a,b;c,d;e,f"])
    assert.deepEqual(readOutline(text), []);
});

test("a long lasso fits into a link, and still frames what it framed", () => {
  const circle = Array.from({ length: 400 }, (_, i) => [
    0.5 + 0.3 * Math.cos((2 * Math.PI * i) / 400),
    -0.01 + 0.002 * Math.sin((2 * Math.PI * i) / 400),
  ]);
  const text = writeOutline(circle);
  assert.ok(encodeURIComponent(text).length < 2000);
  const outline = readOutline(text);
  assert.equal(outline.length, 60);
  const scaled = (radius) => [
    Array.from({ length: 100 }, (_, i) => 0.5 + 0.3 * radius * Math.cos((2 * Math.PI * i) / 100)),
    Array.from({ length: 100 }, (_, i) => -0.01 + 0.002 * radius * Math.sin((2 * Math.PI * i) / 100)),
  ];
  assert.equal(inside(...scaled(0.99), outline).length, 100);
  assert.equal(inside(...scaled(1.01), outline).length, 0);
  const square = [
    [0, 0],
    [1, 0],
    [1, 1],
    [0, 1],
  ];
  const sides = square.flatMap(([x, y], i) => {
    const [u, v] = square[(i + 1) % 4];
    return Array.from({ length: 50 }, (_, k) => [x + ((u - x) * k) / 50, y + ((v - y) * k) / 50]);
  });
  const corners = readOutline(writeOutline(sides)).map(String);
  for (const corner of square) assert.ok(corners.includes(String(corner)));
});
