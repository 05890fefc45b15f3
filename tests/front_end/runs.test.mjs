import assert from "node:assert/strict";
import { test } from "node:test";

import { matcher, runsChosen, runsMatching } from "../../tb_plugin/static/numbers/runs.js";

test("a broken regular expression matches nothing and says so", () => {
  assert.equal(matcher("(["), null);
  assert.equal(matcher("=0\\.[24]$")("label_corruption=0.4"), true);
});

test("a plain text is searched for as it stands", () => {
  assert.equal(matcher("0.4")("mnist-mlp-7d68402460"), false);
  assert.equal(matcher("0.4")("label corruption 0.4"), true);
  assert.equal(matcher("FIG")("fig1a/seed=0"), true);
  assert.equal(matcher("")("anything"), true);
});

test("runs are looked at that match by name or by label, and are chosen if they are ticked", () => {
  const run = (name, seed) => ({ run: name, tag: "c", meta: { facts: { seed } } });
  const offered = [run("a", "0"), run("b", "1"), run("c", "2")];
  const names = (found) => found.map((s) => s.run);
  assert.deepEqual(names(runsMatching(offered, { filter: "^[ab]$|seed 2" })), ["a", "b", "c"]);
  assert.deepEqual(names(runsMatching(offered, { filter: "seed 1" })), ["b"]);
  assert.deepEqual(names(runsMatching(offered, { filter: "([" })), ["a", "b", "c"]);
  assert.deepEqual(names(runsChosen(offered, { filter: "^[ab]$", off: ["a"] })), ["b"]);
});
