import assert from "node:assert/strict";
import { test } from "node:test";

import { described } from "../../tb_plugin/static/numbers/facts.js";
import { series } from "./helpers.mjs";

const factsOf = (all) => described(all).map(({ meta }) => meta.facts);

test("a table without facts has those of its run's other series", () => {
  const curve = series("a", { network: "mlp", seed: "0" });
  const table = series("a", {}, "units");
  assert.deepEqual(factsOf([table, curve]), [curve.meta.facts, curve.meta.facts]);
  assert.deepEqual(table.meta.facts, {}); // what was read stays as it was read
});

test("facts that contradict each other, and facts of another run, are not taken", () => {
  const all = [series("a", { seed: "0", order: "random" }), series("a", { seed: "0", order: "important" }, "b"), series("a", {}, "units"), series("b", {})];
  assert.deepEqual(factsOf(all).slice(2), [{ seed: "0" }, {}]);
});

test("a series that says anything of its run is left as it is", () => {
  assert.deepEqual(factsOf([series("a", { seed: "0" }), series("a", { model: "m" }, "units")])[1], { model: "m" });
});
