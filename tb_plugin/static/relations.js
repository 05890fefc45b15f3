// Units on two axes, computed once: ranks of 100,000 units take a fifth of a second, and a zoom or
// a click changes none of them.

import { pooled, relateLayers } from "./transforms.js";

/** @typedef {import("./transforms.js").Related} Related */

/** @type {WeakMap<import("./types.js").UnitTable, Kept<Related[]>>} */
const byLayer = new WeakMap();
/** @type {WeakMap<import("./types.js").UnitTable, Kept<Related>>} */
const together = new WeakMap();

/** Layers with their statistics, and all that are not hidden as one.
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
