// Statistics of units on two axes, cached: ranks of 100,000 units take a fifth of a second, and a
// zoom or a click does not change them.

import { MOST_RESAMPLED, rankCorrelation } from "./rank_correlation.js";
import { leastSquares } from "./statistics.js";
import { silentUnits } from "./unit_table.js";

/** @type {WeakMap<import("./types.js").UnitTable, Kept<Related[]>>} */
const byLayer = new WeakMap();
/** @type {WeakMap<import("./types.js").UnitTable, Kept<Related>>} */
const together = new WeakMap();

/** Layers with their statistics, and all layers that are not hidden taken together.
 * @param {import("./types.js").UnitTable} table @param {string} xName @param {string} yName
 * @param {boolean} leaveOutSilent @param {string[]} [hidden]  layers
 * @returns {{layers: Related[], all: Related}} */
export function relate(table, xName, yName, leaveOutSilent, hidden = []) {
  const axes = JSON.stringify([xName, yName, leaveOutSilent]);
  const layers = once(byLayer, table, axes, () =>
    relateLayers(table, xName, yName, leaveOutSilent),
  );
  const shown = JSON.stringify([axes, hidden]);
  return { layers, all: once(together, table, shown, () => pooled(layers, hidden)) };
}

/**
 * @template T
 * @typedef {{key: string, value: T}} Kept  the last answer
 */

/**
 * @template T
 * @param {WeakMap<import("./types.js").UnitTable, Kept<T>>} memory
 * @param {import("./types.js").UnitTable} table @param {string} key @param {() => T} compute
 */
function once(memory, table, key, compute) {
  const kept = memory.get(table);
  if (kept?.key === key) return kept.value;
  const value = compute();
  memory.set(table, { key, value });
  return value;
}

/** The same units and statistics with their heights on a scale, for drawing. A line through ranks is
 * fitted to the ranks; on other scales it is the line through the values, which may then bend.
 * @param {Related} group @param {import("./scales.js").Scale} scale @returns {Related} */
export function scaledGroup(group, scale) {
  if (scale.kind === "linear") return group;
  const y = group.y.map(scale.place);
  return { ...group, y, line: scale.kind === "rank" ? leastSquares(group.x, y) : group.line };
}

/**
 * @typedef {object} Related  the units of one layer, or of several, on two axes
 * @property {string | null} layer
 * @property {number[]} rows  of the table
 * @property {number} silent
 * @property {Float64Array} x
 * @property {Float64Array} y
 * @property {number} rho
 * @property {[number, number]} interval
 * @property {{slope: number, intercept: number} | null} line
 */

/** The units of a table that have both values, by layer, with statistics.
 *
 * @param {import("./types.js").UnitTable} table
 * @param {string} xName
 * @param {string} yName
 * @param {boolean} leaveOutSilent
 * @returns {Related[]}
 */
function relateLayers(table, xName, yName, leaveOutSilent) {
  const x = /** @type {Float32Array} */ (table.columns.get(xName));
  const y = /** @type {Float32Array} */ (table.columns.get(yName));
  const silent = silentUnits(table);
  const quick = table.n > MOST_RESAMPLED;
  const groups = table.layers.map((layer) => ({
    layer,
    rows: /** @type {number[]} */ ([]),
    silent: 0,
  }));
  for (let i = 0; i < table.n; i++) {
    const group = groups[table.layer[i]];
    if (silent[i]) group.silent++;
    if (Number.isNaN(x[i]) || Number.isNaN(y[i]) || (leaveOutSilent && silent[i])) continue;
    group.rows.push(i);
  }
  return groups.map((group) => {
    const gx = Float64Array.from(group.rows, (i) => x[i]);
    const gy = Float64Array.from(group.rows, (i) => y[i]);
    return { ...group, x: gx, y: gy, ...relation(gx, gy, quick) };
  });
}

/** The layers that are not hidden, taken together.
 * @param {Related[]} layers @param {string[]} hidden
 * @returns {Related} */
function pooled(layers, hidden) {
  const shown = layers.filter(({ layer }) => !hidden.includes(String(layer)));
  const x = joined(shown.map((group) => group.x));
  const y = joined(shown.map((group) => group.y));
  return {
    layer: null,
    rows: shown.flatMap((group) => group.rows),
    silent: shown.reduce((sum, group) => sum + group.silent, 0),
    x,
    y,
    ...relation(x, y),
  };
}

/** @param {Float64Array} x @param {Float64Array} y @param {boolean} [quick] */
function relation(x, y, quick) {
  return { ...rankCorrelation(x, y, quick), line: leastSquares(x, y) };
}

/** @param {Float64Array[]} parts */
function joined(parts) {
  const all = new Float64Array(parts.reduce((n, part) => n + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}
