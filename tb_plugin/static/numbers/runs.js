// Which runs are looked at: those that match the filter, and those that are ticked. Pure.

import { seriesLabels } from "./labels.js";

/** A matcher for run names; null if the text is not a regular expression.
 * @param {string} text @returns {((name: string) => boolean) | null} */
export function matcher(text) {
  try {
    const pattern = new RegExp(text, "i");
    return (name) => pattern.test(name);
  } catch {
    return null;
  }
}

/** The series in the list at the side, whose filter matches names and labels.
 * @param {import("./types.js").Series[]} offered @param {{filter: string}} state */
export function runsMatching(offered, { filter }) {
  const matches = matcher(filter) ?? (() => true);
  const labels = seriesLabels(offered);
  return offered.filter((s, i) => matches(s.run) || matches(labels[i]));
}

/** The series of the runs that are ticked and match the filter.
 * @param {import("./types.js").Series[]} offered @param {{filter: string, off: string[]}} state */
export function runsChosen(offered, state) {
  const off = new Set(state.off);
  return runsMatching(offered, state).filter((s) => !off.has(s.run));
}
