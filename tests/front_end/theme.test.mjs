import assert from "node:assert/strict";
import { test } from "node:test";

import { LIGHT, rampColour, runColour } from "../../tb_plugin/static/page/theme.js";

test("run colours follow TensorBoard's order, and repeat after seven", () => {
  const runs = "abcdefgh".split("");
  assert.equal(runColour("b", runs, LIGHT), "#12b5cb");
  assert.equal(runColour("h", runs, LIGHT), runColour("a", runs, LIGHT));
});

test("the ramp begins and ends at its own colours", () => {
  assert.equal(rampColour(0, LIGHT), "rgb(13, 71, 161)");
  assert.equal(rampColour(0.5, LIGHT), "rgb(156, 39, 176)");
  assert.equal(rampColour(1, LIGHT), "rgb(245, 124, 0)");
});
