import assert from "node:assert/strict";
import { test } from "node:test";

import { relate } from "../../tb_plugin/static/numbers/relations.js";
import { close, unitTable } from "./helpers.mjs";

test("units are grouped by layer; silent ones are counted and may be left out", () => {
  const kept = relate(unitTable(), "class_selectivity", "importance", false);
  assert.deepEqual(
    kept.layers.map((g) => [g.layer, g.rows, g.silent]),
    [
      ["hidden_1", [0, 1], 1],
      ["hidden_2", [2], 0],
    ],
  );
  close(kept.layers[0].rho, 1);
  const omitted = relate(unitTable(), "class_selectivity", "importance", true);
  assert.deepEqual(omitted.all.rows, [1, 2]);
  assert.equal(omitted.all.silent, 1);
});

test("layers that the legend hides count for nothing in what is said of all", () => {
  const measured = unitTable();
  const shown = relate(measured, "class_selectivity", "importance", false, ["hidden_1"]);
  assert.deepEqual(shown.all.rows, [2]);
  assert.deepEqual([...shown.all.x], [1]);
  assert.equal(shown.all.silent, 0);
  assert.equal(shown.layers.length, 2); // the legend still has both
  assert.deepEqual(relate(measured, "class_selectivity", "importance", false).all.rows, [0, 1, 2]);
  const none = relate(measured, "class_selectivity", "importance", false, ["hidden_1", "hidden_2"]);
  assert.deepEqual([none.all.rows, none.all.line], [[], null]);
});

test("a table is related once, until its axes change", () => {
  const measured = unitTable();
  const ask = (x) => relate(measured, x, "importance", false);
  const first = ask("class_selectivity");
  assert.equal(ask("class_selectivity").layers, first.layers);
  assert.equal(ask("class_selectivity").all, first.all);
  assert.notEqual(ask("importance").all, first.all);
});

test("a unit without one of the two quantities is not drawn", () => {
  const gap = unitTable();
  gap.columns.get("importance")[1] = NaN;
  assert.deepEqual(relate(gap, "class_selectivity", "importance", false).all.rows, [0, 2]);
});
