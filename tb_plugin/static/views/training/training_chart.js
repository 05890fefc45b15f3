// Draws loss or accuracy along training beside the area under the ablation curve.

import { niceExtent, samePart, span } from "../../numbers/geometry.js";
import { formatNumber, plural, shorten } from "../../numbers/labels.js";
import { MARKS } from "../../page/theme.js";
import { axis, frame as chartBasics, legend, tooltip } from "../../parts/axes.js";
import { el, swatch } from "../../parts/dom.js";
import { AREAS, points } from "./training_points.js";

/** @typedef {import("./training_points.js").Item} Item */

const MARKS_PER_LINE = 6;
const TOOLTIP_ROWS = 14;

/** @param {Item[]} items @param {string[]} names
 * @param {{progress: string, area: string}} state
 * @param {import("../../numbers/types.js").Window} zoom
 * @param {import("../../page/theme.js").Theme} theme */
export function overOption(items, names, { progress, area }, zoom, theme) {
  const [highest, lastStep] = furthest(items, names);
  const extent = /** @type {[number, number]} */ (
    progress === "loss" ? niceExtent([0, highest || 1]) : [0, 1]
  );
  const line = (/** @type {Item} */ item, /** @type {string} */ name, /** @type {string} */ type) => ({
    name: item.label,
    id: `${name}:${item.training.run}`,
    type: "line",
    data: points(item, name).map((p) => [p.step, p.value]),
    symbol: MARKS[items.indexOf(item) % MARKS.length],
    showAllSymbol: true,
    symbolSize: markSize(points(item, name).length, items.indexOf(item)),
    lineStyle: { width: 2, color: item.colour, type },
    itemStyle: { color: item.colour },
    // Without a zoom the last dots would be cut by the right axis.
    clip: Boolean(zoom.x || zoom.y),
  });
  return {
    ...chartBasics(theme, `${progress} and area under the ablation curve over training, ${plural(items.length, "run")}.`),
    grid: { left: 72, right: 68, top: 48, bottom: 60 },
    legend: legend(theme, {
      left: 66,
      right: 16,
      selectedMode: false,
      data: items.map((i) => i.label),
      formatter: (/** @type {string} */ name) => shorten(name, 60),
    }),
    tooltip: tooltip(theme, {
      trigger: "axis",
      axisPointer: { type: "line", lineStyle: { color: theme.muted, type: "dashed" } },
      formatter: (/** @type {any[]} */ found) =>
        found.length ? moment(items, names, Number(found[0].axisValue)) : "",
    }),
    xAxis: axis(theme, "Training step (epoch)", [0, lastStep || 1], zoom.x, {
      nameGap: 34,
      splitLine: { show: false },
    }),
    yAxis: [
      axis(theme, progress === "loss" ? "Loss (nats)" : "Accuracy (fraction correct)", extent, zoom.y, { nameGap: 46 }),
      axis(theme, AREAS[area], [0, 1], zoom.y && samePart(zoom.y, extent, [0, 1]), {
        nameGap: 40,
        position: "right",
        splitLine: { show: false },
      }),
    ],
    series: items.flatMap((item, i) => [
      line(item, names[0], "solid"),
      line(item, names[1], "dashed"),
      {
        ...line(item, "auc", "dotted"),
        yAxisIndex: 1,
        data: item.areas.map(([step, value]) => [step, value]),
        symbol: MARKS[i % MARKS.length],
        symbolSize: 8,
      },
    ]),
  };
}

/** A mark at some points of a line, shifted from run to run, so that runs of one colour are told
 * apart. @param {number} length  of the line @param {number} place  of the run */
function markSize(length, place) {
  const every = Math.max(1, Math.round(length / MARKS_PER_LINE));
  return (/** @type {any} */ _, /** @type {any} */ point) => ((point.dataIndex + place) % every ? 0 : 7);
}

/** The highest value and the last step of any run; gaps do not count.
 * @param {Item[]} items @param {string[]} names  of the scalars
 * @returns {[number, number]} */
export function furthest(items, names) {
  const all = items.flatMap(({ training }) => names.flatMap((name) => training.scalars[name] ?? []));
  const highest = all.map(({ values }) => span(values.map((v) => v ?? -Infinity))[1]);
  const analysed = items.map(({ areas }) => areas.map(([step]) => step));
  const last = [...all.map(({ steps }) => steps), ...analysed].map((steps) => span(steps)[1]);
  return [Math.max(0, span(highest)[1]), Math.max(0, span(last)[1])];
}

/** Each run's last values up to a step.
 * @param {Item[]} items @param {string[]} names  of the scalars: training, test
 * @param {number} step */
function moment(items, names, step) {
  const last = (/** @type {[number, any][]} */ pairs) =>
    pairs.findLast(([at]) => at <= step)?.[1] ?? null;
  const rows = items.slice(0, TOOLTIP_ROWS).map((item) => {
    const scalars = names.map((name) => points(item, name).map((p) => [p.step, p.value]));
    const found = [...scalars, item.areas].map((pairs) => last(/** @type {any} */ (pairs)));
    const cells = found.map((value) => el("td", { class: "number" }, formatNumber(value)));
    return el("tr", {}, el("td", {}, swatch(item.colour), item.label), ...cells);
  });
  const heads = ["run", "training", "test", "AUC"].map((text) => el("th", {}, text));
  const more = items.length - rows.length;
  return el(
    "div",
    { class: "tooltip" },
    el("strong", {}, `Step ${formatNumber(step)}`),
    el("table", {}, el("tr", {}, ...heads), ...rows),
    more > 0 && el("p", {}, `and ${more} more`),
  );
}
