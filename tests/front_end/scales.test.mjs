import assert from "node:assert/strict";
import { test } from "node:test";

import { fittingScale, scaleOf } from "../../tb_plugin/static/numbers/scales.js";
import { close } from "./helpers.mjs";

const many = Array.from({ length: 400 }, (_, i) => 0.001 * (1 + (i % 7)));

test("a few values far from all others ask for a logarithm, and others do not", () => {
  assert.equal(fittingScale([...many, 2.57]), "symlog");
  assert.equal(fittingScale([...many, -2.57]), "symlog");
  assert.equal(fittingScale(many), "linear");
  assert.equal(fittingScale([...many, 0.02]), "linear");
  assert.equal(fittingScale([]), "linear");
  assert.equal(fittingScale([0, 0, 0]), "linear");
});

test("a scale keeps the order of the values, and 0 where it is", () => {
  const values = [-2, -0.001, 0, 0, 0.0005, 0.003, 0.003, 2.57];
  for (const kind of ["linear", "symlog", "rank"]) {
    const { place } = scaleOf(kind, values);
    const places = values.map(place);
    places.slice(1).forEach((at, i) => assert.ok(at >= places[i], kind));
    assert.equal(place(2.57) > place(0.003), true);
    assert.equal(place(0.003), places[5]);
  }
  assert.equal(scaleOf("symlog", values).place(0), 0);
  assert.equal(scaleOf("symlog", values).place(-0.5), -scaleOf("symlog", values).place(0.5));
});

test("the labels of a logarithmic axis stand at what they say", () => {
  const scale = scaleOf("symlog", [...many, 2.57, -0.3]);
  assert.ok(scale.ticks.length >= 4 && scale.ticks.length <= 9);
  for (const at of scale.ticks)
    close(scale.place(Number(scale.label(at).replaceAll("−", "-"))), at);
  assert.ok(scale.ticks.some((at) => scale.label(at) === "0"));
  assert.match(scale.title("Importance"), /^Importance, log beyond ±0\.00\d$/);
});

test("labels are short, and their minus is a minus", () => {
  const scale = scaleOf("symlog", [-3, ...Array.from({ length: 50 }, () => 0.005), 2]);
  const said = scale.ticks.map(scale.label);
  assert.ok(said.includes("0.05") && said.includes("−0.5"), said.join(" "));
});

test("ranks are those of Spearman's correlation: from 1, ties share", () => {
  const { place, title } = scaleOf("rank", [5, 1, 3, 3]);
  assert.deepEqual([1, 3, 5].map(place), [1, 2.5, 4]);
  assert.deepEqual([0, 4, 9].map(place), [0.5, 3.5, 4.5]); // between the values
  assert.equal(title("Importance: loss"), "Rank of importance: loss, the lowest first");
});
