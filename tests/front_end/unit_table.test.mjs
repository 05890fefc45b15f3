import assert from "node:assert/strict";
import { test } from "node:test";

import {
  axesOf,
  axisColumns,
  decodeTable,
  selectiveAndConfusing,
  silentUnits,
} from "../../tb_plugin/static/numbers/unit_table.js";
import { TABLE_HEADER, unitTable } from "./helpers.mjs";

test("a unit table is decoded column after column", () => {
  const { layer, unit, columns } = unitTable();
  assert.deepEqual([...layer], [0, 0, 1]);
  assert.deepEqual([...unit], [0, 1, 0]);
  assert.deepEqual([...columns.keys()], ["class_selectivity", "importance"]);
  assert.deepEqual([...columns.get("importance")], [0, 0.25, -0.5]);
});

test("bytes that do not fit the header are refused", () => {
  assert.throws(() => decodeTable(new ArrayBuffer(44), TABLE_HEADER), /44 bytes for 3 rows/);
});

test("a unit is silent if its mean activation is 0, else if all is 0", () => {
  assert.deepEqual(silentUnits(unitTable()), [true, false, false]);
  const measured = unitTable();
  measured.columns.set("mean_activation", new Float32Array([1, 0, 2]));
  assert.deepEqual(silentUnits(measured), [false, true, false]);
});

test("columns of single classes are no axes", () => {
  assert.deepEqual(axisColumns(["importance", "class_mean/0", "class_drop/11", "class_x/1"]), [
    "importance",
    "class_x/1",
  ]);
});

test("the selective and the confusing unit are among those that matter and are active", () => {
  const table = (importance) => ({
    n: 6,
    columns: new Map([
      ["class_selectivity", Float32Array.from([1, 0.9, 0.5, 0.2, 0.1, 0])],
      ["mean_activation", Float32Array.from([1, 1, 1, 1, 1, 0])],
      ["sparsity", Float32Array.from([0, 0, 0, 0, 0, 1])],
      ...(importance ? [["importance", Float32Array.from(importance)]] : []),
    ]),
  });
  assert.deepEqual(selectiveAndConfusing(table([0, 3, 1, 4, 0, 9])), [1, 3]);
  assert.deepEqual(selectiveAndConfusing(table(null)), [0, 4]);
  assert.deepEqual(selectiveAndConfusing(table([0, 0, 0, 0, 0, 0])), [0, 4]);
});

test("the axes are those of the address, or else the first two quantities", () => {
  const measured = unitTable();
  const axes = (unitX, unitY) => Object.values(axesOf(measured, { unitX, unitY }));
  assert.deepEqual(axes("importance", "class_selectivity"), ["importance", "class_selectivity"]);
  assert.deepEqual(axes("gone", "gone"), ["class_selectivity", "importance"]);
  measured.columns.delete("importance");
  assert.deepEqual(axes("gone", "importance"), ["class_selectivity", "class_selectivity"]);
});

test("without a choice the axes are the figure's, as far as they were measured", () => {
  const column = (...values) => Float32Array.from(values);
  const table = {
    n: 2,
    columns: new Map([
      ["class_selectivity", column(NaN, NaN)],
      ["sparsity", column(0.5, NaN)],
      ["weight_norm", column(1, 2)],
      ["importance", column(0, 1)],
    ]),
  };
  const axes = (facts, chosen = {}) =>
    Object.values(axesOf(table, { unitX: "", unitY: "", ...chosen }, facts));
  assert.deepEqual(axes({ views: "units sparsity weight_norm" }), ["sparsity", "weight_norm"]);
  assert.deepEqual(axes({ views: "units class_selectivity weight_norm" }), ["sparsity", "weight_norm"]);
  assert.deepEqual(axes({}), ["sparsity", "importance"]); // no unit has a selectivity
  assert.deepEqual(axes({}, { unitX: "class_selectivity" }), ["class_selectivity", "importance"]);
});
