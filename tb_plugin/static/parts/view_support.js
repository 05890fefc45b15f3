// Functions that several views share: choose runs, colour them, remark on the data, and load data
// so that late answers are dropped.

import { comparedFact, plural, seriesLabels } from "../numbers/labels.js";
import { matcher } from "../page/state.js";
import { rampColour, runColour } from "../page/theme.js";
import { span } from "../numbers/transforms.js";

/** The series of the runs that are ticked and match the filter.
 * @param {import("../numbers/types.js").Series[]} offered @param {import("../page/state.js").State} state */
export function runsChosen(offered, state) {
  const off = new Set(state.off);
  return runsMatching(offered, state).filter((s) => !off.has(s.run));
}

/** The series in the list at the side, whose filter matches names and labels.
 * @param {import("../numbers/types.js").Series[]} offered @param {{filter: string}} state */
export function runsMatching(offered, { filter }) {
  const matches = matcher(filter) ?? (() => true);
  const labels = seriesLabels(offered);
  return offered.filter((s, i) => matches(s.run) || matches(labels[i]));
}

/** The meaning of colours: the user's choice, or else the setting that the runs are compared by.
 * @param {Coloured[]} series  all that the list offers
 * @param {string} chosen  in the state */
export function colouredBy(series, chosen) {
  return chosen || comparedFact(series) || "run";
}

/** Colours by run, or by the value of a fact; a ramp if the values are numbers.
 * @param {Coloured[]} series @param {string} by
 * @param {typeof import("../page/theme.js").LIGHT} theme @param {string[]} allRuns
 * @param {Coloured[]} [among]  all series in the list: also unticked series have a colour
 * @returns {string[]} */
export function seriesColours(series, by, theme, allRuns, among = series) {
  const valueOf = (/** @type {Coloured} */ s) => s.meta.facts[by];
  const values = [...new Set(among.map(valueOf))].sort();
  if (!by || by === "run" || values.length < 2)
    return series.map((s) => runColour(s.run, allRuns, theme));
  const numbers = values.map(Number);
  if (numbers.every(Number.isFinite)) {
    const [low, high] = span(numbers);
    return series.map((s) => {
      const share = (Number(valueOf(s)) - low) / (high - low);
      // A series that is not in the list has no place on the ramp.
      return share >= 0 && share <= 1 ? rampColour(share, theme) : theme.all;
    });
  }
  return series.map((s) => {
    const place = values.indexOf(valueOf(s));
    return place < 0 ? theme.all : theme.layers[place % theme.layers.length];
  });
}

/** @typedef {{run: string, meta: {facts: Record<string, string>}}} Coloured */

/** Remarks on the data that the user should know before reading a chart.
 * @param {import("../numbers/types.js").Index} index
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
 * @param {import("../numbers/types.js").Index} index @param {number} mostSteps  in any scalar shown
 * @returns {string[]} */
export function scalarRemarks(index, mostSteps) {
  const limit = index.sampling.scalars;
  if (!limit || mostSteps < limit) return [];
  return [
    `TensorBoard keeps ${plural(limit, "step")} of each scalar, others may have been dropped; start it with --samples_per_plugin=scalars=0 to see all.`,
  ];
}

/** Loads the data for a key once; only the answer to the last question is delivered. */
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

  /** The next question is asked even if it is the same as before. */
  forget() {
    this.key = "";
  }
}
