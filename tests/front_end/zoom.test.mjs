import assert from "node:assert/strict";
import { test } from "node:test";

import { panelZoom, readZoom, writeZoom } from "../../tb_plugin/static/page/zoom.js";

test("a zoom comes back from the address, and another chart's is left alone", () => {
  const zoom = writeZoom(["other|x|0|1"], "mine", { x: [0.25, 0.5], y: [-3, 1e-7] });
  assert.deepEqual(readZoom(zoom, "mine"), { x: [0.25, 0.5], y: [-3, 1e-7] });
  assert.deepEqual(readZoom(zoom, "other"), { x: [0, 1] });
  assert.deepEqual(writeZoom(zoom, "mine", null), ["other|x|0|1"]);
  assert.deepEqual(readZoom(["mine|x|2|1", "mine|z|0|1", "mine|y|a|b", "mine"], "mine"), {});
});

test("a panel with axes of its own is zoomed by itself, and all are reset together", () => {
  const third = panelZoom("mine", 3);
  const zoom = writeZoom(writeZoom(["mines|x|0|1"], third, { x: [0, 1] }), panelZoom("mine", 30), { y: [1, 2] });
  assert.deepEqual(readZoom(zoom, third), { x: [0, 1] });
  assert.deepEqual(readZoom(zoom, "mine"), {});
  assert.deepEqual(readZoom(writeZoom(zoom, third, {}), panelZoom("mine", 30)), { y: [1, 2] });
  assert.deepEqual(writeZoom(zoom, "mine", null), ["mines|x|0|1"]);
  assert.equal(writeZoom(zoom, "mine", { x: [2, 3] }).length, 4);
});
