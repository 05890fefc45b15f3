import assert from "node:assert/strict";
import { test } from "node:test";

import { isMark, LongValues } from "../../tb_plugin/static/page/long_values.js";
import { DEFAULTS, encodeValue, readState } from "../../tb_plugin/static/page/state.js";

/** A store as a browser's, of a window. */
function storage() {
  const kept = new Map();
  return { getItem: (key) => kept.get(key) ?? null, setItem: (key, value) => kept.set(key, value) };
}

test("what is too long for the address is kept by the window, under a mark", () => {
  const runs = Array(400).fill("a run with a name");
  const text = encodeValue("off", runs);
  const window = storage();
  const mark = new LongValues(window).put(text);
  assert.ok(mark.length < 40 && isMark(mark) && !mark.includes("="));
  const reloaded = new LongValues(window);
  assert.deepEqual(readState(() => reloaded.get(mark)).off, runs);
  assert.equal(reloaded.put(text), mark); // the same again is no change of the address
  assert.notEqual(reloaded.put(encodeValue("off", [...runs, "another"])), mark);
  // Another window, or another person's.
  assert.equal(new LongValues(storage()).get(mark), null);
  assert.equal(readState(() => new LongValues(null).get(mark)).off, DEFAULTS.off);
});

test("what is short stands in the address itself, and no such text is a mark", () => {
  const long = new LongValues(null);
  for (const text of ["", "@", "@12.ab", "0:1-5", "x".repeat(500)]) {
    const encoded = encodeValue("filter", text);
    assert.equal(isMark(encoded), false);
    assert.equal(long.put(encoded), encoded);
    assert.equal(readState(() => long.get(encoded)).filter, text);
  }
  assert.equal(long.get(null), null);
});

test("a window that may store nothing remembers until it is loaded anew", () => {
  const refusing = {
    getItem: () => {
      throw new Error("denied");
    },
    setItem: () => {
      throw new Error("full");
    },
  };
  const long = new LongValues(refusing);
  const text = "x".repeat(3000);
  const mark = long.put(text);
  assert.equal(long.get(mark), text);
  assert.equal(new LongValues(refusing).get(mark), null);
});
