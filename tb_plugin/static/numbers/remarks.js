// Remarks on the data that the user should know before reading a chart. Pure.

import { plural } from "./labels.js";

/** Remarks on the data that the user should know before reading a chart.
 * @param {import("./types.js").Index} index
 * @param {string} samplingName  of the summaries this view reads
 * @param {number} mostSteps  in any series shown
 * @returns {string[]} */
export function dataRemarks(index, samplingName, mostSteps) {
  const remarks = [];
  const newer = index.skipped.filter((s) => s.reason === "newer").length;
  const unreadable = index.skipped.filter((s) => s.reason !== "newer");
  if (newer) {
    remarks.push(
      `${plural(newer, "series", "series")} skipped: written by a newer version. Upgrade the Single Directions plugin to see them.`,
    );
  }
  if (unreadable.length) {
    const { run, tag, reason } = unreadable[0];
    remarks.push(
      `${plural(unreadable.length, "series", "series")} skipped as unreadable. The first is ${run}, ${tag}: ${reason}.`,
    );
  }
  const limit = index.sampling[samplingName];
  if (limit && mostSteps >= limit) {
    remarks.push(
      `TensorBoard keeps ${plural(limit, "step")} of each series, others may have been dropped; start it with --samples_per_plugin=${samplingName}=0 to see all.`,
    );
  }
  return remarks;
}

/** Remarks on scalars: TensorBoard's dashboard keeps only some of their steps.
 * @param {import("./types.js").Index} index @param {number} mostSteps  in any scalar shown
 * @returns {string[]} */
export function scalarRemarks(index, mostSteps) {
  const limit = index.sampling.scalars;
  if (!limit || mostSteps < limit) return [];
  return [
    `TensorBoard keeps ${plural(limit, "step")} of each scalar, others may have been dropped; start it with --samples_per_plugin=scalars=0 to see all.`,
  ];
}
