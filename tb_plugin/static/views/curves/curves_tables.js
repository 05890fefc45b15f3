// The tables below the curves: a total for each curve, and every point.

import { numeric } from "../../numbers/columns.js";
import { formatFraction, formatNumber } from "../../numbers/labels.js";
import { el, swatch } from "../../parts/dom.js";

const AT_CHANCE =
  "The intact network is hardly better than one answer for all images: it has nothing to lose.";

/**
 * @typedef {import("../../numbers/types.js").Column} Column
 * @typedef {import("./subjects.js").Item} Item
 * @typedef {import("./subjects.js").Subject} Subject
 */

/** Columns of one row a curve. What is the same for all of several curves is said once, above them.
 * @param {Subject} subject @param {Item[]} items
 * @param {string} title  of what tells the curves apart @returns {Column[]} */
export function totalColumns({ total, totals, rows }, items, title) {
  const longest = Math.max(0.001, ...items.map(total.value).filter(Number.isFinite));
  return [
    {
      label: title || "run",
      value: (item) => item.label,
      show: (item) => el("span", { class: "named" }, swatch(item.colour), item.label),
    },
    {
      label: total.label,
      numeric: true,
      value: total.value,
      show: (item) =>
        item.areas.learned
          ? bar(total.value(item), longest, item.colour)
          : el("span", { class: "faint", title: AT_CHANCE }, "at chance"),
    },
    ...totals,
    ...[
      numeric(`${rows}s`, (item) => item.rows.length, formatNumber),
      numeric("units", (item) => item.series.meta.n_units, formatNumber),
      numeric("step", (item) => item.curve.step, formatNumber),
    ].filter(({ value }) => items.length < 2 || new Set(items.map(value)).size > 1),
  ];
}

/** Every point, for CSV and the table. @param {Subject} subject @param {Item[]} items
 * @param {boolean} relative  whether accuracy is relative to the intact network */
export function everyPoint(subject, items, relative) {
  const summary = (
    /** @type {string} */ label,
    /** @type {keyof Item["summary"]} */ key,
  ) => numeric(label, (point) => point.item.summary[key][point.j], (v) => formatFraction(v, 4));
  /** @type {Column[]} */
  const columns = [
    { label: "label", value: (point) => point.item.label },
    { label: "run", value: (point) => point.item.series.run },
    { label: "tag", value: (point) => point.item.series.tag },
    numeric("step", (point) => point.item.curve.step),
    ...subject.places,
    summary(`mean accuracy${relative ? " (relative)" : ""}`, "mean"),
    summary("s.d.", "sd"),
    summary("10 %", "q10"),
    summary("90 %", "q90"),
    summary("min", "low"),
    summary("max", "high"),
    numeric(`${subject.rows}s`, (point) => point.item.rows.length),
  ];
  const rows = items.flatMap((item) => item.curve.x.map((count, j) => ({ item, j, count })));
  return { columns, rows };
}

/** A number with a bar. @param {number} value @param {number} longest @param {string} colour */
function bar(value, longest, colour) {
  const share = Math.max(0, (100 * value) / longest) || 0;
  const fillStyle = `width:${share.toFixed(1)}%;background:${colour}`;
  return el(
    "span",
    { class: "bar-cell" },
    el("span", { class: "bar" }, el("span", { style: fillStyle })),
    el("span", {}, formatFraction(value)),
  );
}
