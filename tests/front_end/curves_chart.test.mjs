import assert from "node:assert/strict";
import { test } from "node:test";

import { summarizeOrderings } from "../../tb_plugin/static/numbers/curves.js";
import { LIGHT } from "../../tb_plugin/static/page/theme.js";
import { curvesOption } from "../../tb_plugin/static/views/curves/curves_chart.js";

test("on a logarithmic axis the intact network at 0 is left out, and the band is drawn", () => {
  const rows = [
    [1, 0.9, 0.2],
    [1, 0.7, 0.1],
  ];
  const option = curvesOption({
    curves: [{ label: "a", colour: "red", mark: "circle", x: [0, 0.1, 1], rows, summary: summarizeOrderings(rows) }],
    legendTitle: "",
    xTitle: "noise",
    yTitle: "accuracy",
    xExtent: [0.1, 1],
    relative: false,
    logarithmic: true,
    band: "range",
    zoom: {},
    theme: LIGHT,
    describe: () => null,
    spoken: "",
  });
  const band = option.series.find((s) => s.id === "band:0");
  const api = { coord: ([x, y]) => [Math.log10(x), y] };
  assert.deepEqual(band.renderItem({}, api).shape.points, [[-1, 0.9], [0, 0.2], [0, 0.1], [-1, 0.7]]);
  const mean = option.series.find((s) => s.id === "mean:0");
  assert.equal(mean.data.length, 3); // each point keeps its place, which the tooltip asks for
  assert.ok(Number.isNaN(mean.data[0][0]));
});
