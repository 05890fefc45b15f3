// Scales of an axis: as measured, logarithmic away from 0, or by rank. Pure.

import { niceStep, span } from "./geometry.js";
import { quantile, ranks } from "./statistics.js";

// A value so many times as large as the 95th percentile flattens all others onto the axis.
const FAR = 20;
const MOST_TICKS = 4; // labels on either side of 0

/**
 * @typedef {object} Scale
 * @property {"linear" | "symlog" | "rank"} kind
 * @property {(value: number) => number} place  of a value on the axis
 * @property {number[] | null} ticks  places with a label; null: round numbers
 * @property {(place: number) => string} label  of a place in `ticks`
 * @property {(title: string) => string} title  of the axis
 */

/** The scale that shows the values best: as measured, unless a few lie far from all others.
 * @param {ArrayLike<number>} values  no NaN @returns {"linear" | "symlog"} */
export function fittingScale(values) {
  const sizes = Array.from(values, Math.abs);
  const [, largest] = span(sizes);
  return sizes.length > 1 && largest > FAR * quantile(sizes, 0.95) ? "symlog" : "linear";
}

/** @param {string} kind @param {ArrayLike<number>} values  on the axis, no NaN @returns {Scale} */
export function scaleOf(kind, values) {
  if (kind === "symlog") return symlog(values);
  if (kind === "rank") return byRank(values);
  return { kind: "linear", place: (value) => value, ticks: null, label: String, title: (title) => title };
}

/** Linear within the median size of the values, logarithmic beyond.
 * @param {ArrayLike<number>} values @returns {Scale} */
function symlog(values) {
  const sizes = Array.from(values, Math.abs).filter((size) => size > 0);
  const unit = sizes.length ? niceStep(quantile(sizes, 0.5)) : 1;
  const place = (/** @type {number} */ value) => Math.sign(value) * Math.log10(1 + Math.abs(value) / unit);
  const [low, high] = span(values);
  const labels = [...marks(-low, unit).map((mark) => -mark).reverse(), 0, ...marks(high, unit)];
  const texts = new Map(labels.map((value) => [place(value), short(value)]));
  return {
    kind: "symlog",
    place,
    ticks: [...texts.keys()],
    label: (at) => texts.get(nearestOf([...texts.keys()], at)) ?? "",
    title: (title) => `${title}, log beyond ±${short(unit)}`,
  };
}

/** A round number without zeros at its end. @param {number} value */
function short(value) {
  return String(Number(value.toPrecision(6))).replaceAll("-", "−");
}

/** Powers of ten times the unit, up to a size; not more than there is room for.
 * @param {number} size @param {number} unit */
function marks(size, unit) {
  const powers = Math.max(0, Math.floor(Math.log10(size / unit) + 1e-9)) + 1;
  const apart = Math.ceil(powers / MOST_TICKS);
  const all = Array.from({ length: powers }, (_, i) => unit * 10 ** i);
  return size > 0 ? all.filter((_, i) => (powers - 1 - i) % apart === 0) : [];
}

/** @param {ArrayLike<number>} values @returns {Scale} */
function byRank(values) {
  const sorted = Float64Array.from(values).sort();
  const shared = ranks(sorted);
  const place = (/** @type {number} */ value) => {
    let [low, high] = [0, sorted.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (sorted[middle] < value) low = middle + 1;
      else high = middle;
    }
    return sorted[low] === value ? shared[low] : low + 0.5;
  };
  return {
    kind: "rank",
    place,
    ticks: null,
    label: String,
    title: (title) => `Rank of ${title.charAt(0).toLowerCase()}${title.slice(1)}, the lowest first`,
  };
}

/** @param {number[]} places @param {number} at */
function nearestOf(places, at) {
  return places.reduce((best, place) => (Math.abs(place - at) < Math.abs(best - at) ? place : best));
}
