// How the layers of a scatter are laid out: in one plot, or in a panel each. Pure.

import { quantile } from "./statistics.js";

/** "one": all layers in one plot; "shared": a panel a layer on the same axes; "own": a panel a layer
 * with its own axes.
 * @typedef {"one" | "shared" | "own"} Arrangement */

// Marks repeat after so many layers: in one plot, more of them are told apart by colour alone.
const MANY = 4;
// Where most values of one layer are so many times as large as those of another, axes that hold the
// larger ones flatten the smaller ones.
const APART = 10;

/** @type {WeakMap<object, Arrangement>} */
const known = new WeakMap();

/** The arrangement that shows the layers best. Sorting 100,000 values takes a while, so the answer
 * for the same array of layers is kept.
 * @param {import("./relations.js").Related[]} layers @returns {Arrangement} */
export function fittingArrangement(layers) {
  const kept = known.get(layers);
  if (kept) return kept;
  const filled = layers.filter(({ rows }) => rows.length);
  const apart = [filled.map(({ x }) => size(x)), filled.map(({ y }) => size(y))].some(farApart);
  const found = apart ? "own" : filled.length > MANY ? "shared" : "one";
  known.set(layers, found);
  return found;
}

/** The size that most values of a layer do not exceed. @param {ArrayLike<number>} values */
function size(values) {
  return quantile(Array.from(values, Math.abs), 0.95);
}

/** Whether sizes differ widely. A layer in which all is 0 has nothing to show on any axis.
 * @param {number[]} sizes */
function farApart(sizes) {
  const some = sizes.filter((one) => one > 0);
  return some.length > 1 && Math.max(...some) > APART * Math.min(...some);
}
