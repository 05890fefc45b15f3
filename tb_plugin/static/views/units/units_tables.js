// Numbers of the units view: correlations by layer, in words and in a table; and a table of units.

import { numeric } from "../../numbers/columns.js";
import { formatFraction, formatInterval, formatNumber } from "../../numbers/labels.js";
import { NEGLIGIBLE, relationWord } from "../../numbers/rank_correlation.js";
import { axisColumns, silentUnits } from "../../numbers/unit_table.js";
import { el, swatch } from "../../parts/dom.js";
import { quantityColumn } from "../../parts/unit_tables.js";

const FEW_LAYERS = 3; // so many layers' correlations fit into a line

// Words beside an interval.
const RELATIONS = {
  negligible: `negligible (|ρ| < ${NEGLIGIBLE})`,
  related: `related (|ρ| ≥ ${NEGLIGIBLE})`,
  undecided: "undecided",
  "": "–",
};

/** @typedef {ReturnType<typeof import("../../numbers/relations.js").relate>} Related */

/** Columns of one row a layer, and one for all. @param {Related} related
 * @param {string[]} layersOff  layers hidden by a click in the legend
 * @param {string} pooled  name of the units taken together
 * @param {import("../../page/theme.js").Theme} theme
 * @returns {import("../../numbers/types.js").Column[]} */
export function statisticsColumns(related, layersOff, pooled, theme) {
  const hidden = (/** @type {any} */ g) => g.layer !== null && layersOff.includes(g.layer);
  const colour = (/** @type {any} */ g) =>
    g.layer === null ? theme.all : theme.layers[related.layers.indexOf(g) % theme.layers.length];
  const name = (/** @type {any} */ g) =>
    hidden(g) ? `${g.layer} (hidden)` : (g.layer ?? pooled);
  return [
    {
      label: "layer",
      value: name,
      show: (g) => el("span", { class: "named" }, swatch(colour(g)), name(g)),
    },
    numeric("Spearman ρ", (g) => g.rho, formatFraction),
    {
      label: "95 % interval",
      numeric: true,
      value: (g) => g.interval[0],
      show: (g) =>
        Number.isNaN(g.interval[0])
          ? "too few units"
          : `${formatFraction(g.interval[0])} to ${formatFraction(g.interval[1])}`,
    },
    {
      label: "relation",
      value: (g) => relationWord(g.interval),
      show: (g) => RELATIONS[relationWord(g.interval)],
    },
    numeric("units in ρ (n)", (g) => g.rows.length, formatNumber),
    numeric("silent units", (g) => g.silent, formatNumber),
    numeric("slope of the line", (g) => g.line?.slope ?? null, formatNumber),
  ];
}

/** Columns of one row a unit, the two axes first.
 * @param {import("../../numbers/types.js").UnitTable} table
 * @param {string} xName @param {string} yName @param {(row: number) => Node} inspectButton
 * @returns {import("../../numbers/types.js").Column[]} */
export function unitColumns(table, xName, yName, inspectButton) {
  const silent = silentUnits(table);
  const names = new Set([xName, yName, ...axisColumns(table.columns.keys())]);
  const measured = [...names].map((name) => quantityColumn(table, name));
  return [
    { label: "layer", value: (i) => table.layers[table.layer[i]] },
    numeric("unit", (i) => table.unit[i]),
    ...measured,
    { label: "silent", value: (i) => (silent[i] ? "yes" : "no") },
    { label: "", action: true, value: () => null, show: (i) => inspectButton(i) },
  ];
}

/** Spearman's correlation of each layer, in a line. @param {Related["layers"]} layers */
export function rhoWords(layers) {
  const one = (/** @type {typeof layers[0]} */ g) => `${g.layer} ${formatFraction(g.rho)}`;
  if (layers.length <= FEW_LAYERS)
    return layers.map((g) => one(g) + formatInterval(g.interval)).join(", ");
  const sorted = layers.filter((g) => !Number.isNaN(g.rho)).sort((a, b) => a.rho - b.rho);
  if (!sorted.length) return "–";
  return `from ${one(sorted[0])} to ${one(sorted[sorted.length - 1])} over ${layers.length} layers`;
}
