// A unit table: its bytes, its silent units, its columns that can be an axis. Pure.

import { quantile } from "./statistics.js";

/** A unit table from its bytes: columns of n little-endian float32, one after the other.
 *
 * @param {ArrayBuffer} bytes
 * @param {import("./types.js").TableHeader} header
 * @returns {import("./types.js").UnitTable}
 */
export function decodeTable(bytes, header) {
  const { n, columns, layers } = header;
  if (bytes.byteLength !== 4 * n * columns.length) {
    throw new Error(
      `invalid table: ${bytes.byteLength} bytes for ${n} rows of ${columns.length} columns`,
    );
  }
  const column = (/** @type {number} */ i) => new Float32Array(bytes, 4 * n * i, n);
  const measured = new Map(columns.map((name, i) => [name, column(i)]));
  measured.delete("layer");
  measured.delete("unit");
  return { n, layers, layer: column(0), unit: column(1), columns: measured };
}

/** Whether each unit is silent: never active on any image.
 *
 * A unit is silent if its mean_activation is 0; without this column, if all its values are 0.
 * @param {import("./types.js").UnitTable} table
 * @returns {boolean[]}
 */
export function silentUnits(table) {
  const activation = table.columns.get("mean_activation");
  const columns = activation ? [activation] : [...table.columns.values()];
  return Array.from({ length: table.n }, (_, i) => columns.every((column) => column[i] === 0));
}

/** Columns that can be an axis: one number for each unit, not one for each class.
 * @param {Iterable<string>} names */
export function axisColumns(names) {
  return [...names].filter((name) => !/^class_(mean|drop)\/\d+$/.test(name));
}

/** The two quantities on the axes, if the table has them.
 * @param {import("./types.js").UnitTable} table @param {{unitX: string, unitY: string}} state */
export function axesOf(table, state) {
  const columns = axisColumns(table.columns.keys());
  const xName = columns.includes(state.unitX) ? state.unitX : columns[0];
  const other = columns[Math.min(1, columns.length - 1)];
  return { xName, yName: columns.includes(state.unitY) ? state.unitY : other };
}

/** The most and the least class-selective unit among those with an importance above the median, as
 * in the report's portraits. Without a measured importance all active units are candidates.
 * @param {import("./types.js").UnitTable} table @returns {[number, number]} their rows */
export function selectiveAndConfusing(table) {
  const selectivity = table.columns.get("class_selectivity") ?? [...table.columns.values()][0];
  const importance = table.columns.get("importance");
  const silent = silentUnits(table);
  const active = Array.from({ length: table.n }, (_, i) => i).filter(
    (i) => !silent[i] && !Number.isNaN(selectivity[i]),
  );
  const harms = active.map((i) => importance?.[i] ?? 0);
  const median = quantile(harms, 0.5);
  const mattering = active.filter((_, place) => harms[place] > median);
  const [first = 0, ...others] = (mattering.length ? mattering : active).sort(
    (a, b) => selectivity[b] - selectivity[a],
  );
  return [first, others.at(-1) ?? first];
}
