// Draws the area under the ablation curve against test loss or accuracy.

import { niceExtent, paddedExtent, span } from "../../numbers/geometry.js";
import { formatFraction, formatNumber, plural } from "../../numbers/labels.js";
import { FEWEST } from "../../numbers/rank_correlation.js";
import { leastSquares } from "../../numbers/statistics.js";
import { axis, frame as chartBasics, tooltip } from "../../parts/axes.js";
import { el } from "../../parts/dom.js";

/** @typedef {import("./training_points.js").Item} Item */
/** @typedef {{item: Item, step: number, x: number, y: number, learned: boolean}} Dot */

/** A dot of a network at chance is hollow and has no part in the line.
 * @param {Dot[]} dots @param {string} title
 * @param {string} area  name of the area
 * @param {import("../../numbers/types.js").Window} zoom
 * @param {import("../../page/theme.js").Theme} theme */
export function areasOption(dots, title, area, zoom, theme) {
  const xExtent = roundExtent(dots.map((d) => d.x));
  const yExtent = roundExtent(dots.map((d) => d.y));
  const compared = dots.filter((d) => d.learned);
  // A line through fewer dots would promise more than they hold.
  const line = compared.length < FEWEST ? null : leastSquares(
    compared.map((d) => d.x),
    compared.map((d) => d.y),
  );
  return {
    ...chartBasics(theme, `Area under the ablation curve against ${title}, ${plural(dots.length, "point")}.`),
    grid: { left: 72, right: 24, top: 24, bottom: 60 },
    tooltip: tooltip(theme, {
      trigger: "item",
      formatter: (/** @type {any} */ at) => {
        const dot = dots[at.dataIndex];
        return dot ? spotlight(dot, title, area) : "";
      },
    }),
    xAxis: axis(theme, title, xExtent, zoom.x, { nameGap: 34 }),
    yAxis: axis(theme, `${area} of the ablation curve`, yExtent, zoom.y, { nameGap: 46 }),
    series: [
      {
        type: "scatter",
        symbolSize: 11,
        data: dots.map((d) => ({ value: [d.x, d.y], itemStyle: dotStyle(d, theme) })),
        clip: true,
        z: 3,
      },
      line && {
        type: "line",
        data: span(compared.map((d) => d.x)).map((x) => [x, line.slope * x + line.intercept]),
        symbol: "none",
        silent: true,
        clip: true,
        lineStyle: { color: theme.all, type: "dashed", width: 2 },
        tooltip: { show: false },
      },
    ].filter(Boolean),
  };
}

/** @param {Dot} dot @param {import("../../page/theme.js").Theme} theme */
function dotStyle({ item, learned }, theme) {
  return learned
    ? { color: item.colour }
    : { color: "transparent", borderColor: item.colour, borderWidth: 1.5 };
}

/** An extent wider than the values, but not below 0 if no value is below 0.
 * @param {number[]} values */
function roundExtent(values) {
  const [low, high] = niceExtent(paddedExtent(values));
  return /** @type {[number, number]} */ ([span(values)[0] >= 0 ? Math.max(0, low) : low, high]);
}

/** @param {Dot} dot @param {string} title
 * @param {string} area */
function spotlight(dot, title, area) {
  const row = (/** @type {string} */ name, /** @type {string} */ text) =>
    el("tr", {}, el("td", {}, name), el("td", { class: "number" }, text));
  return el(
    "div",
    { class: "tooltip" },
    el("strong", {}, dot.item.label),
    el(
      "table",
      {},
      row(area, formatFraction(dot.y)),
      row(title, formatNumber(dot.x)),
      row("step", formatNumber(dot.step)),
      !dot.learned && row("", "at chance: not counted in ρ"),
    ),
  );
}
