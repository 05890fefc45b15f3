// A unit table: its bytes, its silent units, its columns that can be an axis. Pure.

import { figureView } from "./figure_views.js";
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

/** The two quantities on the axes: those that the user chose, else those of the figure, else class
 * selectivity and importance; and where the table lacks one, a column that was measured.
 * @param {import("./types.js").UnitTable} table @param {{unitX: string, unitY: string}} state
 * @param {Record<string, string>} [facts]  of the table's run
 * @returns {{xName: string, yName: string}} */
export function axesOf(table, state, facts = {}) {
  const columns = axisColumns(table.columns.keys());
  const measured = columns.filter((name) => isMeasured(table, name));
  const [figureX, figureY] = figureView(facts, "units")?.axes ?? [];
  const first = (/** @type {string} */ asked, /** @type {(string | undefined)[]} */ usual) => {
    if (columns.includes(asked)) return asked;
    const fitting = usual.find((name) => name !== undefined && measured.includes(name));
    return fitting ?? measured[0] ?? columns[0];
  };
  const xName = first(state.unitX, [figureX, "class_selectivity"]);
  const others = measured.filter((name) => name !== xName);
  return { xName, yName: first(state.unitY, [figureY, "importance", others[0]]) };
}

/** Whether any unit has a value. @param {import("./types.js").UnitTable} table @param {string} name */
function isMeasured(table, name) {
  return Boolean(table.columns.get(name)?.some((value) => !Number.isNaN(value)));
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
