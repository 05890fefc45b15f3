// Charts of one unit: its classes, its place in its layer, the distribution of its activation.
// Pure.

import { niceExtent, samePart } from "../../numbers/geometry.js";
import { histogramOutline } from "../../numbers/histogram.js";
import { briefTitle, formatNumber } from "../../numbers/labels.js";
import {
  axis,
  categoryAxis,
  frame as chartBasics,
  histogramTooltip,
  legend,
  tooltip,
} from "../../parts/axes.js";

const SMALLEST_DROP = 0.01; // least extent of the axis: else rounding errors would fill it

/** Mean activation and accuracy drop of each class, on two axes.
 * @param {{name: string, mean: number | null, drop: number | null}[]} rows
 * @param {import("../../numbers/types.js").Window} zoom
 * @param {typeof import("../../page/theme.js").LIGHT} theme */
export function profileOption(rows, zoom, theme) {
  const names = ["mean activation", "accuracy drop when ablated"];
  const bars = (/** @type {number} */ i, /** @type {"mean" | "drop"} */ key) => ({
    name: names[i],
    type: "bar",
    yAxisIndex: i,
    data: rows.map((row) => row[key]),
    itemStyle: { color: theme.layers[i] },
    barGap: "0%",
    barCategoryGap: "30%",
  });
  const highest = (/** @type {"mean" | "drop"} */ key) => Math.max(...rows.map((row) => row[key] ?? 0));
  const lowest = Math.min(...rows.map((row) => row.drop ?? 0), 0);
  const tick = (/** @type {number} */ v, /** @type {number} */ least) =>
    v < least ? "" : formatNumber(v, 2);
  const value = (
    /** @type {string} */ title,
    /** @type {[number, number]} */ extent,
    /** @type {[number, number] | undefined} */ part,
    /** @type {number} */ least,
    /** @type {object} */ more = {},
  ) => ({
    ...axis(theme, title, extent, part, { nameGap: 48, ...more }),
    axisLabel: {
      color: theme.muted,
      fontSize: 12,
      showMinLabel: extent[0] === 0,
      formatter: (/** @type {number} */ v) => tick(v, least),
    },
  });
  const classes = rows.map((row) => row.name);
  const slanted = classes.some((name) => name.length > 4) && classes.length > 4; // or they would not fit
  // The zeros of both axes are at the same height.
  const drops = niceExtent([lowest, Math.max(highest("drop"), SMALLEST_DROP)]);
  const [, top] = niceExtent([0, highest("mean") || 1]);
  const means = /** @type {[number, number]} */ ([(drops[0] / drops[1]) * top, top]);
  return {
    ...chartBasics(theme, "Mean activation and accuracy drop of each class."),
    grid: { left: 66, right: 72, top: 40, bottom: slanted ? 82 : 58 },
    legend: legend(theme, { left: 60, data: names, selectedMode: false }),
    tooltip: tooltip(theme, {
      trigger: "axis",
      axisPointer: { type: "shadow" },
      valueFormatter: (/** @type {number} */ v) => formatNumber(v),
    }),
    xAxis: {
      ...categoryAxis(theme, "Class", classes, zoom.x, slanted ? { rotate: 35, width: 64, overflow: "truncate" } : {}),
      nameGap: slanted ? 58 : 34,
    },
    yAxis: [
      value("Mean activation", means, zoom.y, Math.min(0, ...rows.map((row) => row.mean ?? 0))),
      value("Accuracy drop (fraction)", drops, zoom.y && samePart(zoom.y, means, drops), -1, {
        position: "right",
        splitLine: { show: false },
      }),
    ],
    series: [bars(0, "mean"), bars(1, "drop")],
  };
}

/** Share of each group's images in each bin.
 * @param {number[]} edges @param {{name: string, totals: number[], n: number}[]} groups
 * @param {import("../../numbers/types.js").Window} zoom
 * @param {typeof import("../../page/theme.js").LIGHT} theme */
export function activityOption(edges, groups, zoom, theme) {
  const shares = groups.map(({ totals, n }) => totals.map((count) => count / Math.max(1, n)));
  const highest = Math.max(0.01, ...shares.flat());
  const extent = /** @type {[number, number]} */ ([edges[0], edges[edges.length - 1]]);
  const colours = [theme.layers[1], theme.layers[0]];
  const names = groups.map((g) => g.name);
  return {
    ...chartBasics(theme, "Distribution of the unit's activation over images."),
    legend: legend(theme, { left: 66, data: names, selectedMode: false }),
    tooltip: histogramTooltip(theme, edges, "share of images", () =>
      names.map((label, i) => ({ label, colour: colours[i], heights: shares[i] })),
    ),
    xAxis: axis(theme, "Activation", extent, zoom.x, { nameGap: 34, splitLine: { show: false } }),
    yAxis: axis(theme, "Share of the images", niceExtent([0, highest]), zoom.y, { nameGap: 46 }),
    series: groups.map(({ name }, i) => ({
      name,
      type: "line",
      data: histogramOutline(edges, shares[i]),
      symbol: "none",
      clip: true,
      lineStyle: { width: 2, color: colours[i], type: i ? "solid" : "dashed" },
      itemStyle: { color: colours[i] },
      areaStyle: { color: colours[i], opacity: 0.12 },
    })),
  };
}

/** The distribution of a quantity over the units of a layer, with the place of one unit.
 * @param {string} column @param {{edges: number[], counts: number[]}} histogram
 * @param {number} value  of the unit @param {string} name  of the unit
 * @param {import("../../numbers/types.js").Window} zoom
 * @param {typeof import("../../page/theme.js").LIGHT} theme */
export function standingOption(column, { edges, counts }, value, name, zoom, theme) {
  const extent = /** @type {[number, number]} */ ([edges[0], edges[edges.length - 1]]);
  const colour = theme.muted;
  return {
    ...chartBasics(theme, `${name} among the units of its layer: ${briefTitle(column)}.`),
    grid: { left: 66, right: 24, top: 30, bottom: 58 },
    tooltip: histogramTooltip(theme, edges, "units", () => [
      { label: "the layer", colour, heights: counts },
    ]),
    xAxis: axis(theme, briefTitle(column), extent, zoom.x, { nameGap: 34, splitLine: { show: false } }),
    yAxis: axis(theme, "Units", niceExtent([0, Math.max(1, ...counts)]), zoom.y, { nameGap: 46 }),
    series: [
      {
        name: "the layer",
        type: "line",
        data: histogramOutline(edges, counts),
        symbol: "none",
        clip: true,
        lineStyle: { width: 2, color: colour },
        itemStyle: { color: colour },
        areaStyle: { color: colour, opacity: 0.15 },
        markLine: {
          silent: true,
          symbol: ["none", "none"],
          animation: false,
          lineStyle: { color: theme.layers[0], width: 2.5, type: "solid" },
          label: { formatter: `this unit: ${formatNumber(value, 3)}`, color: theme.text, fontSize: 12 },
          data: [{ xAxis: value }],
        },
      },
    ],
  };
}
