import assert from "node:assert/strict";
import { test } from "node:test";

import { readZoom, writeZoom } from "../../tb_plugin/static/page/zoom.js";

test("a zoom comes back from the address, and another chart's is left alone", () => {
  const zoom = writeZoom(["other|x|0|1"], "mine", { x: [0.25, 0.5], y: [-3, 1e-7] });
  assert.deepEqual(readZoom(zoom, "mine"), { x: [0.25, 0.5], y: [-3, 1e-7] });
  assert.deepEqual(readZoom(zoom, "other"), { x: [0, 1] });
  assert.deepEqual(writeZoom(zoom, "mine", null), ["other|x|0|1"]);
  assert.deepEqual(readZoom(["mine|x|2|1", "mine|z|0|1", "mine|y|a|b", "mine"], "mine"), {});
});
