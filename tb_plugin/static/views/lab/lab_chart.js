// Draws lesions on the curve of random orders.

import { formatFraction } from "../../numbers/labels.js";
import { axis, frame as chartBasics, legend, tooltip } from "../../parts/axes.js";
import { el } from "../../parts/dom.js";

/** Each network's own curve of random orders, and its present and earlier lesions as dots.
 * @param {LesionCurve[]} networks
 * @param {import("../../numbers/types.js").Window} zoom
 * @param {import("../../page/theme.js").Theme} theme
 *
 * @typedef {object} LesionCurve
 * @property {string} name
 * @property {number} nUnits
 * @property {{k: number, low: number, mean: number, high: number}[]} band
 * @property {{k: number, accuracy: number}[]} trail  earlier lesions
 * @property {{k: number, accuracy: number} | null} now */
export function lesionCurvesOption(networks, zoom, theme) {
  const symbols = ["circle", "diamond"];
  const series = networks.flatMap(({ name, nUnits, band, trail, now }, i) => {
    const colour = theme.layers[i];
    const share = (/** @type {number} */ k) => k / nUnits;
    const hidden = { type: "line", stack: `band ${i}`, silent: true, symbol: "none", lineStyle: { opacity: 0 }, tooltip: { show: false } };
    const dots = (/** @type {any[]} */ data, /** @type {number} */ size, /** @type {number} */ opacity) => ({
      name,
      type: "scatter",
      symbol: symbols[i],
      symbolSize: size,
      data: data.map(({ k, accuracy }) => [share(k), accuracy]),
      itemStyle: { color: colour, opacity, borderColor: theme.surface, borderWidth: 1 },
      z: 6,
    });
    return [
      { ...hidden, data: band.map(({ k, low }) => [share(k), low]) },
      {
        ...hidden,
        data: band.map(({ k, low, high }) => [share(k), high - low]),
        areaStyle: { color: colour, opacity: 0.18 },
      },
      {
        name,
        type: "line",
        symbol: "none",
        silent: true,
        data: band.map(({ k, mean }) => [share(k), mean]),
        lineStyle: { color: colour, width: 1.5, type: i ? "dashed" : "solid" },
        itemStyle: { color: colour },
      },
      dots(trail, 7, 0.45),
      dots(now ? [now] : [], 16, 1),
    ];
  });
  return {
    ...chartBasics(theme, `Accuracy against the fraction of units deleted, for ${networks.map(({ name }) => name).join(" and ")}.`),
    legend: legend(theme, { left: 66, data: networks.map(({ name }) => name), selectedMode: false }),
    tooltip: tooltip(theme, {
      trigger: "item",
      formatter: (/** @type {any} */ { seriesName, value }) =>
        el(
          "div",
          { class: "tooltip" },
          `${seriesName}: ${formatFraction(value[1])} with ${formatFraction(value[0])} of the units deleted`,
        ),
    }),
    xAxis: axis(theme, "Fraction of units deleted", [0, 1], zoom.x),
    yAxis: axis(theme, "Accuracy (fraction correct)", [0, 1], zoom.y, { nameGap: 46 }),
    series,
  };
}
