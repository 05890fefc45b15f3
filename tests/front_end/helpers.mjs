// What the tests of several modules share.

import assert from "node:assert/strict";

import { decodeTable } from "../../tb_plugin/static/numbers/unit_table.js";

export const close = (a, b) => assert.ok(Math.abs(a - b) < 1e-12, `${a} is not ${b}`);

/** A series as the index has it, as far as labels and colours look. */
export const series = (run, facts, tag = "curve") => ({ run, tag, meta: { facts } });

// The unit table of http_api.md.
export const TABLE_HEADER = {
  step: 5,
  walltime: 0,
  n: 3,
  columns: ["layer", "unit", "class_selectivity", "importance"],
  layers: ["hidden_1", "hidden_2"],
};

export function unitTable() {
  const numbers = [0, 0, 1, 0, 1, 0, 0, 0.5, 1, 0, 0.25, -0.5];
  return decodeTable(new Float32Array(numbers).buffer, TABLE_HEADER);
}
