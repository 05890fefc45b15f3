// Colours of runs: TensorBoard's own, or by a setting in which the runs differ. Pure.

import { span } from "../numbers/geometry.js";
import { comparedFact } from "../numbers/labels.js";
import { rampColour, runColour } from "./theme.js";

/** @typedef {{run: string, meta: {facts: Record<string, string>}}} Coloured */

/** The meaning of colours: the user's choice, or else the setting that the runs are compared by.
 * @param {Coloured[]} series  all that the list offers
 * @param {string} chosen  in the state */
export function colouredBy(series, chosen) {
  return chosen || comparedFact(series) || "run";
}

/** Colours by run, or by the value of a fact; a ramp if the values are numbers.
 * @param {Coloured[]} series @param {string} by
 * @param {import("./theme.js").Theme} theme @param {string[]} allRuns
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
