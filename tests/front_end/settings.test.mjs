import assert from "node:assert/strict";
import { test } from "node:test";

import {
  chooseSettings,
  COMPARE,
  settingPhrases,
} from "../../tb_plugin/static/numbers/settings.js";

const curve = (run, meta) => ({ run, tag: "c", kind: "curve", meta: { facts: {}, ...meta } });

test("of several settings the most frequent is shown, unless another is asked for", () => {
  const all = [
    curve("a", { fill: "zero" }),
    curve("b", { fill: "zero" }),
    curve("a", { fill: "mean" }),
  ];
  const runs = (state) => chooseSettings(all, ["fill"], state).series.map((s) => s.run);
  assert.deepEqual(runs({}), ["a", "b"]);
  assert.deepEqual(runs({ fill: "mean" }), ["a"]);
  assert.deepEqual(runs({ fill: "nothing" }), ["a", "b"]);
  const { series, choices } = chooseSettings(all, ["fill"], { fill: COMPARE });
  assert.deepEqual(
    series.map((s) => s.meta.facts["clamped to"]),
    ["zero", "zero", "mean"],
  );
  assert.deepEqual(settingPhrases(choices), []);
});

test("settings begin with those of the runs that are looked at", () => {
  const of = (run, layers) => ({ run, tag: "curve", meta: { layers, facts: {} } });
  const all = [of("a", "conv"), of("b", "conv"), of("c", "conv"), of("d", "hidden")];
  const runs = (state, lookedAt) =>
    chooseSettings(all, ["layers"], state, lookedAt).series.map((s) => s.run);
  assert.deepEqual(runs({}), ["a", "b", "c"]);
  assert.deepEqual(runs({}, [all[3]]), ["d"]);
  assert.deepEqual(runs({}, []), ["a", "b", "c"]);
  assert.deepEqual(runs({ layers: "conv" }, [all[3]]), ["a", "b", "c"]);
});

test("a run's many curves of one order do not outweigh the usual one", () => {
  const curve = (order, tag) => ({ run: "r", tag, kind: "curve", meta: { facts: {}, order } });
  const all = [curve("selectivity", "a"), curve("selectivity", "b"), curve("random", "c")];
  assert.equal(chooseSettings(all, ["order"], {}).choices[0].chosen, "random");
});
