import assert from "node:assert/strict";
import { test } from "node:test";

import { stepped, within } from "../../tb_plugin/static/parts/keys.js";
import { close } from "./helpers.mjs";

const PANEL = { x: 100, y: 50, width: 200, height: 100 };

test("keys zoom about the middle and move by a share of what is seen", () => {
  const closer = stepped(PANEL, "+");
  close(closer.x + closer.width / 2, 200);
  close(closer.y + closer.height / 2, 100);
  close(closer.width, 140);
  const back = stepped(closer, "-");
  for (const key of ["x", "y", "width", "height"]) close(back[key], PANEL[key]);
  assert.deepEqual(stepped(PANEL, "ArrowUp"), { ...PANEL, y: 35 });
  assert.deepEqual(stepped(PANEL, "ArrowRight"), { ...PANEL, x: 130 });
});

test("0 shows everything, and other keys are left to the browser", () => {
  assert.equal(stepped(PANEL, "0"), null);
  assert.equal(stepped(PANEL, "Tab"), undefined);
});

test("a window stays inside the whole, and is null where it is the whole", () => {
  const whole = { x: [0, 10], y: [0, 1] };
  const part = { x: [2, 4], y: [0.2, 0.4] };
  assert.equal(within(part, whole), part);
  assert.deepEqual(within({ x: [-1, 4], y: [0.2, 0.4] }, whole), { x: [0, 4], y: [0.2, 0.4] });
  assert.deepEqual(within({ x: [-1, 11], y: [0.2, 0.4] }, whole), { y: [0.2, 0.4] });
  assert.equal(within({ x: [-1, 11], y: [-1, 2] }, whole), null);
});
