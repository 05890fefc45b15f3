// How every chart of the plugin looks: axes, grid, tooltip.

import { niceStep } from "../numbers/geometry.js";
import { binOf } from "../numbers/histogram.js";
import { formatFraction, formatNumber } from "../numbers/labels.js";
import { el, swatch } from "./dom.js";

// ECharts writes the name of a font into an attribute between double quotes, as it stands.
const FONT = "Roboto, 'Helvetica Neue', Arial, sans-serif";

const TICKS = 6; // about the most ticks between the ends of an axis

/**
 * @param {import("../page/theme.js").Theme} theme
 * @param {string} title  with its unit
 * @param {[number, number]} extent
 * @param {[number, number] | undefined} zoomed
 * @param {object} [more]
 */
export function axis(theme, title, extent, zoomed, more = {}) {
  const [min, max] = zoomed ?? extent;
  // Labels are at round numbers; an end of the axis has a label only if it is a round number.
  const coarse = niceStep((max - min || 1) / TICKS);
  const fine = niceStep((max - min || 1) / (2 * TICKS));
  const step = isMultiple(min, coarse) && isMultiple(max, coarse) ? coarse : fine;
  return {
    type: "value",
    // ECharts counts steps from the lower end, which would miss the round numbers if that end is
    // not round.
    interval: isMultiple(min, step) ? step : undefined,
    name: title,
    nameLocation: "middle",
    nameTextStyle: { color: theme.text, fontSize: 13, fontFamily: FONT },
    min,
    max,
    axisLine: { show: true, onZero: false, lineStyle: { color: theme.line } },
    axisTick: { show: false },
    axisLabel: {
      color: theme.muted,
      fontSize: 12,
      hideOverlap: true,
      showMinLabel: isMultiple(min, step),
      showMaxLabel: isMultiple(max, step),
      formatter: (/** @type {number} */ value) => formatTick(value),
    },
    splitLine: { lineStyle: { color: theme.grid } },
    ...more,
  };
}

/** @param {number} value @param {number} step */
function isMultiple(value, step) {
  return Math.abs(value / step - Math.round(value / step)) < 1e-6;
}

/** An axis with a name at each place.
 * @param {import("../page/theme.js").Theme} theme @param {string} title
 * @param {string[]} names
 * @param {[number, number] | undefined} zoomed  first and last place
 * @param {object} [label]  of the names */
export function categoryAxis(theme, title, names, zoomed, label = {}) {
  return {
    ...axis(theme, title, [0, 1], undefined, { nameGap: 34, splitLine: { show: false } }),
    type: "category",
    data: names,
    min: zoomed?.[0],
    max: zoomed?.[1],
    axisLabel: { color: theme.muted, fontSize: 12, hideOverlap: true, ...label },
  };
}

/** @param {number} value */
function formatTick(value) {
  const short = Number(value.toPrecision(6));
  const text =
    Math.abs(short) >= 1000 && Math.abs(short) < 1e7 ? short.toLocaleString("en") : String(short);
  return text.replace("-", "−");
}

/** The options that all charts share. @param {import("../page/theme.js").Theme} theme
 * @param {string} spoken  for screen readers */
export function frame(theme, spoken) {
  return {
    animation: false,
    backgroundColor: "transparent",
    textStyle: { fontFamily: FONT, color: theme.text },
    aria: { enabled: true, label: { description: spoken } },
    grid: { left: 72, right: 24, top: 48, bottom: 60 },
  };
}

/** @param {import("../page/theme.js").Theme} theme @param {object} more */
export function tooltip(theme, more) {
  return {
    confine: true,
    transitionDuration: 0,
    backgroundColor: theme.surface,
    borderColor: theme.line,
    borderWidth: 1,
    padding: [8, 12],
    textStyle: { color: theme.text, fontSize: 12, fontFamily: FONT },
    extraCssText: "box-shadow: 0 2px 8px rgba(0,0,0,.25); border-radius: 4px;",
    ...more,
  };
}

/** The tooltip of histograms drawn as outlines: the bin under the pointer, and a row for each run.
 * @param {import("../page/theme.js").Theme} theme @param {number[]} edges
 * @param {string} what
 * @param {(grid: number) => {label: string, colour: string, heights: number[]}[]} drawn  in a panel
 * @param {(grid: number) => string} [panel]  its name */
export function histogramTooltip(theme, edges, what, drawn, panel = () => "") {
  return tooltip(theme, {
    trigger: "axis",
    formatter: (/** @type {any[]} */ found) => {
      if (!found.length) return "";
      const grid = found[0].axisIndex ?? 0;
      const bin = binOf(edges, Number(found[0].axisValue));
      const rows = drawn(grid).map(({ label, colour, heights }) =>
        el(
          "tr",
          {},
          el("td", {}, swatch(colour), label),
          el("td", { class: "number" }, formatFraction(heights[bin])),
        ),
      );
      const range = `${formatNumber(edges[bin], 3)} to ${formatNumber(edges[bin + 1], 3)}`;
      const head = el("strong", {}, [panel(grid), range].filter(Boolean).join(", "));
      const title = el("tr", {}, el("th", {}, ""), el("th", {}, what));
      return el("div", { class: "tooltip" }, head, el("table", {}, title, ...rows));
    },
  });
}

/** What tells the entries of a legend apart, before them.
 * @param {import("../page/theme.js").Theme} theme @param {string} text
 * @param {{left: number, top: number}} place */
export function legendName(theme, text, place) {
  const textStyle = { color: theme.muted, fontSize: 12.5, fontWeight: 500 };
  return { text, ...place, padding: 0, textStyle };
}

/** Pixels that such a name takes. @param {string} text */
export function legendRoom(text) {
  return text ? text.length * 6.5 + 10 : 0;
}

/** @param {import("../page/theme.js").Theme} theme @param {object} more */
export function legend(theme, more) {
  return {
    type: "scroll",
    top: 4,
    itemGap: 13,
    itemWidth: 22,
    itemHeight: 9,
    // With a lower line, a legend with pages would cut off the tops of letters.
    textStyle: { color: theme.text, fontSize: 12.5, fontFamily: FONT, lineHeight: 18 },
    pageTextStyle: { color: theme.muted },
    pageIconColor: theme.muted,
    pageIconInactiveColor: theme.line,
    inactiveColor: theme.line,
    ...more,
  };
}
