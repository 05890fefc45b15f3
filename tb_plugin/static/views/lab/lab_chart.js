// Draws the accuracy of each class, intact and with the lesion. Pure.

import { formatFraction } from "../../numbers/labels.js";
import { axis, categoryAxis, frame as chartBasics, legend, tooltip } from "../../parts/axes.js";

/** Intact and lesioned accuracy of each class, side by side, with their intervals.
 * @param {any[]} rows @param {import("../../numbers/types.js").Window} zoom
 * @param {typeof import("../../page/theme.js").LIGHT} theme */
export function classesOption(rows, zoom, theme) {
  const names = ["intact", "with the lesion"];
  const colours = [theme.line, theme.layers[0]];
  const bars = (/** @type {number} */ i, /** @type {string} */ key) => ({
    name: names[i],
    type: "bar",
    data: rows.map((row) => row[key]),
    itemStyle: { color: colours[i] },
    barGap: "10%",
    barCategoryGap: "35%",
  });
  const whiskers = (/** @type {number} */ side, /** @type {string} */ key) => ({
    type: "custom",
    silent: true,
    z: 5,
    tooltip: { show: false },
    data: rows.map((row, i) => [i, ...row[key]]),
    renderItem: (/** @type {any} */ _, /** @type {any} */ api) => {
      const width = api.size([1, 0])[0];
      const [x, low] = api.coord([api.value(0), api.value(1)]);
      const [, high] = api.coord([api.value(0), api.value(2)]);
      const at = x + side * width * 0.17;
      const style = { stroke: theme.text, lineWidth: 1.5 };
      return { type: "line", shape: { x1: at, y1: low, x2: at, y2: high }, style };
    },
  });
  return {
    ...chartBasics(theme, "Accuracy of each class, intact and with the lesion."),
    legend: legend(theme, { left: 66, data: names, selectedMode: false }),
    tooltip: tooltip(theme, {
      trigger: "axis",
      axisPointer: { type: "shadow" },
      valueFormatter: (/** @type {number} */ v) => formatFraction(v),
    }),
    xAxis: categoryAxis(theme, "Class", rows.map((row) => row.name), zoom.x),
    yAxis: axis(theme, "Accuracy (fraction correct)", [0, 1], zoom.y, { nameGap: 46 }),
    series: [
      bars(0, "before"),
      bars(1, "now"),
      whiskers(-1, "beforeInterval"),
      whiskers(1, "interval"),
    ],
  };
}
