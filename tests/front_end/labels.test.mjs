import assert from "node:assert/strict";
import { test } from "node:test";

import {
  briefTitle,
  columnFormat,
  compareFacts,
  formatFraction,
  formatInterval,
  formatNumber,
  legendLabels,
  naturalOrder,
  seriesLabels,
  sharedPhrases,
  tellingFacts,
} from "../../tb_plugin/static/numbers/labels.js";
import { series } from "./helpers.mjs";

test("runs that differ in one fact are labelled by its values", () => {
  const runs = [
    series("a", { "label corruption": "0.0", data: "mnist" }),
    series("b", { "label corruption": "1.0", data: "mnist" }),
  ];
  assert.deepEqual(legendLabels(runs), {
    title: "label corruption",
    labels: ["0.0", "1.0"],
  });
  assert.deepEqual(seriesLabels(runs), ["label corruption 0.0", "label corruption 1.0"]);
});

test("what came out does not crowd the label when what went in tells runs apart", () => {
  const runs = [
    series("a", { "label corruption": "0", "test accuracy": "0.98" }),
    series("b", { "label corruption": "1", "test accuracy": "0.10" }),
  ];
  assert.deepEqual(tellingFacts(runs.map((s) => s.meta.facts)), ["label corruption"]);
});

test("facts are added until runs are told apart", () => {
  const runs = ["0", "1"].flatMap((c) =>
    ["0", "1"].map((s) => series(`r${c}${s}`, { corruption: c, seed: s })),
  );
  assert.deepEqual(seriesLabels(runs).slice(0, 2), [
    "corruption 0, seed 0",
    "corruption 0, seed 1",
  ]);
});

test("every label is different, with facts or without", () => {
  const cases = [
    [series("a", {}), series("b", {})],
    [series("a", { seed: "0" }), series("b", { seed: "0" }), series("c", { seed: "1" })],
    [series("a", {}, "one"), series("a", {}, "two")],
    [series("a", { x: "1" }), series("b", {})],
  ];
  for (const runs of cases) {
    const made = seriesLabels(runs);
    assert.equal(new Set(made).size, runs.length, made.join(" | "));
    assert.ok(made.every(Boolean));
  }
});

test("numbers in names are compared as numbers", () => {
  assert.deepEqual(["x10", "x9", "x1"].sort(naturalOrder), ["x1", "x9", "x10"]);
});

test("numbers are shown with digits enough", () => {
  assert.equal(formatNumber(-0.0123456), "−0.01235");
  assert.equal(formatNumber(1024), "1,024");
  assert.equal(formatNumber(NaN), "–");
  assert.equal(formatFraction(-0.1234), "−0.123");
});

test("what is true or false is called with or without", () => {
  const runs = [series("a", { "batch norm": "True" }), series("b", { "batch norm": "False" })];
  assert.deepEqual(legendLabels(runs).labels, ["with batch norm", "without batch norm"]);
});

test("what the description at the side says is not said again above the chart", () => {
  const facts = { figure: "fig1a", data: "digits; 50 images", network: "mlp", seed: "0" };
  const runs = [{ ...series("a", facts), description: "Title of 2018. Data: digits." }];
  assert.deepEqual(sharedPhrases(runs), ["mlp", "seed 0"]);
  const undescribed = sharedPhrases([series("a", facts)]);
  assert.deepEqual(undescribed, ["digits; 50 images", "mlp", "seed 0"]);
});

test("an interval is written with three places, and left out where it has no meaning", () => {
  assert.equal(formatInterval([-0.25, 0.5]), " [−0.250, 0.500]");
  assert.equal(formatInterval([NaN, NaN]), "");
});

test("the name of a model is no fact to compare runs by, and what came out comes last", () => {
  const runs = [
    { seed: "0", "test accuracy": "0.97", model: "mnist-mlp-1" },
    { seed: "0", "test accuracy": "0.98", model: "mnist-mlp-2" },
  ];
  assert.deepEqual(compareFacts(runs), {
    differing: ["test accuracy"],
    shared: [["seed", "0"]],
  });
  const more = [...runs, { seed: "1", "test accuracy": "0.99", model: "mnist-mlp-3" }];
  assert.deepEqual(tellingFacts(more), ["seed", "test accuracy"]);
});

test("the axis of a small chart has a name and its unit", () => {
  assert.equal(briefTitle("mutual_information"), "Mutual information (bits)");
  assert.equal(briefTitle("my_own"), "My own");
});

test("the numbers of a column have the same decimals", () => {
  const column = [0.65, -0.008, 0.048, NaN, 0];
  assert.deepEqual(column.map(columnFormat(column)), ["0.6500", "−0.0080", "0.0480", "–", "0.0000"]);
  assert.equal(columnFormat([2.57, 1e-6])(-1e-6), "0.000"); // no minus before nothing
  assert.equal(columnFormat([12345.678])(12345.678), "12,346");
  assert.deepEqual([3, 40].map(columnFormat([3, 40])), ["3", "40"]);
  assert.equal(columnFormat([])(NaN), "–");
  assert.equal(columnFormat(Float32Array.of(1e-12))(1e-12), "0.00000000");
});

test("every minus of a number in scientific notation is a minus sign", () => {
  assert.equal(formatNumber(-4.649e-9), "−4.649e−9");
});
