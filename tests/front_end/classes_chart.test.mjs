import assert from "node:assert/strict";
import { test } from "node:test";

import { LIGHT } from "../../tb_plugin/static/page/theme.js";
import { layoutOf } from "../../tb_plugin/static/parts/small_multiples.js";
import { classesOption, classRows } from "../../tb_plugin/static/views/lab/classes_chart.js";
import { close } from "./helpers.mjs";

const CLASSES = ["cat", "dog"];
const accuracy = (right, lost = [0, 0], gained = [0, 0]) => ({
  n: [50, 40],
  n_correct: right,
  n_lost: lost,
  n_gained: gained,
  loss: 0.5,
});
const panel = (network, now) => ({ network, rows: classRows(network, CLASSES, now, accuracy([50, 20])) });
const PANELS = [
  panel("true labels", accuracy([40, 30], [10, 0], [0, 10])),
  panel("shuffled labels", accuracy([10, 10], [40, 10])),
];

test("a class has its accuracy, that of the intact network, and the change on the same images", () => {
  const [cat, dog] = PANELS[0].rows;
  assert.deepEqual([cat.now, cat.before, cat.n], [0.8, 1, 50]);
  close(cat.paired.change, -0.2);
  close(dog.paired.change, 0.25);
  assert.ok(cat.interval[0] < 0.8 && cat.interval[1] > 0.8);
  assert.ok(cat.beforeInterval[0] > 0.9);
});

test("two networks have a panel each on the same axes, with bars and intervals of their own", () => {
  const { grid, title, legend, series, xAxis, yAxis } = classesOption(PANELS, layoutOf(2, 2), {}, LIGHT);
  assert.deepEqual(title.map(({ text }) => text), ["true labels", "shuffled labels"]);
  assert.equal(grid.length, 2);
  for (const axes of [xAxis, yAxis]) assert.deepEqual(axes.map(({ gridIndex }) => gridIndex), [0, 1]);
  assert.deepEqual(yAxis.map(({ min, max }) => [min, max]), [[0, 1], [0, 1]]);
  const bars = series.filter(({ type }) => type === "bar");
  assert.deepEqual(bars.map(({ xAxisIndex, data }) => [xAxisIndex, data]), [
    [0, [1, 0.5]],
    [0, [0.8, 0.75]],
    [1, [1, 0.5]],
    [1, [0.2, 0.25]],
  ]);
  assert.deepEqual(legend.data, ["intact", "true labels with the lesion", "shuffled labels with the lesion"]);
  assert.notEqual(bars[1].itemStyle.color, bars[3].itemStyle.color);
  const whiskers = series.filter(({ type }) => type === "custom");
  assert.deepEqual(whiskers[3].data[0], [0, ...PANELS[1].rows[0].interval]);
});

test("one network alone has the chart for itself", () => {
  const { grid, title, series } = classesOption(PANELS.slice(0, 1), null, {}, LIGHT);
  assert.deepEqual([grid.length, title, series.length], [1, [], 4]);
});
