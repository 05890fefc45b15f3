// Which runs are looked at: those that match the filter, and those that are ticked. Pure.

import { seriesLabels } from "./labels.js";

// Signs that make a text a regular expression. A dot alone does not: "0.4" is a number.
const PATTERN = /[\\^$|*+?()[\]{}]/;

/** A matcher for run names: by a part of the name, or by a regular expression; null if the text is
 * neither. @param {string} text @returns {((name: string) => boolean) | null} */
export function matcher(text) {
  if (!PATTERN.test(text)) {
    const part = text.toLowerCase();
    return (name) => name.toLowerCase().includes(part);
  }
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
