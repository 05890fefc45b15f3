import assert from "node:assert/strict";
import { test } from "node:test";

import { chosenTable } from "../../tb_plugin/static/parts/unit_tables.js";

const units = (run, facts = {}, tag = "units") => ({ run, tag, kind: "units", meta: { facts } });

test("the table that is shown is one of those that the filter leaves", () => {
  const tables = [units("fig6/a"), units("fig7a/b"), units("fig7a/a"), units("fig7a/a", {}, "z")];
  const chosen = (state) => {
    const found = chosenTable(tables, { filter: "", unitRun: "", unitTag: "", ...state });
    return found && `${found.run} ${found.tag}`;
  };
  assert.equal(chosen({}), "fig6/a units");
  assert.equal(chosen({ filter: "fig7a" }), "fig7a/a units");
  assert.equal(chosen({ filter: "fig7a", unitRun: "fig7a/b" }), "fig7a/b units");
  assert.equal(chosen({ filter: "fig7a", unitRun: "fig6/a" }), "fig7a/a units");
  assert.equal(chosen({ unitRun: "fig7a/a", unitTag: "z" }), "fig7a/a z");
  assert.equal(chosen({ filter: "nothing" }), undefined);
  assert.equal(chosen({ filter: "([" }), "fig6/a units"); // no expression yet: all are there
});
