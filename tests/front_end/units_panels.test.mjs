import assert from "node:assert/strict";
import { test } from "node:test";

import { leastSquares } from "../../tb_plugin/static/numbers/statistics.js";
import { MOST_PANELS, panelsOf } from "../../tb_plugin/static/views/units/units_panels.js";

const group = (layer, x, y) => ({
  layer,
  rows: x.map((_, i) => i),
  silent: 0,
  x: Float64Array.from(x),
  y: Float64Array.from(y),
  rho: 0.5,
  interval: [0, 1],
  line: leastSquares(x, y),
});
const all = (layers) => group(null, layers.flatMap(({ x }) => [...x]), layers.flatMap(({ y }) => [...y]));
const LAYERS = [group("wide", [0.1, 0.9, 0.4], [-2, 8, 4]), group("flat", [0.2, 0.3, 0.5], [0.01, 0.02, 0])];

const panels = (asked) =>
  panelsOf({
    related: { layers: LAYERS, all: all(LAYERS) },
    arrangement: "one",
    hidden: [],
    kind: "linear",
    xName: "weight_norm",
    yName: "importance",
    zoomOf: () => ({}),
    ...asked,
  });
const holds = ([low, high], values) => values.every((value) => value >= low && value <= high);

test("one plot holds all layers, and axes that are shared hold them in every panel", () => {
  const { panels: one, single } = panels({});
  assert.equal(single, true);
  assert.deepEqual(one.map(({ layers }) => layers), [[0, 1]]);
  const { panels: shared } = panels({ arrangement: "shared" });
  assert.deepEqual(shared.map(({ layers, title }) => [layers, title.split(" ")[0]]), [[[0], "wide"], [[1], "flat"]]);
  for (const { yExtent } of [...one, ...shared]) assert.ok(holds(yExtent, [-2, 8, 0.01]));
});

test("a panel's own axes hold its layer and no more", () => {
  const { panels: own } = panels({ arrangement: "own" });
  assert.ok(holds(own[0].yExtent, [-2, 8]) && holds(own[1].yExtent, [0, 0.02]));
  assert.ok(own[1].yExtent[1] < 0.1 && own[1].xExtent[1] < 0.9);
});

test("ranks are those among all layers, or among a panel's own", () => {
  const shared = panels({ arrangement: "shared", kind: "rank" });
  assert.deepEqual([...shared.drawn.layers[1].y], [3, 4, 2]);
  assert.ok(holds(shared.panels[1].yExtent, [1, 6]));
  const own = panels({ arrangement: "own", kind: "rank" });
  assert.deepEqual([...own.drawn.layers[1].y], [2, 3, 1]);
  assert.ok(own.panels[1].yExtent[1] < 6);
  assert.deepEqual(own.drawn.layers[1].line, leastSquares([0.2, 0.3, 0.5], [2, 3, 1]));
});

test("the scale fits all panels: one unit far from the others of its layer asks for a logarithm", () => {
  const close = Array.from({ length: 60 }, (_, i) => 0.001 * (i + 1));
  const layers = [LAYERS[0], group("odd", close, [...close.slice(1), 20])];
  const asked = { related: { layers, all: all(layers) }, kind: "" };
  assert.equal(panels({ ...asked, arrangement: "own" }).kind, "symlog");
  assert.equal(panels({ arrangement: "own", kind: "" }).kind, "linear");
  const [first, second] = panels({ ...asked, arrangement: "own" }).panels;
  assert.notEqual(first.scale.title("y"), second.scale.title("y")); // each is linear within its own size
});

test("a hidden layer has no panel, keeps the axes of the others where they are, and its zoom", () => {
  const zoomOf = (layer) => ({ x: [layer, layer + 1] });
  const { panels: left } = panels({ arrangement: "shared", hidden: ["wide"], zoomOf });
  assert.deepEqual(left.map(({ layers }) => layers), [[1]]);
  assert.ok(holds(left[0].yExtent, [-2, 8]));
  assert.deepEqual(left[0].zoom, { x: [1, 2] });
  const { panels: none, single } = panels({ arrangement: "own", hidden: ["wide", "flat"] });
  assert.ok(single && none.length === 1);
});

test("a network of very many layers gets as many panels as a browser can paint", () => {
  const layers = Array.from({ length: MOST_PANELS + 3 }, (_, i) => group(`l${i}`, [0, 1], [0, 1]));
  const { panels: drawn, left } = panels({ related: { layers, all: all(layers) }, arrangement: "shared" });
  assert.deepEqual([drawn.length, left], [MOST_PANELS, 3]);
});
