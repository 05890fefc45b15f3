import assert from "node:assert/strict";
import { test } from "node:test";

import { DENSITY, finished, pictureOf, WIDTH } from "../../tb_plugin/static/parts/picture.js";

const chart = (names) => ({
  legend: { type: "scroll", left: 66, right: 16, data: names, top: 4 },
  title: { text: "label corruption", top: 13 },
  grid: { left: 72, top: 48, bottom: 60 },
});

test("a legend of many names is written out, and the chart makes room for it", () => {
  const few = pictureOf(chart(["0", "0.2"]));
  assert.deepEqual([few.option.legend.type, few.option.grid.top, few.height], ["plain", 48, 400]);
  const many = pictureOf(chart(Array.from({ length: 20 }, (_, i) => `label corruption 0.${i}`)));
  assert.ok(many.option.grid.top >= 48 + 3 * 22);
  assert.equal(many.height - 400, many.option.grid.top - 48);
  assert.equal(many.option.title.top, 13); // it stands beside the first line of the legend
});

test("panels and their names move together", () => {
  const names = Array.from({ length: 20 }, (_, i) => `a network of that name ${i}`);
  const panels = { ...chart(names), grid: [{ top: 68 }, { top: "50%" }], title: [{ top: 44 }] };
  const { option, height } = pictureOf(panels, 500);
  assert.equal(option.grid[0].top - 68, option.title[0].top - 44);
  assert.equal(option.grid[1].top, "50%");
  assert.equal(height - 500, option.grid[0].top - 68);
});

test("a picture is as wide as the text of a page, and 300 dots an inch", () => {
  const svg = finished('<svg width="720" height="400" xmlns="x" viewBox="0 0 720 400"><g/></svg>', "a", "b");
  assert.match(svg, /^<svg width="170.00mm" height="94.44mm" xmlns="x" viewBox="0 0 720 400"><title>a</);
  assert.equal(Math.round(WIDTH * DENSITY), 2008);
});

test("what is written into the file cannot break it", () => {
  const svg = finished('<svg width="1" height="1"></svg>', "</title><script>&", "$& \u0000 \u0008 $1");
  assert.ok(svg.includes("<title>&lt;/title&gt;&lt;script&gt;&amp;</title>"));
  assert.ok(svg.includes("<desc>$&amp;     $1</desc>"));
});
