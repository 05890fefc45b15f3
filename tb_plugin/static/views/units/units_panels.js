// Which plots the units are drawn in, and on which axes: all layers in one, or a panel a layer. Pure.

import { niceExtent, paddedExtent, span } from "../../numbers/geometry.js";
import { formatFraction, shorten } from "../../numbers/labels.js";
import { scaledGroup } from "../../numbers/relations.js";
import { fittingScale, scaleOf } from "../../numbers/scales.js";

/** More panels would be larger than a browser can paint. */
export const MOST_PANELS = 60;
const LONGEST_NAME = 26;

/**
 * @typedef {import("../../numbers/relations.js").Related} Related
 * @typedef {import("../../numbers/types.js").Window} Window
 *
 * @typedef {object} Asked
 * @property {{layers: Related[], all: Related}} related
 * @property {import("../../numbers/arrangement.js").Arrangement} arrangement
 * @property {string[]} hidden  layers that get no panel
 * @property {string} kind  of the upright scale; "": the one that fits
 * @property {string} xName @property {string} yName
 * @property {(layer: number) => Window} zoomOf  the part of a panel that is shown
 */

/** The plots, and the units with their heights on the scale of the plot in which they lie.
 * @param {Asked} asked */
export function panelsOf({ related, arrangement, hidden, kind, xName, yName, zoomOf }) {
  const { layers } = related;
  const fitting = arrangement === "own" ? layers.map(({ y }) => y) : [joined(layers)];
  const chosen = kind || (fitting.some((y) => fittingScale(y) === "symlog") ? "symlog" : "linear");
  const scales = fitting.map((y) => scaleOf(chosen, y));
  const scale = (/** @type {number} */ i) => scales[i] ?? scales[0];
  const drawn = {
    layers: layers.map((group, i) => scaledGroup(group, scale(i))),
    all: scaledGroup(related.all, scales[0]),
  };
  const place = (/** @type {number} */ i) => {
    // The axes cover all layers, so hiding one does not move the others.
    const groups = arrangement === "own" ? [drawn.layers[i]] : drawn.layers;
    return {
      scale: scale(i),
      xExtent: extentOf(groups, "x", xName, "linear"),
      yExtent: extentOf(groups, "y", yName, chosen),
      zoom: zoomOf(i),
    };
  };
  const shown = layers.flatMap(({ layer, rows }, i) =>
    rows.length && !hidden.includes(String(layer)) ? [i] : [],
  );
  const single = arrangement === "one" || !shown.length;
  const panels = single
    ? [{ layers: layers.map((_, i) => i), title: "", ...place(0) }]
    : shown.slice(0, MOST_PANELS).map((i) => ({ layers: [i], title: titleOf(layers[i]), ...place(i) }));
  return { panels, drawn, single, kind: chosen, left: single ? 0 : shown.length - panels.length };
}

/** @param {Related} group */
function titleOf({ layer, rho }) {
  return `${shorten(String(layer), LONGEST_NAME)} · ρ ${formatFraction(rho)}`;
}

/** @param {Related[]} layers */
function joined(layers) {
  return Float64Array.from(layers.flatMap(({ y }) => [...y]));
}

/** @param {Related[]} groups @param {"x" | "y"} axis @param {string} name  of the quantity
 * @param {string} kind  of the scale @returns {[number, number]} */
function extentOf(groups, axis, name, kind) {
  if (kind === "rank") return niceExtent([0, groups.reduce((sum, { rows }) => sum + rows.length, 0)]);
  if (name === "class_selectivity" && kind === "linear") return [0, 1];
  return niceExtent(paddedExtent(groups.flatMap((g) => (g[axis].length ? span(g[axis]) : []))));
}
