// Draws ablation curves: makes ECharts' option from summarized curves. Pure.

import { shorten } from "../../numbers/labels.js";
import { axis, frame, legend, legendName, legendRoom, tooltip } from "../../parts/axes.js";

const MARKS_PER_CURVE = 7;

/**
 * @typedef {object} DrawnCurve
 * @property {string} label
 * @property {string} colour
 * @property {import("../../page/colours.js").Dash} dash
 * @property {string} mark
 * @property {number[]} x  as drawn: a fraction or a count
 * @property {(number | null)[][]} rows  as drawn: raw or relative
 * @property {ReturnType<typeof import("../../numbers/curves.js").summarizeOrderings>} summary
 */

/**
 * @param {object} chart
 * @param {DrawnCurve[]} chart.curves
 * @param {string} chart.legendTitle
 * @param {string} chart.xTitle
 * @param {string} chart.yTitle
 * @param {[number, number]} chart.xExtent
 * @param {boolean} chart.relative  whether rows are relative to the intact network
 * @param {boolean} [chart.logarithmic]  whether x is on a logarithmic scale
 * @param {string} chart.band  "sd", "quantiles", "range", "each" or "none"
 * @param {import("../../numbers/types.js").Window} chart.zoom
 * @param {import("../../page/theme.js").Theme} chart.theme
 * @param {(x: number, rows: {id: string, index: number}[]) => Node} chart.describe
 * @param {string} chart.spoken
 */
export function curvesOption(chart) {
  const { theme, zoom } = chart;
  // The intact network is at 0, which a logarithmic axis cannot show.
  const curves = chart.logarithmic ? chart.curves.map(withoutZero) : chart.curves;
  return {
    ...frame(theme, chart.spoken),
    title: legendName(theme, chart.legendTitle, { left: 72, top: 13 }),
    legend: legend(theme, {
      left: 66 + legendRoom(chart.legendTitle),
      right: 16,
      // Runs are chosen in the list at the side; the address keeps that choice.
      selectedMode: false,
      data: curves.map((c) => c.label),
      formatter: (/** @type {string} */ name) => shorten(name, 60),
    }),
    tooltip: tooltip(theme, {
      trigger: "axis",
      axisPointer: { type: "line", lineStyle: { color: theme.muted, type: "dashed" } },
      formatter: (/** @type {any[]} */ found) => {
        const means = found.filter((f) => f.seriesId?.startsWith("mean:"));
        return chart.describe(
          found[0].axisValue,
          means.map((f) => ({ id: f.seriesId.slice("mean:".length), index: f.dataIndex })),
        );
      },
    }),
    xAxis: axis(theme, chart.xTitle, chart.xExtent, zoom.x, {
      nameGap: 34,
      splitLine: { show: false },
      ...(chart.logarithmic ? { type: "log", interval: undefined } : {}),
    }),
    yAxis: axis(theme, chart.yTitle, [0, highestAccuracy(chart)], zoom.y, { nameGap: 46 }),
    series: [
      ...curves.map((curve, i) => bandSeries(curve, i, chart.band)),
      ...(chart.band === "each" ? curves.flatMap(orderingSeries) : []),
      ...curves.map(meanSeries),
    ].filter(Boolean),
  };
}

/** The same curve without a value at x = 0; every point keeps its index.
 * @param {DrawnCurve} curve @returns {DrawnCurve} */
function withoutZero(curve) {
  return { ...curve, x: curve.x.map((x) => (x > 0 ? x : NaN)) };
}

/** Upper end of the axis: 1, or more if ablation made a network better than intact.
 * @param {{curves: DrawnCurve[], band: string, relative: boolean}} chart */
function highestAccuracy({ curves, band, relative }) {
  const edges = curves.flatMap((curve) => bandEdges(curve, band)[1].filter(Number.isFinite));
  const highest = edges.reduce((a, b) => Math.max(a, b), 0);
  // An accuracy is at most 1, but mean + s.d. may be above; a value just above 1 needs no tick.
  return relative && highest > 1.02 ? Math.min(2, Math.ceil(highest * 10) / 10) : 1;
}

/** @param {DrawnCurve} curve @param {number} i */
function meanSeries(curve, i) {
  const every = Math.max(1, Math.round(curve.x.length / MARKS_PER_CURVE));
  return {
    id: `mean:${i}`,
    name: curve.label,
    type: "line",
    data: curve.x.map((x, j) => [x, curve.summary.mean[j]]),
    symbol: curve.mark,
    showAllSymbol: true,
    // Only some points have a mark, shifted from curve to curve, so that marks do not form columns.
    symbolSize: (/** @type {any} */ _, /** @type {any} */ point) =>
      (point.dataIndex + i * 2) % every ? 0 : 7,
    lineStyle: { width: 2.5, color: curve.colour, type: curve.dash },
    itemStyle: { color: curve.colour },
    emphasis: { focus: "series", lineStyle: { width: 3.5 } },
    z: 5,
  };
}

/** @param {DrawnCurve} curve @param {number} i */
function orderingSeries(curve, i) {
  return curve.rows.map((row, r) => ({
    id: `each:${i}:${r}`,
    type: "line",
    data: curve.x.map((x, j) => [x, row[j]]),
    showSymbol: false,
    silent: true,
    lineStyle: { width: 1, color: curve.colour, opacity: 0.35 },
    emphasis: { disabled: true },
    z: 3,
  }));
}

/** A band as one polygon: unlike stacked areas it is right for all signs and has no tooltip row.
 * @param {DrawnCurve} curve @param {number} i @param {string} band */
function bandSeries(curve, i, band) {
  if (band === "each" || band === "none") return null;
  const [low, high] = bandEdges(curve, band);
  const kept = curve.x
    .map((_, j) => j)
    .filter((j) => [curve.x[j], low[j], high[j]].every(Number.isFinite));
  if (!kept.length) return null;
  return {
    id: `band:${i}`, // no name: the legend would show the band's colour instead of the line's
    type: "custom",
    data: [[curve.x[kept[0]], low[kept[0]]]],
    silent: true,
    clip: true,
    tooltip: { show: false },
    z: 2,
    renderItem: (/** @type {any} */ _, /** @type {any} */ api) => ({
      type: "polygon",
      shape: {
        points: [
          ...kept.map((j) => api.coord([curve.x[j], high[j]])),
          ...kept.toReversed().map((j) => api.coord([curve.x[j], low[j]])),
        ],
      },
      style: { fill: curve.colour, opacity: 0.16 },
    }),
  };
}

/** Lower and upper edge. @param {DrawnCurve} curve @param {string} band
 * @returns {[number[], number[]]} */
function bandEdges({ summary }, band) {
  if (band === "range" || band === "each") return [summary.low, summary.high];
  if (band === "quantiles") return [summary.q10, summary.q90];
  if (band === "none") return [summary.mean, summary.mean];
  return [
    summary.mean.map((m, j) => m - summary.sd[j]),
    summary.mean.map((m, j) => m + summary.sd[j]),
  ];
}
