// The unit table that is shown, and its numbers, for the two views of a unit table.

import { columnFormat, columnNames, naturalOrder, seriesLabels } from "../numbers/labels.js";
import { runsMatching } from "../numbers/runs.js";
import { axisColumns } from "../numbers/unit_table.js";
import { fetchTable, fetchTableSteps } from "../page/api.js";

/** The table that the address names, or else the first, among the tables that match the filter.
 * @param {import("../numbers/types.js").Series[]} tables
 * @param {Pick<import("../page/state.js").State, "filter" | "unitRun" | "unitTag">} state
 * @returns {import("../numbers/types.js").Series | undefined} */
export function chosenTable(tables, state) {
  const labels = new Map(seriesLabels(tables).map((label, i) => [tables[i], label]));
  const label = (/** @type {import("../numbers/types.js").Series} */ s) => labels.get(s) ?? s.run;
  const sorted = runsMatching(tables, state).sort((a, b) => naturalOrder(label(a), label(b)));
  const ofRun = sorted.filter((s) => s.run === state.unitRun);
  return ofRun.find((s) => s.tag === state.unitTag) ?? ofRun[0] ?? sorted[0];
}

/** Why no table is shown. @param {import("../numbers/types.js").Series[]} tables */
export function noTable(tables) {
  return tables.length
    ? "No run with a unit table matches the filter."
    : "No unit tables in this log directory. Write them with tb_plugin.summary.unit_table.";
}

/** A column of a table of units: a quantity, all with the same decimals.
 * @param {import("../numbers/types.js").UnitTable} table @param {string} name  of the quantity
 * @returns {import("../numbers/types.js").Column} for rows that are places in the unit table */
export function quantityColumn(table, name) {
  const values = /** @type {Float32Array} */ (table.columns.get(name));
  const format = columnFormat(values);
  return {
    label: columnNames(name).short,
    numeric: true,
    value: (i) => values[i],
    show: (i) => format(values[i]),
  };
}

/** Tags of a run's tables. @param {import("../numbers/types.js").Series[]} tables
 * @param {string} run */
export function tablesOf(tables, run) {
  return tables
    .filter((s) => s.run === run)
    .map((s) => s.tag)
    .sort(naturalOrder);
}

/** Lists the runs with tables at the side, as radio buttons.
 * @param {import("./run_list.js").RunList} runList
 * @param {import("../numbers/types.js").Series[]} tables
 * @param {import("../numbers/types.js").Series | undefined} chosen
 * @param {import("../page/model.js").Model} model */
export function showTableRuns(runList, tables, chosen, model) {
  const labels = seriesLabels(tables);
  const entries = new Map();
  tables.forEach((s, i) => {
    // No swatch: in these views colour stands for layers.
    if (!entries.has(s.run)) entries.set(s.run, { run: s.run, label: labels[i], colour: "" });
  });
  const sorted = [...entries.values()].sort((a, b) => naturalOrder(a.label, b.label));
  runList.showOne(sorted, model.state, chosen?.run ?? "");
  const measured = new Set(unitTables(model.index).map((s) => s.run));
  runList.showOthers(model.index.runs.filter((run) => !measured.has(run)));
}

/** @param {import("../numbers/types.js").Index} index */
export function unitTables(index) {
  return index.series.filter((s) => s.kind === "units");
}

/** The table at the latest step not after the requested one (-1: the last), without the columns for
 * each class, which are many times as large.
 * @param {import("../numbers/types.js").Series} series @param {number} step */
export async function loadTable(series, step) {
  const headers = await fetchTableSteps(series);
  const earlier = headers.filter((h) => step < 0 || h.step <= step);
  const header = earlier[earlier.length - 1] ?? headers[0];
  if (header.error)
    throw new Error(`The unit table at step ${header.step} cannot be read: ${header.error}.`);
  return { headers, header, table: await fetchTable(series, header, axisColumns(header.columns)) };
}
