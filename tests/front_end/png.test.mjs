import assert from "node:assert/strict";
import { test } from "node:test";
import { crc32, inflateSync } from "node:zlib";

import { pictureOf } from "../../tb_plugin/static/site/png.js";

/** Head and pixels of a PNG, its chunks checked by zlib's own sums. @param {string} base64 */
function decoded(base64) {
  const bytes = Buffer.from(base64, "base64");
  assert.deepEqual([...bytes.subarray(0, 8)], [137, 80, 78, 71, 13, 10, 26, 10]);
  const chunks = {};
  for (let at = 8; at < bytes.length; ) {
    const size = bytes.readUInt32BE(at);
    const body = bytes.subarray(at + 4, at + 8 + size);
    if (crc32) assert.equal(bytes.readUInt32BE(at + 8 + size), crc32(body));
    chunks[body.subarray(0, 4).toString()] = body.subarray(4);
    at += 12 + size;
  }
  const [width, height] = [chunks.IHDR.readUInt32BE(0), chunks.IHDR.readUInt32BE(4)];
  const lines = inflateSync(chunks.IDAT); // throws if the sum at its end is wrong
  const line = lines.length / height;
  const pixels = Array.from({ length: height }, (_, y) => [...lines.subarray(y * line + 1, (y + 1) * line)]);
  return { width, height, colour: chunks.IHDR[9], pixels };
}

test("the smallest value is black, the largest white", () => {
  const { width, height, colour, pixels } = decoded(pictureOf([-1, 0, 1, 1, 0, -1], 2, 3, 1));
  assert.deepEqual([width, height, colour], [3, 2, 0]);
  assert.deepEqual(pixels, [[0, 128, 255], [255, 128, 0]]);
});

test("three channels are red, green and blue", () => {
  const { colour, pixels } = decoded(pictureOf([0, 51, 102, 153, 204, 255], 1, 2, 3));
  assert.equal(colour, 2);
  assert.deepEqual(pixels, [[0, 51, 102, 153, 204, 255]]);
});

test("a picture of one value is black, and a large one has several blocks", () => {
  assert.deepEqual(decoded(pictureOf([3, 3], 1, 2, 1)).pixels, [[0, 0]]);
  const large = Float32Array.from({ length: 300 * 300 }, (_, i) => i % 256);
  assert.deepEqual(decoded(pictureOf(large, 300, 300, 1)).pixels.flat(), [...large]);
});
