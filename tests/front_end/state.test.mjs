import assert from "node:assert/strict";
import { test } from "node:test";

import { DEFAULTS, encodeValue, readState } from "../../tb_plugin/static/page/state.js";

test("a state survives the address, and defaults leave no trace", () => {
  const state = {
    ...DEFAULTS,
    view: "units",
    filter: "a=b&c",
    off: ["r=1", "é"],
    step: 0,
    x: "count",
  };
  const address = Object.fromEntries(Object.entries(state).map(([k, v]) => [k, encodeValue(k, v)]));
  assert.deepEqual(
    readState((key) => address[key]),
    state,
  );
  assert.equal(address.band, "");
  // TensorBoard drops a value with "=" in it.
  assert.ok(Object.values(address).every((text) => !text.includes("=")));
});

test("nonsense in the address is a default", () => {
  for (const [key, text] of [
    ["view", "film"],
    ["step", "last"],
    ["step", "-5"],
    ["off", "{}"],
    ["off", "%5B1%5D"],
    ["filter", "%E0%A4%A"],
  ]) {
    assert.deepEqual(readState((name) => (name === key ? text : null))[key], DEFAULTS[key], `${key}=${text}`);
  }
});
