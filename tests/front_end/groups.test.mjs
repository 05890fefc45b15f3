import assert from "node:assert/strict";
import { test } from "node:test";

import { EVERY_RUN, folderOf, groupRuns, groupTitles } from "../../tb_plugin/static/numbers/groups.js";

const crowd = (folder, n) => Array.from({ length: n }, (_, i) => `${folder}/seed=${i}`);
const asked = (changes) => ({ group: "", filter: "", unitRun: "", ...changes });

test("a crowd of runs is looked at one folder at a time, the paper's figures first", () => {
  const runs = [...crowd("dropout", 9), ...crowd("fig10", 2), ...crowd("fig2", 4)];
  const { groups, chosen } = groupRuns(runs, asked({}));
  assert.deepEqual(
    groups.map(({ name, size }) => [name, size]),
    [["fig2", 4], ["fig10", 2], ["dropout", 9]],
  );
  assert.equal(chosen, "fig2");
  const chosenBy = (changes) => groupRuns(runs, asked(changes)).chosen;
  assert.equal(chosenBy({ group: EVERY_RUN }), EVERY_RUN);
  assert.equal(chosenBy({ group: "dropout" }), "dropout");
  assert.equal(chosenBy({ group: "gone" }), "fig2");
  assert.equal(chosenBy({ unitRun: "fig10/seed=1" }), "fig10");
  assert.equal(chosenBy({ filter: "^fig" }), EVERY_RUN); // so few are seen together
});

test("few runs are seen together, and folders of one run each are no groups", () => {
  const few = groupRuns([...crowd("a", 2), ...crowd("b", 2)], asked({}));
  assert.equal(few.chosen, EVERY_RUN);
  assert.deepEqual(few.groups, [{ name: "a", size: 2 }, { name: "b", size: 2 }]);
  assert.deepEqual(groupRuns(["a/train", "b/train"], asked({})).groups, []);
  assert.deepEqual(groupRuns(crowd("a", 30), asked({})).groups, []);
  assert.deepEqual(groupRuns([], asked({})).groups, []);
});

test("runs without a folder are a group of their own", () => {
  assert.deepEqual(["a/b/c", "a", "."].map(folderOf), ["a/b", ".", "."]);
  const { groups } = groupRuns(["mine", ...crowd("fig1", 2)], asked({}));
  assert.deepEqual(groups, [{ name: "fig1", size: 2 }, { name: ".", size: 1 }]);
});

test("a view opens on the figure that was made for it, before others that have its data", () => {
  const runs = [...crowd("fig6", 4), ...crowd("fig7a", 3), ...crowd("fig7b", 2), ...crowd("mine", 9)];
  const made = { fig7a: 0, fig7b: 0, fig6: 1 };
  const rank = (run) => made[folderOf(run)] ?? Infinity;
  const chosenBy = (changes, found = runs) => groupRuns(found, asked(changes), rank).chosen;
  assert.equal(chosenBy({}), "fig7a");
  assert.equal(chosenBy({ unitRun: "fig6/seed=1" }), "fig6");
  assert.equal(chosenBy({ group: "mine" }), "mine");
  assert.equal(chosenBy({ filter: "seed=1" }), EVERY_RUN); // who filters asks for all that match
  assert.equal(chosenBy({}, [...crowd("fig6", 4), ...crowd("fig7a", 3)]), "fig7a"); // not mixed
  assert.equal(chosenBy({}, [...crowd("mine", 4), ...crowd("yours", 3)]), EVERY_RUN);
});

test("folders are called by their figures, without the folder that all lie in", () => {
  const items = [
    { run: "quick/fig1a/seed=0", description: "Ablation by label corruption. Data: digits." },
    { run: "quick/fig7a/seed=0", description: "Selectivity." },
    { run: "quick/mine/seed=0" },
  ];
  const names = ["quick/fig1a", "quick/fig7a", "quick/mine"];
  assert.deepEqual(groupTitles(names, items), [
    "fig1a · Ablation by label corruption",
    "fig7a · Selectivity",
    "mine",
  ]);
  assert.deepEqual(groupTitles(["a/x", "b/x", "."], []), ["a/x", "b/x", "no folder"]);
  assert.deepEqual(groupTitles(["x", "."], []), ["x", "no folder"]);
});
