// What both views do: remarks about the data, and loading that drops late answers.

import { plural } from "./labels.js";

/** What the user should know about the data before reading a chart.
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

/** Loads for a key, once; of several questions only the last one's answer is delivered. */
export class Loader {
  constructor() {
    this.key = "";
    this.turn = 0;
  }

  /**
   * @template T
   * @param {string} key  what is asked; the same key is not asked twice in a row
   * @param {() => Promise<T>} load
   * @param {(answer: T) => void} onAnswer
   * @param {(error: Error) => void} onError
   * @returns {boolean} whether a load was started
   */
  load(key, load, onAnswer, onError) {
    if (key === this.key) return false;
    this.key = key;
    const turn = ++this.turn;
    load().then(
      (answer) => turn === this.turn && onAnswer(answer),
      (error) => {
        if (turn !== this.turn) return;
        this.key = ""; // the next update may ask again
        onError(error);
      },
    );
    return true;
  }

  /** Makes the next question be asked even if it is the same. */
  forget() {
    this.key = "";
  }
}
