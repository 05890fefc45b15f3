// The drawing of units as points: ECharts' option from a related unit table. Pure.

import { axis, frame, legend, tooltip } from "./axes.js";
import { shorten } from "./labels.js";
import { MARKS } from "./theme.js";

// Above, ECharts draws all points of a series as one path: fast, but all alike.
export const LARGE = 3000;

const DASH = "path://M0,4h4v2h-4zM6,4h4v2h-4z";

/**
 * @param {object} chart
 * @param {ReturnType<typeof import("./transforms.js").relate>} chart.related
 * @param {string[]} chart.names  of the layers, in the legend
 * @param {string} chart.allName  of the line over all layers
 * @param {string} chart.xTitle
 * @param {string} chart.yTitle
 * @param {[number, number]} chart.xExtent
 * @param {[number, number]} chart.yExtent
 * @param {string[]} chart.hidden  names switched off in the legend
 * @param {import("./types.js").Window} chart.zoom
 * @param {typeof import("./theme.js").LIGHT} chart.theme
 * @param {(layer: number, index: number) => Node} chart.describe
 * @param {string} chart.spoken
 * @param {boolean} [chart.forExport]
 */
export function unitsOption(chart) {
  const { related, names, theme, zoom } = chart;
  const x = zoom.x ?? chart.xExtent;
  const many = related.all.rows.length > LARGE;
  const legendNames = related.layers.length > 1 ? [...names, chart.allName] : names;
  return {
    ...frame(theme, chart.spoken),
    grid: { left: 80, right: 24, top: 48, bottom: 60 },
    legend: legend(theme, {
      left: 76,
      right: 16,
      itemWidth: 10,
      itemHeight: 10,
      data: legendNames.map((name) => (name === chart.allName ? { name, icon: DASH } : name)),
      selected: Object.fromEntries(chart.hidden.map((name) => [name, false])),
      formatter: (/** @type {string} */ name) => shorten(name, 60),
    }),
    tooltip: tooltip(theme, {
      trigger: "item",
      formatter: (/** @type {any} */ at) =>
        at.seriesId?.startsWith("points:")
          ? chart.describe(Number(at.seriesId.slice("points:".length)), at.dataIndex)
          : "",
    }),
    xAxis: axis(theme, chart.xTitle, chart.xExtent, zoom.x, { nameGap: 34 }),
    yAxis: axis(theme, chart.yTitle, chart.yExtent, zoom.y, { nameGap: 58 }),
    series: [
      ...related.layers.map((group, i) => ({
        id: `points:${i}`,
        name: names[i],
        type: "scatter",
        data: interleaved(group.x, group.y),
        symbol: MARKS[i % 4],
        symbolSize: many ? 4 : 7,
        itemStyle: { color: theme.layers[i % theme.layers.length], opacity: many ? 0.45 : 0.65 },
        emphasis: { itemStyle: { opacity: 1, borderColor: theme.text, borderWidth: 1.5 } },
        large: many && !chart.forExport,
        largeThreshold: LARGE,
        progressive: chart.forExport ? 0 : undefined,
        clip: true,
        z: 3,
        markLine: i === 0 ? zeroLine(theme, zoom.y ?? chart.yExtent) : undefined,
      })),
      ...related.layers.map((group, i) =>
        lineSeries(group.line, x, names[i], theme.layers[i % theme.layers.length]),
      ),
      related.layers.length > 1 &&
        lineSeries(related.all.line, x, chart.allName, theme.all, "dashed"),
    ].filter(Boolean),
  };
}

/** Where ablation changes nothing. @param {typeof import("./theme.js").LIGHT} theme
 * @param {[number, number]} extent */
function zeroLine(theme, [low, high]) {
  if (!(low < 0 && high > 0)) return undefined;
  return {
    silent: true,
    symbol: "none",
    animation: false,
    label: { show: false },
    lineStyle: { color: theme.muted, width: 1, type: "solid", opacity: 0.7 },
    data: [{ yAxis: 0 }],
  };
}

/** @param {Float64Array} x @param {Float64Array} y */
function interleaved(x, y) {
  const points = new Float64Array(2 * x.length);
  for (let i = 0; i < x.length; i++) {
    points[2 * i] = x[i];
    points[2 * i + 1] = y[i];
  }
  return points;
}

/** A regression line across the chart.
 * @param {{slope: number, intercept: number} | null} line @param {[number, number]} extent
 * @param {string} name @param {string} colour @param {string} [dash] */
function lineSeries(line, extent, name, colour, dash = "solid") {
  return {
    id: `line:${dash}:${name}`,
    name,
    type: "line",
    data: line ? extent.map((x) => [x, line.slope * x + line.intercept]) : [],
    symbol: "none",
    silent: true,
    lineStyle: { color: colour, width: 2, type: dash },
    itemStyle: { color: colour },
    emphasis: { disabled: true },
    tooltip: { show: false },
    z: 4,
  };
}
