// Draws units as points: makes ECharts' option from a unit table with statistics. Pure.

import { density, span } from "../../numbers/geometry.js";
import { plural, shorten } from "../../numbers/labels.js";
import { MARKS, rampColour } from "../../page/theme.js";
import { axis, frame, legend, tooltip } from "../../parts/axes.js";
import { panelName } from "../../parts/small_multiples.js";

// With more points, ECharts draws all points of a series at once: fast, but all alike. It then
// fills squares for marks below four pixels instead of building paths, which is several times
// faster still.
const LARGE = 3000;
const SMALL_MARK = 3;

// Number of cells of the density view, across and up.
const CELLS = /** @type {[number, number]} */ ([90, 54]);

// A straight line bends on a logarithmic axis: it is drawn in so many pieces.
const BENDS = 60;

/** @typedef {import("../../numbers/relations.js").Related} Related */

const DASH = "path://M0,4h4v2h-4zM6,4h4v2h-4z";

/** Where a single plot lies. */
const ALONE = { left: 80, right: 24, top: 48, bottom: 60 };

/**
 * @typedef {object} Panel  a plot of some layers
 * @property {number[]} layers  their places among all
 * @property {string} title  "" in a single plot
 * @property {import("../../numbers/scales.js").Scale} scale  of the upright axis, on which the units
 *     already lie
 * @property {[number, number]} xExtent
 * @property {[number, number]} yExtent
 * @property {import("../../numbers/types.js").Window} zoom
 *
 * @typedef {object} UnitsChart
 * @property {ReturnType<typeof import("../../numbers/relations.js").relate>} related
 * @property {Panel[]} panels  one, or one a layer
 * @property {import("../../parts/small_multiples.js").Layout | null} layout  of the panels; null: a
 *     single plot
 * @property {boolean} apart  whether each panel has axes of its own
 * @property {string[]} names  of the layers, in the legend
 * @property {string} allName  of the line over all layers
 * @property {string} pooledName  name of that line: some layers may be hidden
 * @property {string} xTitle
 * @property {string} yTitle
 * @property {string[]} hidden  names switched off in the legend
 * @property {import("../../page/theme.js").Theme} theme
 * @property {boolean} [asDensity]  cells coloured by how many points they hold
 * @property {number[][]} [selected]  places of points in each layer
 * @property {(layer: number, index: number) => Node} describe
 * @property {string} spoken
 * @property {boolean} [forExport]
 */

/** @param {UnitsChart} chart */
export function unitsOption(chart) {
  const { related, names, theme, panels, layout } = chart;
  const together = !layout && related.layers.length > 1;
  const legendNames = together ? [...names, chart.allName] : names;
  return {
    ...frame(theme, chart.spoken),
    grid: layout ? layout.grids : [ALONE],
    title: layout ? panels.map(({ title }, i) => panelName(theme, title, layout.names[i])) : [],
    legend: legend(theme, {
      left: layout ? 58 : 76,
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
        if (at.seriesId?.startsWith("density:")) return plural(at.value[2], "unit");
        const layer = layerOf(at.seriesId);
        return layer < 0 ? "" : chart.describe(layer, at.dataIndex);
      },
    }),
    xAxis: panels.map((panel, i) => xAxis(chart, panel, i)),
    yAxis: panels.map((panel, i) => yAxis(chart, panel, i)),
    series: [
      ...panels.flatMap((panel, i) => panelSeries(chart, panel, i)),
      ...unseen(chart),
    ].filter(Boolean),
  };
}

/** The layer whose points a series draws; -1 for another series. @param {string | undefined} id */
export function layerOf(id) {
  return Number(/^points:(\d+)$/.exec(id ?? "")?.[1] ?? -1);
}

/** @param {UnitsChart} chart @param {Panel} panel @param {number} i */
function xAxis({ theme, layout, xTitle }, { xExtent, zoom }, i) {
  const title = !layout || layout.lowest(i) ? xTitle : "";
  const more = layout ? { nameGap: 26, splitNumber: 4 } : { nameGap: 34 };
  return { ...axis(theme, title, xExtent, zoom.x, more), gridIndex: i };
}

/** @param {UnitsChart} chart @param {Panel} panel @param {number} i */
function yAxis({ theme, layout, apart, yTitle }, { yExtent, scale, zoom }, i) {
  const title = !layout || layout.first(i) ? yTitle : "";
  const name = layout ? { nameGap: 44, nameTruncate: { maxWidth: layout.grids[i].height + 40 } } : { nameGap: 58 };
  const look = axis(theme, title, yExtent, zoom.y, { ...name, ...ticksOf(scale, theme) });
  // A panel at the left has the same axis, and narrow windows lack room for both.
  const bare = layout && !apart && !layout.first(i);
  return { ...look, gridIndex: i, ...(bare ? { axisLabel: { show: false } } : {}) };
}

/** Points, rings and lines of one plot. @param {UnitsChart} chart @param {Panel} panel
 * @param {number} at  its place among the panels */
function panelSeries(chart, panel, at) {
  const { related, names, theme, selected = [] } = chart;
  const place = { xAxisIndex: at, yAxisIndex: at };
  const colour = (/** @type {number} */ i) => theme.layers[i % theme.layers.length];
  const many = related.all.rows.length > LARGE;
  const zero = zeroLine(theme, panel.zoom.y ?? panel.yExtent, panel.scale.place(0));
  const line = (/** @type {Related} */ group, /** @type {string} */ name, /** @type {any} */ look) =>
    lineSeries(lineOf(group, panel.scale), name, look.colour, look.dash);
  const series = [
    chart.asDensity && densitySeries(chart, panel),
    ...panel.layers.map((i, first) => ({
      ...pointSeries(chart, i, many),
      markLine: first === 0 ? zero : undefined,
    })),
    ...panel.layers.map((i) => selectedSeries(related.layers[i], i, selected[i] ?? [], theme)),
    ...panel.layers.map((i) => line(related.layers[i], names[i], { colour: colour(i) })),
    !chart.layout &&
      related.layers.length > 1 &&
      line(related.all, chart.allName, { colour: theme.all, dash: "dashed" }),
  ];
  return series.map((one) => one && { ...one, ...place });
}

/** @param {UnitsChart} chart @param {number} i  of the layer @param {boolean} many */
function pointSeries({ related, names, theme, asDensity, forExport }, i, many) {
  const group = related.layers[i];
  return {
    id: `points:${i}`,
    name: names[i],
    type: "scatter",
    data: asDensity ? [] : interleaved(group.x, group.y),
    symbol: MARKS[i % 4],
    symbolSize: many ? SMALL_MARK : 7,
    itemStyle: { color: theme.layers[i % theme.layers.length], opacity: many ? 0.45 : 0.65 },
    emphasis: { itemStyle: { opacity: 1, borderColor: theme.text, borderWidth: 1.5 } },
    large: many && !forExport,
    largeThreshold: LARGE,
    progressive: forExport ? 0 : undefined,
    clip: true,
    z: 3,
  };
}

/** Layers without a panel: the legend keeps them, so that a hidden one can be brought back.
 * @param {UnitsChart} chart */
function unseen({ panels, names, theme }) {
  const seen = new Set(panels.flatMap(({ layers }) => layers));
  return names.flatMap((name, i) =>
    seen.has(i)
      ? []
      : [{ id: `unseen:${i}`, name, type: "scatter", data: [], symbol: MARKS[i % 4],
           itemStyle: { color: theme.layers[i % theme.layers.length] } }],
  );
}

/** Cells that are darker the more points they hold, for the layers that the legend shows.
 * @param {UnitsChart} chart @param {Panel} panel */
function densitySeries({ related, names, hidden, theme, layout }, { layers, xExtent, yExtent, zoom }) {
  const shown = layers.filter((i) => !hidden.includes(names[i])).map((i) => related.layers[i]);
  const [x, y] = [zoom.x ?? xExtent, zoom.y ?? yExtent];
  const [across, up] = layout ? CELLS.map((n) => Math.round(n / 2)) : CELLS;
  const xs = Float64Array.from(shown.flatMap((group) => [...group.x]));
  const ys = Float64Array.from(shown.flatMap((group) => [...group.y]));
  const cells = density(xs, ys, x, y, across, up);
  const most = cells.reduce((high, cell) => Math.max(high, cell.count), 1);
  const width = (x[1] - x[0]) / across;
  const height = (y[1] - y[0]) / up;
  return {
    id: `density:${layers[0]}`,
    type: "custom",
    clip: true,
    z: 2,
    data: cells.map((cell) => [x[0] + cell.column * width, y[0] + cell.row * height, cell.count]),
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

/** Rings around the selected points of a layer. @param {Related} group @param {number} layer
 * @param {number[]} selected @param {import("../../page/theme.js").Theme} theme */
function selectedSeries(group, layer, selected, theme) {
  if (!selected.length) return null;
  const many = selected.length > LARGE;
  return {
    id: `selected:${layer}`,
    type: "scatter",
    data: selected.map((i) => [group.x[i], group.y[i]]),
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
 * @param {import("../../page/theme.js").Theme} theme
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
 * @param {import("../../page/theme.js").Theme} theme */
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
