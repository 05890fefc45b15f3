import assert from "node:assert/strict";
import { test } from "node:test";

import { figureView } from "../../tb_plugin/static/numbers/figure_views.js";

const facts = { views: "curves; units class_selectivity weight_norm; distributions importance" };

test("a figure says which views it was made for, and their axes", () => {
  assert.deepEqual(figureView(facts, "curves"), { place: 0, axes: [] });
  assert.deepEqual(figureView(facts, "units"), {
    place: 1,
    axes: ["class_selectivity", "weight_norm"],
  });
  assert.deepEqual(figureView(facts, "distributions"), { place: 2, axes: ["importance"] });
  assert.equal(figureView(facts, "noise"), null);
});

test("the inspector shows what the plot of all units shows", () => {
  assert.deepEqual(figureView(facts, "unit"), figureView(facts, "units"));
});

test("runs of other programs say nothing", () => {
  assert.equal(figureView({}, "curves"), null);
  assert.equal(figureView({ views: "" }, "curves"), null);
  assert.equal(figureView({ views: "; ;" }, "curves"), null);
});
