import assert from "node:assert/strict";
import { test } from "node:test";

import { relate } from "../../tb_plugin/static/numbers/relations.js";
import { LIGHT } from "../../tb_plugin/static/page/theme.js";
import { layoutOf } from "../../tb_plugin/static/parts/small_multiples.js";
import { layerOf, unitsOption } from "../../tb_plugin/static/views/units/units_chart.js";
import { panelsOf } from "../../tb_plugin/static/views/units/units_panels.js";
import { unitTable } from "./helpers.mjs";

function option(arrangement, more = {}) {
  const axes = { xName: "class_selectivity", yName: "importance" };
  const related = relate(unitTable(), axes.xName, axes.yName, false);
  const hidden = more.hidden ?? [];
  const found = panelsOf({ related, arrangement, hidden, kind: "linear", zoomOf: () => ({}), ...axes });
  return unitsOption({
    related: found.drawn,
    panels: found.panels,
    layout: found.single ? null : layoutOf(found.panels.length, 2),
    apart: arrangement === "own",
    names: ["hidden_1", "hidden_2"],
    allName: "all layers",
    pooledName: "all layers",
    xTitle: "Selectivity",
    yTitle: "Importance",
    hidden,
    theme: LIGHT,
    describe: () => null,
    spoken: "",
    ...more,
  });
}
const ids = ({ series }) => series.map(({ id }) => id);

test("each layer's points, line and rings lie in its own panel", () => {
  const { grid, series, legend } = option("own", { selected: [[1], []] });
  assert.equal(grid.length, 2);
  const place = (id) => series.find((one) => one.id === id).xAxisIndex;
  assert.deepEqual(["points:0", "selected:0", "points:1"].map(place), [0, 0, 1]);
  assert.deepEqual(series.find(({ id }) => id === "selected:0").data, [[0.5, 0.25]]);
  // A line over all layers means nothing where each panel has its own axes.
  assert.ok(!legend.data.some(({ name }) => name === "all layers"));
  assert.ok(!series.some(({ name }) => name === "all layers"));
});

test("only panels with axes of their own, or the first of a row, have numbers at the left", () => {
  const bare = ({ yAxis }) => yAxis.map(({ axisLabel }) => axisLabel.show === false);
  assert.deepEqual(bare(option("shared")), [false, true]);
  assert.deepEqual(bare(option("own")), [false, false]);
  assert.deepEqual(option("own").yAxis.map(({ name }) => name), ["Importance", ""]);
});

test("a layer without a panel stays in the legend, where it can be brought back", () => {
  const { series, legend, grid } = option("shared", { hidden: ["hidden_1"] });
  assert.equal(grid.length, 1);
  assert.deepEqual(legend.selected, { hidden_1: false });
  for (const name of legend.data) assert.ok(series.some((one) => one.name === name), name);
  assert.equal(layerOf("points:1"), 1);
  assert.equal(layerOf("unseen:0"), -1);
  assert.equal(layerOf(undefined), -1);
});

test("in one plot there is one panel with a line over all layers; density has cells in each panel", () => {
  const one = option("one");
  assert.equal(one.grid.length, 1);
  assert.ok(one.series.some(({ name }) => name === "all layers"));
  assert.deepEqual(ids(option("own", { asDensity: true })).filter((id) => id.startsWith("density")), ["density:0", "density:1"]);
});
