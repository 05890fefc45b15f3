// What several views do: choose runs, colour them, say what is odd about the data, and load it so
// that late answers are dropped.

import { comparedFact, plural, seriesLabels } from "./labels.js";
import { matcher } from "./state.js";
import { rampColour, runColour } from "./theme.js";
import { span } from "./transforms.js";

/** The series of the runs that are ticked and match the filter.
 * @param {import("./types.js").Series[]} offered @param {import("./state.js").State} state */
export function runsChosen(offered, state) {
  const off = new Set(state.off);
  return runsMatching(offered, state).filter((s) => !off.has(s.run));
}

/** Those that the list at the side has: its filter looks at their names and labels.
 * @param {import("./types.js").Series[]} offered @param {{filter: string}} state */
export function runsMatching(offered, { filter }) {
  const matches = matcher(filter) ?? (() => true);
  const labels = seriesLabels(offered);
  return offered.filter((s, i) => matches(s.run) || matches(labels[i]));
}

/** What colours stand for: what the user chose, else the setting that the runs are compared by.
 * @param {Coloured[]} series  all that the list offers
 * @param {string} chosen  in the state */
export function colouredBy(series, chosen) {
  return chosen || comparedFact(series) || "run";
}

/** By run, or by the value of a fact: a ramp if its values are numbers.
 * @param {Coloured[]} series @param {string} by
 * @param {typeof import("./theme.js").LIGHT} theme @param {string[]} allRuns
 * @param {Coloured[]} [among]  all that the list offers: what is not ticked keeps its colour
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
      // What the list does not offer now has no place on the ramp.
      return share >= 0 && share <= 1 ? rampColour(share, theme) : theme.all;
    });
  }
  return series.map((s) => {
    const place = values.indexOf(valueOf(s));
    return place < 0 ? theme.all : theme.layers[place % theme.layers.length];
  });
}

/** @typedef {{run: string, meta: {facts: Record<string, string>}}} Coloured */

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

/** Of the scalars of TensorBoard's own dashboard, which keeps some of the steps only.
 * @param {import("./types.js").Index} index @param {number} mostSteps  in any scalar shown
 * @returns {string[]} */
export function scalarRemarks(index, mostSteps) {
  const limit = index.sampling.scalars;
  if (!limit || mostSteps < limit) return [];
  return [
    `TensorBoard keeps ${plural(limit, "step")} of each scalar, others may have been dropped; start it with --samples_per_plugin=scalars=0 to see all.`,
  ];
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
