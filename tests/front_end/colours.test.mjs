import assert from "node:assert/strict";
import { test } from "node:test";

import {
  colouredBy,
  faded,
  pointedAt,
  seriesColours,
  seriesDashes,
} from "../../tb_plugin/static/page/colours.js";
import { LIGHT, rampColour } from "../../tb_plugin/static/page/theme.js";

const withFacts = (facts) => ({ run: JSON.stringify(facts), meta: { facts } });

test("runs are coloured by the setting in which they differ, and else as TensorBoard does", () => {
  const by = (runs, chosen = "") => colouredBy(runs.map(withFacts), chosen);
  const corrupted = ["0", "0.5", "1"].map((c) => ({ figure: "fig1a", "label corruption": c, seed: c }));
  assert.equal(by(corrupted), "label corruption");
  assert.equal(by(corrupted, "run"), "run");
  assert.equal(by([{ seed: "0" }, { seed: "1", "test accuracy": "0.9" }]), "run");
  assert.equal(by([{ dropout: "0" }, {}]), "run"); // one does not say
});

test("a run keeps its colour whatever else is ticked", () => {
  const all = ["0", "0.5", "1"].map((c) => withFacts({ c }));
  const colours = seriesColours(all, "c", LIGHT, []);
  assert.deepEqual(seriesColours(all.slice(1), "c", LIGHT, [], all), colours.slice(1));
  assert.equal(new Set(colours).size, 3);
  // What the filter takes out of the list, or what does not say, is on no scale.
  const odd = [...all, withFacts({})];
  const [first, , , last] = seriesColours(odd, "c", LIGHT, [], all.slice(1));
  assert.deepEqual([first, last], [LIGHT.all, LIGHT.all]);
  const words = seriesColours(odd, "c", LIGHT, [], [withFacts({ c: "x" }), withFacts({ c: "0" })]);
  assert.deepEqual(words, [LIGHT.layers[0], LIGHT.all, LIGHT.all, LIGHT.all]);
});

test("runs of one colour differ in their line, by the next setting in which they differ", () => {
  const runs = ["0", "1"].flatMap((c) => ["0", "0.1", "10"].map((d) => withFacts({ c, d, seed: c + d })));
  const dashes = seriesDashes(runs, "c");
  assert.deepEqual(dashes.slice(0, 3), dashes.slice(3)); // the same setting, the same line
  assert.equal(new Set(dashes.map(String)).size, 3);
  assert.equal(dashes[0], "solid");
  const seeds = ["0", "1"].map((seed) => withFacts({ c: "0", seed }));
  assert.equal(new Set(seriesDashes(seeds, "c").map(String)).size, 2);
  assert.deepEqual(seriesDashes(seeds, "run"), ["solid", "solid"]); // run colours tell them apart
  assert.deepEqual(seriesDashes([withFacts({}), withFacts({})], "c"), ["solid", "solid"]);
});

test("the run that is pointed at keeps its colour, and all others fade", () => {
  const items = [LIGHT.layers[0], rampColour(0.3, LIGHT), LIGHT.all].map((colour, run) => ({ run, colour }));
  const drawn = pointedAt(items, ({ run }) => run === 1, (all) => all.map(({ colour }) => colour));
  assert.deepEqual(drawn, [faded(items[0].colour), items[1].colour, faded(items[2].colour)]);
  assert.equal(faded("#1a73e8"), "rgba(26, 115, 232, 0.16)");
  assert.match(faded(rampColour(0.3, LIGHT)), /^rgba\(\d+, \d+, \d+, 0\.16\)$/);
});

test("where the run has no line, nothing fades", () => {
  const items = [{ run: "a", colour: "#000000" }];
  assert.equal(pointedAt(items, ({ run }) => run === "b", (all) => all), null);
});
