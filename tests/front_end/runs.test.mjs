import assert from "node:assert/strict";
import { test } from "node:test";

import { matcher } from "../../tb_plugin/static/numbers/runs.js";

test("a broken regular expression matches nothing and says so", () => {
  assert.equal(matcher("(["), null);
  assert.equal(matcher("=0\\.[24]$")("label_corruption=0.4"), true);
});
