// Draws the accuracy of each class, intact and with the lesion: a panel for each network. Pure.

import { formatFraction } from "../../numbers/labels.js";
import { pairedChange, wilson } from "../../numbers/statistics.js";
import { axis, categoryAxis, frame as chartBasics, legend, tooltip } from "../../parts/axes.js";
import { panelName } from "../../parts/small_multiples.js";

const WHISKER = 0.17; // of the width of a class, from its middle to that of a bar

/**
 * @typedef {object} ClassRow  one class of one network
 * @property {string} network
 * @property {string} name
 * @property {number} n  images
 * @property {number} now  accuracy, with its interval
 * @property {[number, number]} interval
 * @property {ReturnType<typeof pairedChange>} paired  change against the intact network, image by image
 * @property {number} before
 * @property {[number, number]} beforeInterval
 *
 * @typedef {object} ClassPanel
 * @property {string} network
 * @property {ClassRow[]} rows
 */

/** @param {string} network @param {string[]} classes
 * @param {import("../../numbers/types.js").LabAccuracy} now
 * @param {import("../../numbers/types.js").LabAccuracy} intact @returns {ClassRow[]} */
export function classRows(network, classes, now, intact) {
  return classes.map((name, c) => ({
    network,
    name,
    n: now.n[c],
    now: now.n_correct[c] / now.n[c],
    interval: wilson(now.n_correct[c], now.n[c]),
    paired: pairedChange(now.n_lost[c], now.n_gained[c], now.n[c]),
    before: intact.n_correct[c] / intact.n[c],
    beforeInterval: wilson(intact.n_correct[c], intact.n[c]),
  }));
}

/** Intact and lesioned accuracy of each class, side by side, with their intervals. All panels have the
 * same axes, so that networks can be compared class by class.
 * @param {ClassPanel[]} panels
 * @param {import("../../parts/small_multiples.js").Layout | null} layout  null: of one network
 * @param {import("../../numbers/types.js").Window} zoom
 * @param {import("../../page/theme.js").Theme} theme */
export function classesOption(panels, layout, zoom, theme) {
  const intact = "intact";
  const lesioned = (/** @type {string} */ network) => `${layout ? `${network} ` : ""}with the lesion`;
  const names = [intact, ...panels.map(({ network }) => lesioned(network))];
  const of = layout ? ` of ${panels.map(({ network }) => network).join(" and ")}` : "";
  const basics = chartBasics(theme, `Accuracy of each class${of}, intact and with the lesion.`);
  const lowest = (/** @type {number} */ i) => !layout || layout.lowest(i);
  const first = (/** @type {number} */ i) => !layout || layout.first(i);
  return {
    ...basics,
    grid: layout ? layout.grids : [basics.grid],
    title: layout ? panels.map(({ network }, i) => panelName(theme, network, layout.names[i])) : [],
    legend: legend(theme, { left: 66, data: names, selectedMode: false }),
    tooltip: tooltip(theme, {
      trigger: "axis",
      axisPointer: { type: "shadow" },
      valueFormatter: (/** @type {number} */ v) => formatFraction(v),
    }),
    xAxis: panels.map(({ rows }, i) => ({
      ...categoryAxis(theme, lowest(i) ? "Class" : "", rows.map(({ name }) => name), zoom.x),
      ...(layout ? { nameGap: 26 } : {}),
      gridIndex: i,
    })),
    yAxis: panels.map((_, i) => ({
      ...axis(theme, first(i) ? "Accuracy (fraction correct)" : "", [0, 1], zoom.y, { nameGap: 46 }),
      gridIndex: i,
    })),
    series: panels.flatMap(({ network, rows }, i) => {
      const place = { xAxisIndex: i, yAxisIndex: i };
      const own = theme.layers[i];
      return [
        { ...bars(intact, rows.map(({ before }) => before), theme.line), ...place },
        { ...bars(lesioned(network), rows.map(({ now }) => now), own), ...place },
        { ...whiskers(-1, rows.map(({ beforeInterval }) => beforeInterval), theme), ...place },
        { ...whiskers(1, rows.map(({ interval }) => interval), theme), ...place },
      ];
    }),
  };
}

/** @param {string} name @param {number[]} data @param {string} color */
function bars(name, data, color) {
  return { name, type: "bar", data, itemStyle: { color }, barGap: "10%", barCategoryGap: "35%" };
}

/** Intervals as lines over the bars. @param {-1 | 1} side  of the middle of a class
 * @param {[number, number][]} intervals @param {import("../../page/theme.js").Theme} theme */
function whiskers(side, intervals, theme) {
  return {
    type: "custom",
    silent: true,
    z: 5,
    tooltip: { show: false },
    data: intervals.map((ends, i) => [i, ...ends]),
    renderItem: (/** @type {any} */ _, /** @type {any} */ api) => {
      const width = api.size([1, 0])[0];
      const [x, low] = api.coord([api.value(0), api.value(1)]);
      const [, high] = api.coord([api.value(0), api.value(2)]);
      const at = x + side * width * WHISKER;
      const style = { stroke: theme.text, lineWidth: 1.5 };
      return { type: "line", shape: { x1: at, y1: low, x2: at, y2: high }, style };
    },
  };
}
