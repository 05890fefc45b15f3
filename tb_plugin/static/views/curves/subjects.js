// What the curves view shows: accuracy under ablation, or accuracy under noise. Each subject says
// what differs between the two: settings, axis, total, words and columns. Pure.

import { numeric } from "../../numbers/columns.js";
import { relativeToIntact } from "../../numbers/curves.js";
import { span } from "../../numbers/geometry.js";
import { formatFraction, formatNumber } from "../../numbers/labels.js";
import { CURVE_SETTINGS } from "../../numbers/settings.js";

/**
 * @typedef {import("../../page/state.js").State} State
 * @typedef {import("../../numbers/types.js").Curve} Curve
 * @typedef {import("../../numbers/types.js").Column} Column
 *
 * @typedef {object} Item  a curve with all that is shown of it
 * @property {import("../../numbers/types.js").Series} series
 * @property {string[]} runs  one, or several that differ only in their seed
 * @property {Curve} curve
 * @property {string} label
 * @property {string} colour
 * @property {import("../../page/colours.js").Dash} dash
 * @property {number[]} x
 * @property {(number | null)[][]} rows
 * @property {ReturnType<typeof import("../../numbers/curves.js").summarizeOrderings>} summary
 * @property {ReturnType<typeof import("../../numbers/curves.js").curveAreas>} areas
 * @property {number} half  x at which the accuracy has fallen by half
 *
 * @typedef {object} Subject
 * @property {"curve" | "noise"} kind
 * @property {string} name  of downloads and of the zoom in the address
 * @property {string} title
 * @property {string[]} settings
 * @property {string} rows  what one row of a curve is
 * @property {string} empty
 * @property {boolean} counts  whether x is a count of units, which may be shown as a fraction
 * @property {boolean} logarithmic
 * @property {string} what  happens to the network
 * @property {string} intact  what relative accuracy is relative to
 * @property {string} place  heading of a point's x
 * @property {{label: string, caption: string, value: (item: Item) => number}} total  how robust a
 *     network is
 * @property {Column[]} totals  further columns of the table of totals
 * @property {Column[]} places  columns of a point's x; a row is {item, j, count}
 * @property {(curve: Curve, nUnits: number, state: State) => number[]} x  as drawn
 * @property {(curve: Curve) => (number | null)[][]} relative  rows divided by the intact accuracy
 * @property {(units: number[], state: State) => string} xTitle  for networks of so many units
 * @property {(items: Item[], units: number[], state: State) => [number, number]} xExtent
 * @property {(item: Item, index: number) => string} placeOf  the x of a point, in words
 * @property {(place: string, x: number, state: State) => string} headline  of a tooltip
 */

/** @type {Subject} */
export const ABLATION = {
  kind: "curve",
  name: "accuracy_vs_ablation",
  title: "Accuracy vs ablation",
  settings: CURVE_SETTINGS,
  rows: "ordering",
  empty:
    "No ablation curves in this log directory. Write them with tb_plugin.summary.ablation_curve.",
  counts: true,
  logarithmic: false,
  what: "as units are ablated",
  intact: "to the intact network",
  place: "ablated",
  total: {
    label: "normalized AUC",
    caption: "Area under each curve",
    // A network at chance loses nothing by an ablation, so its curve says nothing of robustness.
    value: (item) => (item.areas.learned ? item.areas.normalized : NaN),
  },
  totals: [
    numeric("s.d.", (item) => item.areas.normalizedSd, formatFraction),
    numeric("AUC", (item) => item.areas.auc, formatFraction),
    numeric("intact accuracy", (item) => item.areas.intact, formatFraction),
  ],
  places: [
    numeric("units ablated", (point) => point.count),
    numeric(
      "fraction ablated",
      (point) => point.count / point.item.series.meta.n_units,
      (share) => formatFraction(share, 4),
    ),
  ],
  x: (curve, nUnits, state) =>
    state.x === "fraction" ? curve.x.map((count) => count / nUnits) : curve.x,
  relative: (curve) => relativeToIntact(curve.x, curve.rows),
  xTitle(units, state) {
    const of = units.length === 1 ? ` of ${units[0].toLocaleString("en")}` : "";
    return `Units ablated (${state.x === "fraction" ? "fraction" : "count"}${of})`;
  },
  xExtent: (_, units, state) => [0, state.x === "fraction" ? 1 : Math.max(...units)],
  placeOf({ curve, series }, index) {
    return `${curve.x[index].toLocaleString("en")} of ${series.meta.n_units.toLocaleString("en")}`;
  },
  headline(place, x, state) {
    const share = state.x === "fraction" ? ` (${(100 * x).toFixed(1)} %)` : "";
    return `${place} units ablated${share}`;
  },
};

/** @type {Subject} */
export const NOISE = {
  kind: "noise",
  name: "accuracy_vs_noise",
  title: "Accuracy vs noise",
  settings: ["split", "per", "layers", "score"],
  rows: "draw",
  empty: "No noise curves in this log directory. Write them with tb_plugin.summary.noise_curve.",
  counts: false,
  logarithmic: true,
  what: "under noise on all units",
  intact: "to the least noise",
  place: "noise",
  total: {
    label: "noise at half accuracy",
    caption: "How much noise each network bears",
    value: (item) => item.half,
  },
  totals: [numeric("accuracy at least noise", (item) => item.summary.mean[0], formatFraction)],
  places: [numeric("noise scale", (point) => point.count, formatNumber)],
  x: (curve) => curve.x,
  // The smallest scale of a noise curve stands in for the intact network.
  relative: (curve) => relativeToIntact([0, ...curve.x.slice(1)], curve.rows),
  xTitle: () => "Scale of the noise (standard deviations of each unit)",
  xExtent: (items) => span(items.flatMap((item) => item.x).filter((scale) => scale > 0)),
  placeOf: ({ curve }, index) => formatNumber(curve.x[index], 3),
  headline: (place) => `Noise of ${place} standard deviations`,
};
