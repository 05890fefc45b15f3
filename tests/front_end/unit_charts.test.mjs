import assert from "node:assert/strict";
import { test } from "node:test";

import { LIGHT } from "../../tb_plugin/static/page/theme.js";
import {
  changeWords,
  profileOption,
  worstWords,
} from "../../tb_plugin/static/views/unit/unit_charts.js";

const row = (name, mean, images, size = 98) => ({
  name,
  mean,
  images,
  size,
  drop: images === null ? null : images / size,
});

test("one image of a hundred is no tall bar", () => {
  const rows = [row("0", 1.5, 0), row("1", 0.5, -1)];
  const [, drops] = profileOption(rows, {}, LIGHT).yAxis;
  assert.ok(drops.min <= -0.05 && drops.max >= 0.05);
});

test("the axes hold every bar, also below 0", () => {
  const rows = [row("0", -2, 60), row("1", 3.3, -30)];
  const { yAxis, series } = profileOption(rows, {}, LIGHT);
  series.forEach(({ data }, i) =>
    data.forEach((value) => assert.ok(yAxis[i].min <= value && value <= yAxis[i].max)),
  );
  assert.ok(yAxis[0].min <= -2 && yAxis[0].max >= 3.3);
});

test("the two quantities have a panel each, with the same classes", () => {
  const { grid, xAxis, series } = profileOption([row("cat", 1, 2), row("dog", 1, 0)], {}, LIGHT);
  assert.equal(grid.length, 2);
  assert.deepEqual(xAxis.map((one) => one.data), [["cat", "dog"], ["cat", "dog"]]);
  assert.deepEqual(series.map((one) => one.xAxisIndex), [0, 1]);
});

test("a drop is told in images", () => {
  assert.equal(changeWords(row("1", 0, -1)), "1 of 98 images gained");
  assert.equal(changeWords(row("1", 0, 12)), "12 of 98 images lost");
  assert.equal(changeWords(row("1", 0, 0, 1)), "none of 1 image lost");
  assert.equal(changeWords({ ...row("1", 0, 3), size: null }), "");
  const rows = [row("0", 0, 2), row("1", 0, -5), row("2", 0, null)];
  assert.equal(worstWords(rows), "Largest change: class 1, 5 of 98 images gained.");
  assert.equal(worstWords([row("0", 0, 0)]), "No class loses or gains an image.");
  assert.equal(worstWords([row("0", 0, null)]), "");
});
