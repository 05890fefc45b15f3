// Charts of one unit: its classes, its place in its layer, the distribution of its activation.
// Pure.

import { niceExtent } from "../../numbers/geometry.js";
import { histogramOutline } from "../../numbers/histogram.js";
import { briefTitle, formatNumber, plural } from "../../numbers/labels.js";
import {
  axis,
  categoryAxis,
  frame as chartBasics,
  histogramTooltip,
  legend,
  tooltip,
} from "../../parts/axes.js";
import { el } from "../../parts/dom.js";

// Least reach of the axis of drops, up and down: else one image of a hundred would fill the panel.
const SMALLEST_DROP = 0.05;
// Places of the two panels, in shares of the chart's height; the classes' names stand below both.
const PANELS = /** @type {const} */ ([
  { top: "13%", height: "27%" },
  { top: "50%", height: "27%" },
]);

/**
 * @typedef {object} ClassRow  one class of one unit
 * @property {string} name
 * @property {number | null} mean  activation over the images of the class
 * @property {number | null} drop  fraction of its images that are lost with the unit ablated
 * @property {number | null} images  how many images that is, below 0 for images gained
 * @property {number | null} size  number of its images
 */

/** Mean activation of each class, and below it what each class loses when the unit is ablated.
 * @param {ClassRow[]} rows @param {import("../../numbers/types.js").Window} zoom
 * @param {import("../../page/theme.js").Theme} theme */
export function profileOption(rows, zoom, theme) {
  const names = ["mean activation", "accuracy drop when ablated"];
  const drops = rows.map((row) => row.drop ?? 0);
  const means = rows.map((row) => row.mean ?? 0);
  const reach = [
    niceExtent([Math.min(0, ...means), Math.max(0, ...means) || 1]),
    niceExtent([Math.min(-SMALLEST_DROP, ...drops), Math.max(SMALLEST_DROP, ...drops)]),
  ];
  const titles = ["Mean activation", "Accuracy drop (fraction)"];
  const classes = rows.map((row) => row.name);
  const slanted = classes.some((name) => name.length > 4) && classes.length > 4; // or they would not fit
  const across = (/** @type {number} */ i) => ({
    ...categoryAxis(
      theme,
      i ? "Class" : "",
      classes,
      zoom.x,
      slanted ? { rotate: 35, width: 64, overflow: "truncate" } : {},
    ),
    gridIndex: i,
    nameGap: slanted ? 58 : 34,
    ...(i ? {} : { axisLabel: { show: false } }),
    // The line at 0 belongs to the bars; names stand at the bottom.
    axisLine: { show: true, onZero: true, lineStyle: { color: theme.line } },
  });
  return {
    ...chartBasics(theme, `Mean activation and accuracy drop of each class. ${worstWords(rows)}`),
    grid: PANELS.map((place) => ({ left: 66, right: 24, ...place })),
    legend: legend(theme, { left: 60, data: names, selectedMode: false }),
    axisPointer: { link: [{ xAxisIndex: "all" }] },
    tooltip: tooltip(theme, {
      trigger: "axis",
      axisPointer: { type: "shadow" },
      formatter: (/** @type {any[]} */ found) => (found.length ? spotlight(rows[found[0].dataIndex]) : ""),
    }),
    xAxis: [across(0), across(1)],
    yAxis: reach.map((extent, i) => ({
      ...axis(theme, titles[i], extent, undefined, { nameGap: 48, splitNumber: 3 }),
      gridIndex: i,
    })),
    series: [means, drops].map((_, i) => ({
      name: names[i],
      type: "bar",
      xAxisIndex: i,
      yAxisIndex: i,
      data: rows.map((row) => (i ? row.drop : row.mean)),
      itemStyle: { color: theme.layers[i] },
      barCategoryGap: "30%",
    })),
  };
}

/** What happens to one class, for the pointer. @param {ClassRow} row */
function spotlight(row) {
  const line = (/** @type {string} */ name, /** @type {string} */ text) =>
    el("tr", {}, el("td", {}, name), el("td", { class: "number" }, text));
  return el(
    "div",
    { class: "tooltip" },
    el("strong", {}, row.name),
    el(
      "table",
      {},
      line("mean activation", formatNumber(row.mean)),
      line("accuracy drop", formatNumber(row.drop)),
      row.images !== null && line("when ablated", changeWords(row)),
    ),
  );
}

/** A drop in images. @param {ClassRow} row */
export function changeWords({ images, size }) {
  if (images === null || size === null) return "";
  if (!images) return `none of ${plural(size, "image")} lost`;
  return `${Math.abs(images).toLocaleString("en")} of ${plural(size, "image")} ${images > 0 ? "lost" : "gained"}`;
}

/** The class with the largest change, in images. @param {ClassRow[]} rows */
export function worstWords(rows) {
  const counted = rows.filter((row) => row.images !== null);
  if (!counted.length) return "";
  const size = (/** @type {ClassRow} */ row) => Math.abs(row.images ?? 0);
  const [worst] = [...counted].sort((a, b) => size(b) - size(a));
  if (!worst.images) return "No class loses or gains an image.";
  return `Largest change: class ${worst.name}, ${changeWords(worst)}.`;
}

/** Share of each group's images in each bin.
 * @param {number[]} edges @param {{name: string, totals: number[], n: number}[]} groups
 * @param {import("../../numbers/types.js").Window} zoom
 * @param {import("../../page/theme.js").Theme} theme */
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
 * @param {import("../../page/theme.js").Theme} theme */
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
