// Draws the distribution of a quantity over units: a panel for each layer, a line for each run.

import { niceExtent } from "../../numbers/geometry.js";
import { histogramOutline, pooledCounts } from "../../numbers/histogram.js";
import { briefTitle, columnNames, plural } from "../../numbers/labels.js";
import {
  axis,
  frame as chartBasics,
  histogramTooltip,
  legend,
  legendName,
  legendRoom,
} from "../../parts/axes.js";
import { panelName } from "../../parts/small_multiples.js";

/**
 * @typedef {object} Item  a unit table with all that is shown of it
 * @property {import("../../numbers/types.js").Distributions["tables"][0]} table
 * @property {import("../../numbers/types.js").Series} series
 * @property {string} label
 * @property {string} colour
 * @property {import("../../page/colours.js").Dash} dash
 */

/** Small multiples.
 * @param {object} chart
 * @param {Item[]} chart.items
 * @param {string} chart.legendTitle
 * @param {string[]} chart.panels
 * @param {import("../../parts/small_multiples.js").Layout} chart.layout  of the panels
 * @param {number[]} chart.edges  of the bins
 * @param {string} chart.column  the quantity
 * @param {string} chart.pool  "all": the layers together
 * @param {import("../../numbers/types.js").Window} chart.zoom
 * @param {import("../../page/theme.js").Theme} chart.theme */
export function distributionsOption({ items, legendTitle, panels, layout, edges, column, pool, zoom, theme }) {
  const extent = /** @type {[number, number]} */ ([edges[0], edges[edges.length - 1]]);
  const lines = panels.flatMap((panel, at) => shareLines(items, pool, panel, at));
  // One scale for all panels, so that they can be compared.
  const shares = niceExtent([0, Math.max(0.05, ...lines.flatMap((line) => line.heights))]);
  return {
    ...chartBasics(theme, `Distribution of ${columnNames(column).short} over units, ${plural(items.length, "run")}.`),
    title: [
      ...panels.map((text, i) => panelName(theme, text, layout.names[i])),
      ...(legendTitle ? [legendName(theme, legendTitle, { left: 64, top: 13 })] : []),
    ],
    legend: legend(theme, { left: 58 + legendRoom(legendTitle), right: 16, data: items.map((i) => i.label), selectedMode: false }),
    grid: layout.grids,
    tooltip: histogramTooltip(
      theme,
      edges,
      "share of units",
      (grid) =>
        lines
          .filter(({ at }) => at === grid)
          .map(({ item: { label, colour }, heights }) => ({ label, colour, heights })),
      (grid) => panels[grid],
    ),
    xAxis: panels.map((_, i) => ({
      ...axis(theme, layout.lowest(i) ? briefTitle(column) : "", extent, zoom.x, {
        nameGap: 26,
        splitLine: { show: false },
      }),
      gridIndex: i,
    })),
    yAxis: panels.map((_, i) => ({
      ...axis(theme, layout.first(i) ? "Share of units" : "", shares, zoom.y, {
        nameGap: 42,
        splitNumber: 3,
        // The panel at the left has the same scale, and narrow windows lack room for both.
        ...(layout.first(i) ? {} : { axisLabel: { show: false } }),
      }),
      gridIndex: i,
    })),
    series: lines.map(({ item, at, heights }) => ({
      name: item.label,
      type: "line",
      xAxisIndex: at,
      yAxisIndex: at,
      data: histogramOutline(edges, heights),
      symbol: "none",
      lineStyle: { width: 2, color: item.colour, type: item.dash },
      itemStyle: { color: item.colour },
      areaStyle: { color: item.colour, opacity: 0.1 },
    })).concat(lines.map(({ item, at, mean }) => meanTick(mean, shares[1], item.colour, at))),
  };
}

/** Share of each run's units in each bin of a panel, for the runs that have the layer.
 * @param {Item[]} items @param {string} pool
 * @param {string} panel @param {number} at  the panel's place */
function shareLines(items, pool, panel, at) {
  return items.flatMap((item) => {
    const { counts, n, mean } = pooledCounts(item.table.layers, pool === "all" ? null : panel);
    return n ? [{ item, at, mean, heights: counts.map((count) => count / n) }] : [];
  });
}

/** A triangle at the top of a panel that points at the mean.
 * @param {number} mean @param {number} top  of the vertical axis @param {string} colour
 * @param {number} at  the panel's place @returns {any} */
function meanTick(mean, top, colour, at) {
  return {
    type: "scatter",
    xAxisIndex: at,
    yAxisIndex: at,
    silent: true,
    clip: false,
    symbol: "path://M0,0L10,0L5,9Z",
    symbolSize: [11, 9],
    symbolOffset: [0, -5],
    itemStyle: { color: colour, opacity: 1 },
    tooltip: { show: false },
    z: 5,
    data: Number.isNaN(mean) ? [] : [[mean, top]],
  };
}
