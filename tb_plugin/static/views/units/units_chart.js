// Draws units as points: makes ECharts' option from a unit table with statistics. Pure.

import { density, span } from "../../numbers/geometry.js";
import { plural, shorten } from "../../numbers/labels.js";
import { MARKS, rampColour } from "../../page/theme.js";
import { axis, frame, legend, tooltip } from "../../parts/axes.js";

// With more points, ECharts draws all points of a series at once: fast, but all alike. It then
// fills squares for marks below four pixels instead of building paths, which is several times
// faster still.
const LARGE = 3000;
const SMALL_MARK = 3;

// Number of cells of the density view, across and up.
const CELLS = /** @type {[number, number]} */ ([90, 54]);

// A straight line bends on a logarithmic axis: it is drawn in so many pieces.
const BENDS = 60;

const DASH = "path://M0,4h4v2h-4zM6,4h4v2h-4z";

/**
 * @param {object} chart
 * @param {ReturnType<typeof import("../../numbers/relations.js").relate>} chart.related
 * @param {string[]} chart.names  of the layers, in the legend
 * @param {string} chart.allName  of the line over all layers
 * @param {string} chart.pooledName  name of that line: some layers may be hidden
 * @param {string} chart.xTitle
 * @param {string} chart.yTitle
 * @param {import("../../numbers/scales.js").Scale} chart.scale  of the upright axis, on which the
 *     units already lie
 * @param {[number, number]} chart.xExtent
 * @param {[number, number]} chart.yExtent
 * @param {string[]} chart.hidden  names switched off in the legend
 * @param {import("../../numbers/types.js").Window} chart.zoom
 * @param {typeof import("../../page/theme.js").LIGHT} chart.theme
 * @param {boolean} [chart.asDensity]  cells coloured by how many points they hold
 * @param {number[]} [chart.selected]  places among all points
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
      formatter: (/** @type {string} */ name) =>
        shorten(name === chart.allName ? chart.pooledName : name, 60),
    }),
    tooltip: tooltip(theme, {
      trigger: "item",
      formatter: (/** @type {any} */ at) => {
        if (at.seriesId === "density") return plural(at.value[2], "unit");
        const layer = /^points:(\d+)$/.exec(at.seriesId ?? "")?.[1];
        return layer === undefined ? "" : chart.describe(Number(layer), at.dataIndex);
      },
    }),
    xAxis: axis(theme, chart.xTitle, chart.xExtent, zoom.x, { nameGap: 34 }),
    yAxis: axis(theme, chart.yTitle, chart.yExtent, zoom.y, { nameGap: 58, ...ticksOf(chart.scale, theme) }),
    series: [
      chart.asDensity && densitySeries(chart, x, zoom.y ?? chart.yExtent),
      ...related.layers.map((group, i) => ({
        id: `points:${i}`,
        name: names[i],
        type: "scatter",
        data: chart.asDensity ? [] : interleaved(group.x, group.y),
        symbol: MARKS[i % 4],
        symbolSize: many ? SMALL_MARK : 7,
        itemStyle: { color: theme.layers[i % theme.layers.length], opacity: many ? 0.45 : 0.65 },
        emphasis: { itemStyle: { opacity: 1, borderColor: theme.text, borderWidth: 1.5 } },
        large: many && !chart.forExport,
        largeThreshold: LARGE,
        progressive: chart.forExport ? 0 : undefined,
        clip: true,
        z: 3,
        markLine: i === 0 ? zeroLine(theme, zoom.y ?? chart.yExtent, chart.scale.place(0)) : undefined,
      })),
      selectedSeries(chart),
      ...related.layers.map((group, i) =>
        lineSeries(lineOf(group, chart.scale), names[i], theme.layers[i % theme.layers.length]),
      ),
      related.layers.length > 1 &&
        lineSeries(lineOf(related.all, chart.scale), chart.allName, theme.all, "dashed"),
    ].filter(Boolean),
  };
}

/** Cells that are darker the more points they hold, for the layers that the legend shows.
 * @param {Parameters<typeof unitsOption>[0]} chart
 * @param {[number, number]} xExtent @param {[number, number]} yExtent */
function densitySeries({ related, names, hidden, theme }, xExtent, yExtent) {
  const shown = related.layers.filter((_, i) => !hidden.includes(names[i]));
  const xs = Float64Array.from(shown.flatMap((group) => [...group.x]));
  const ys = Float64Array.from(shown.flatMap((group) => [...group.y]));
  const cells = density(xs, ys, xExtent, yExtent, ...CELLS);
  const most = cells.reduce((high, cell) => Math.max(high, cell.count), 1);
  const width = (xExtent[1] - xExtent[0]) / CELLS[0];
  const height = (yExtent[1] - yExtent[0]) / CELLS[1];
  return {
    id: "density",
    type: "custom",
    clip: true,
    z: 2,
    data: cells.map((cell) => [
      xExtent[0] + cell.column * width,
      yExtent[0] + cell.row * height,
      cell.count,
    ]),
    renderItem: (/** @type {any} */ _, /** @type {any} */ api) => {
      const [left, bottom] = api.coord([api.value(0), api.value(1)]);
      const [right, top] = api.coord([api.value(0) + width, api.value(1) + height]);
      // Half a pixel larger, to avoid hairlines between the cells.
      const shape = { x: left, y: top, width: right - left + 0.5, height: bottom - top + 0.5 };
      const share = Math.log(1 + api.value(2)) / Math.log(1 + most);
      const style = { fill: rampColour(share, theme), opacity: 0.25 + 0.7 * share };
      return { type: "rect", shape, style };
    },
  };
}

/** Rings around the selected points. @param {Parameters<typeof unitsOption>[0]} chart */
function selectedSeries({ related, selected = [], theme }) {
  if (!selected.length) return null;
  const many = selected.length > LARGE;
  return {
    id: "selected",
    type: "scatter",
    data: selected.map((i) => [related.all.x[i], related.all.y[i]]),
    symbol: "circle",
    symbolSize: many ? SMALL_MARK : 11,
    itemStyle: many
      ? { color: theme.text, opacity: 0.6 }
      : { color: "transparent", borderColor: theme.text, borderWidth: 1.5 },
    large: many,
    silent: true,
    clip: true,
    z: 5,
  };
}

/** The line at which ablation changes nothing.
 * @param {typeof import("../../page/theme.js").LIGHT} theme
 * @param {[number, number]} extent @param {number} at  place of 0 */
function zeroLine(theme, [low, high], at) {
  if (!(low < at && high > at)) return undefined;
  return {
    silent: true,
    symbol: "none",
    animation: false,
    label: { show: false },
    lineStyle: { color: theme.muted, width: 1, type: "solid", opacity: 0.7 },
    data: [{ yAxis: at }],
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

/** Labels at the places that a scale names. @param {import("../../numbers/scales.js").Scale} scale
 * @param {typeof import("../../page/theme.js").LIGHT} theme */
function ticksOf({ ticks, label }, theme) {
  if (!ticks) return {};
  const look = { color: theme.muted, fontSize: 12, hideOverlap: true };
  return {
    axisLabel: { ...look, customValues: ticks, formatter: label },
    axisTick: { show: false, customValues: ticks },
  };
}

/** Corners of a regression line over the range of its points.
 * @param {import("../../numbers/relations.js").Related} group
 * @param {import("../../numbers/scales.js").Scale} scale @returns {[number, number][]} */
function lineOf({ line, x }, scale) {
  if (!line) return [];
  const [low, high] = span(x);
  const corners = scale.kind === "symlog" ? BENDS : 1;
  const place = scale.kind === "symlog" ? scale.place : (/** @type {number} */ y) => y;
  return Array.from({ length: corners + 1 }, (_, i) => low + ((high - low) * i) / corners).map((at) => [
    at,
    place(line.slope * at + line.intercept),
  ]);
}

/** @param {[number, number][]} corners @param {string} name @param {string} colour
 * @param {string} [dash] */
function lineSeries(corners, name, colour, dash = "solid") {
  return {
    id: `line:${dash}:${name}`,
    name,
    type: "line",
    data: corners,
    symbol: "none",
    silent: true,
    lineStyle: { color: colour, width: 2, type: dash },
    itemStyle: { color: colour },
    emphasis: { disabled: true },
    tooltip: { show: false },
    z: 4,
  };
}
