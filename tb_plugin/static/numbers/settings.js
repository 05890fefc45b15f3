// Settings that tell the curves of a run apart (images, fill, order, ...), and the choice among
// them.

import { naturalOrder } from "./labels.js";

/** Settings in which ablation curves can differ, by their names in the summaries. */
export const CURVE_SETTINGS = ["split", "fill", "order", "layers", "score"];

/** Shows the curves of every value side by side. */
export const COMPARE = "*";

const TITLES = /** @type {Record<string, string>} */ ({
  split: "Images",
  fill: "Clamped to",
  order: "Order",
  layers: "Layers",
  score: "Score",
  per: "Drawn per",
});

const PHRASES = /** @type {Record<string, (value: string) => string>} */ ({
  split: (v) => (v === "train" ? "training set" : v === "test" ? "test set" : v),
  fill: (v) => `ablated to ${v}`,
  order: (v) => (v === "random" ? "random order" : `in order of ${v}`),
  layers: (v) => (v === "all" ? "all layers" : v),
  score: (v) => (v === "accuracy" ? "" : v),
  per: (v) => `drawn for each ${v}`,
});

// The paper's settings come first among equally frequent ones.
const USUAL = new Set(["train", "zero", "random", "all", "accuracy", "position"]);

/**
 * @typedef {object} Choice
 * @property {string} name
 * @property {string} title
 * @property {string[]} values  the values that occur, the most frequent first
 * @property {string} chosen  a value, or COMPARE
 */

/** The series with the values that the user chose; without a choice, with the most frequent value
 * among the series on view.
 *
 * A compared setting becomes a fact of its series, so that it appears in labels and colours.
 * @param {import("./types.js").Series[]} series
 * @param {string[]} names  of the settings
 * @param {Record<string, any>} state
 * @param {import("./types.js").Series[]} lookedAt  such as those that match the filter; all, if none
 * @returns {{series: import("./types.js").Series[], choices: Choice[]}}
 */
export function chooseSettings(series, names, state, lookedAt = series) {
  const choices = /** @type {Choice[]} */ ([]);
  let left = series;
  let looked = lookedAt;
  for (const name of names) {
    const valueOf = (/** @type {import("./types.js").Series} */ s) => String(s.meta[name] ?? "");
    const values = byFrequency(left, valueOf);
    const [usual = values[0] ?? ""] = byFrequency(looked, valueOf);
    const asked = state[name];
    const all = asked === COMPARE && values.length > 1;
    const chosen = all ? COMPARE : values.includes(asked) ? asked : usual;
    choices.push({ name, title: TITLES[name], values, chosen });
    left = all
      ? left.map((s) => withFact(s, TITLES[name].toLowerCase(), String(s.meta[name])))
      : left.filter((s) => valueOf(s) === chosen);
    if (!all) looked = looked.filter((s) => valueOf(s) === chosen);
  }
  return { series: left, choices };
}

/** Phrases for the settings that all chosen curves share. @param {Choice[]} choices
 * @returns {string[]} */
export function settingPhrases(choices) {
  return choices
    .filter((c) => c.chosen && c.chosen !== COMPARE)
    .map((c) => PHRASES[c.name](c.chosen))
    .filter(Boolean);
}

/** Values in the order of the number of runs that have them; a run may have several curves with one
 * value.
 * @param {import("./types.js").Series[]} series
 * @param {(series: import("./types.js").Series) => string} valueOf */
function byFrequency(series, valueOf) {
  const runs = /** @type {Map<string, Set<string>>} */ (new Map());
  for (const one of series) {
    const value = valueOf(one);
    runs.set(value, (runs.get(value) ?? new Set()).add(one.run));
  }
  const rank = (/** @type {string} */ value) =>
    2 * (runs.get(value)?.size ?? 0) + Number(USUAL.has(value));
  return [...runs.keys()].sort((a, b) => rank(b) - rank(a) || naturalOrder(a, b));
}

/** @param {import("./types.js").Series} series @param {string} name @param {string} text */
function withFact(series, name, text) {
  return { ...series, meta: { ...series.meta, facts: { ...series.meta.facts, [name]: text } } };
}
