import assert from "node:assert/strict";
import { test } from "node:test";

import { acrossOf, acrossOnPaper, layoutOf } from "../../tb_plugin/static/parts/small_multiples.js";

test("as many panels stand beside each other as there is room for", () => {
  assert.deepEqual([350, 660, 1120].map((width) => acrossOf(11, width)), [1, 2, 3]);
  assert.deepEqual([350, 660, 1120].map((width) => acrossOf(4, width)), [1, 2, 2]);
  assert.deepEqual([1, 2, 11].map((panels) => acrossOf(panels, 1120)), [1, 2, 3]);
  assert.equal(acrossOf(0, 1120), 1);
  assert.deepEqual([1, 2, 8, 11].map(acrossOnPaper), [1, 2, 2, 3]);
});

/** Left and right end of each panel in a chart of a width. */
function ends({ grids }, width) {
  const pixels = (side) => (typeof side === "number" ? side : (parseFloat(side) / 100) * width);
  return grids.map(({ left, right }) => [pixels(left), width - pixels(right)]);
}

test("panels lie beside and below each other, with room for the numbers between them", () => {
  for (const [across, width] of [[1, 350], [2, 600], [2, 720], [3, 960], [3, 1600]]) {
    const layout = layoutOf(7, across);
    const sides = ends(layout, width);
    layout.grids.forEach(({ top, height }, i) => {
      const [left, right] = sides[i];
      assert.ok(right - left > 0.6 * (width / across) - 10, "most of the width is panel");
      assert.ok(right < width);
      if (layout.first(i)) assert.ok(left >= 60); // numbers and the axis' name
      else assert.ok(left - sides[i - 1][1] >= 40);
      const above = layout.grids[i - across];
      if (above) assert.ok(top - above.top - above.height >= 60);
      assert.ok(layout.names[i].top + 16 < top && top + height + 40 <= layout.height);
      assert.equal(layout.lowest(i), !layout.grids[i + across]);
    });
  }
});

test("few panels are higher than many", () => {
  const height = (n) => layoutOf(n, 2).grids[0].height;
  assert.ok(height(2) > height(4) && height(4) > height(8));
});
