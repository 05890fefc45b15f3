// Names of runs, columns and numbers on the page. Pure.

import { VIEWS } from "./figure_views.js";

/** @param {string} a @param {string} b  compares "x10" after "x9" */
export function naturalOrder(a, b) {
  return a.localeCompare(b, "en", { numeric: true }) || (a < b ? -1 : Number(a > b));
}

// Facts for the page and not for the reader: the network's name in the lab, the figure's views.
const SILENT = new Set(["model", VIEWS]);
// Facts that are results of a training.
const OUTCOMES = new Set(["training accuracy", "test accuracy"]);

/** The facts in which runs differ, and those that all share.
 *
 * @param {Record<string, string>[]} facts  one per run
 * @returns {{differing: string[], shared: [string, string][]}}
 */
export function compareFacts(facts) {
  const names = [...new Set(facts.flatMap((f) => Object.keys(f)))].filter((n) => !SILENT.has(n));
  const same = (/** @type {string} */ name) => facts.every((f) => f[name] === facts[0][name]);
  return {
    differing: names.filter((name) => !same(name)),
    shared: names.filter(same).map((name) => [name, facts[0][name]]),
  };
}

/** The fewest facts that tell all runs apart, as far as facts can.
 *
 * The first setting that differs in every run is enough. Otherwise settings are added in the
 * writer's order while they separate runs, and then results.
 * @param {Record<string, string>[]} facts  one per run
 * @returns {string[]}
 */
export function tellingFacts(facts) {
  const { differing } = compareFacts(facts);
  const groups = (/** @type {string[]} */ names) =>
    new Set(facts.map((f) => JSON.stringify(names.map((name) => f[name])))).size;
  // The data stand at the side, where they are the same; they would push what differs out of a label.
  const designed = differing.filter((name) => !OUTCOMES.has(name) && name !== "data");
  const settings = [...designed, ...differing.filter((name) => name === "data")];
  const alone = settings.find(
    (name) => groups([name]) === facts.length && facts.every((f) => f[name]),
  );
  if (alone) return [alone];
  let chosen = /** @type {string[]} */ ([]);
  for (const name of [...settings, ...differing.filter((n) => OUTCOMES.has(n))]) {
    if (groups([...chosen, name]) > groups(chosen)) chosen = [...chosen, name];
  }
  return chosen;
}

// Facts that describe the figure, or that nearly all runs share.
const BOILERPLATE = new Set(["figure", "profile"]);
// Facts in which runs differ, but not by design: runs are not compared by them.
const INCIDENTAL = new Set([...OUTCOMES, ...BOILERPLATE, "data", "images", "epochs", "seed"]);

/** The facts that all series share, for the line above a chart; without the fact "data" if the
 * description at the side contains it.
 * @param {{description?: string, meta: {facts: Record<string, string>}}[]} series */
export function sharedPhrases(series) {
  const { shared } = compareFacts(series.map((s) => s.meta.facts));
  const described = series[0]?.description ?? "";
  const said = (/** @type {[string, string]} */ [name, text]) => name === "data" && described.includes(text.split(";")[0]);
  return shared
    .filter((fact) => !BOILERPLATE.has(fact[0]) && !said(fact))
    .map(([name, text]) => namedFact(name, text));
}

/** The settings in which series differ by design, and then the seed.
 * @param {{meta: {facts: Record<string, string>}}[]} series @returns {string[]} */
export function differingFacts(series) {
  const { differing } = compareFacts(series.map((s) => s.meta.facts));
  return [...differing.filter((name) => !INCIDENTAL.has(name)), ...differing.filter((n) => n === "seed")];
}

/** The fact that runs are compared by, if it is clear: the first setting in which they differ.
 * @param {{meta: {facts: Record<string, string>}}[]} series @returns {string} "" for none */
export function comparedFact(series) {
  const { differing } = compareFacts(series.map((s) => s.meta.facts));
  const [first = ""] = differing.filter((name) => !INCIDENTAL.has(name));
  return series.every((s) => s.meta.facts[first] !== undefined) ? first : "";
}

// Facts whose text needs no name.
const SPEAKING = new Set(["data", "figure", "network", "images"]);

/** A fact in a label. @param {string} name @param {string} text */
export function namedFact(name, text) {
  if (SPEAKING.has(name)) return text;
  if (/^true$/i.test(text)) return `with ${name}`;
  if (/^false$/i.test(text)) return `without ${name}`;
  return `${name} ${text}`;
}

/** Short names for series: by the facts that tell them apart, else by run.
 *
 * Two series with the same facts get their run's name added, and their tag if the run has
 * both, so that every label is different.
 * @param {{run: string, tag: string, meta: {facts: Record<string, string>}}[]} series
 * @returns {string[]}
 */
export function seriesLabels(series) {
  const telling = tellingFacts(series.map((s) => s.meta.facts));
  const withFacts = series.map((s) =>
    telling
      .filter((name) => s.meta.facts[name] !== undefined)
      .map((name) => namedFact(name, s.meta.facts[name]))
      .join(", "),
  );
  const runs = series.map((s) => s.run);
  const withRun = tellApart(withFacts, runs);
  const tags = series.map((s) => s.tag);
  return tellApart(withRun, tags);
}

/** Labels for a legend: where one fact tells all runs apart, it becomes the title and its values
 * the labels.
 * @param {{run: string, tag: string, meta: {facts: Record<string, string>}}[]} series
 * @returns {{title: string, labels: string[]}}
 */
export function legendLabels(series) {
  const telling = tellingFacts(series.map((s) => s.meta.facts));
  const values = series.map((s) => s.meta.facts[telling[0]]);
  const distinct = new Set(values).size === series.length && values.every(Boolean);
  const speaking = values.every((value) => !/^(true|false)$/i.test(value));
  if (telling.length === 1 && distinct && speaking) return { title: telling[0], labels: values };
  return { title: "", labels: seriesLabels(series) };
}

/** Adds a suffix to the labels that occur more than once, or are empty.
 * @param {string[]} labels @param {string[]} suffixes */
function tellApart(labels, suffixes) {
  const seen = new Map();
  for (const label of labels) seen.set(label, (seen.get(label) ?? 0) + 1);
  return labels.map((label, i) => {
    if (!label) return suffixes[i];
    return seen.get(label) > 1 ? `${label} (${suffixes[i]})` : label;
  });
}

/** @param {string} text @param {number} length */
export function shorten(text, length) {
  return text.length <= length ? text : `${text.slice(0, length - 1)}…`;
}

/** A number for a table or a tooltip, with just enough digits to tell values apart.
 * @param {number | null | undefined} value @param {number} [digits] */
export function formatNumber(value, digits = 4) {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (Number.isInteger(value) && size < 1e9) return value.toLocaleString("en").replace("-", "−");
  const text =
    size >= 1e-4 && size < 1e6 ? value.toPrecision(digits) : value.toExponential(digits - 1);
  return text.replaceAll("-", "−");
}

/** A format for the numbers of one column: all with as many decimals as four digits of the largest
 * need, so that they can be compared at a glance.
 * @param {ArrayLike<number>} values @returns {(value: number | null | undefined) => string} */
export function columnFormat(values) {
  let largest = 0;
  for (let i = 0; i < values.length; i++) {
    const size = Math.abs(values[i]);
    if (size > largest && size < Infinity) largest = size;
  }
  const decimals = largest ? Math.min(8, Math.max(0, 3 - Math.floor(Math.log10(largest)))) : 0;
  const whole = Array.from(values).every((value) => Number.isNaN(value) || Number.isInteger(value));
  const shape = { minimumFractionDigits: whole ? 0 : decimals, maximumFractionDigits: whole ? 0 : decimals };
  return (value) =>
    value === null || value === undefined || Number.isNaN(value)
      ? "–"
      : value.toLocaleString("en", shape).replace("-", "−").replace(/^−(0(\.0*)?)$/, "$1");
}

/** A fraction or a correlation, to three places. @param {number} value @param {number} [places] */
export function formatFraction(value, places = 3) {
  return Number.isNaN(value) ? "–" : value.toFixed(places).replace("-", "−");
}

/** An interval as a text behind its estimate; "" if the interval is undefined.
 * @param {[number, number]} interval */
export function formatInterval(interval) {
  return interval.some(Number.isNaN) ? "" : ` [${interval.map((v) => formatFraction(v)).join(", ")}]`;
}

/** @param {number} n @param {string} one @param {string} [many] */
export function plural(n, one, many = `${one}s`) {
  return `${n.toLocaleString("en")} ${n === 1 ? one : many}`;
}

const COLUMNS = new Map([
  [
    "class_selectivity",
    {
      short: "class selectivity",
      axis: "Class selectivity index (0: all classes alike, 1: one class only)",
    },
  ],
  [
    "mutual_information",
    { short: "mutual information", axis: "Mutual information with the class (bits)" },
  ],
  [
    "importance",
    { short: "importance", axis: "Importance: change of loss (nats)" },
  ],
  [
    "largest_class_drop",
    {
      short: "largest class drop",
      axis: "Largest drop of any class's accuracy when ablated (fraction)",
    },
  ],
  [
    "sparsity",
    { short: "sparsity", axis: "Sparsity (fraction of images on which the unit is silent)" },
  ],
  ["accuracy_drop", { short: "accuracy drop", axis: "Drop of accuracy when ablated (fraction)" }],
  ["mean_activation", { short: "mean activation", axis: "Mean activation" }],
  ["weight_norm", { short: "weight norm", axis: "L1 norm of incoming weights" }],
]);

/** Name of a measured quantity in a list and on an axis. @param {string} name */
export function columnNames(name) {
  const plain = name.replaceAll("_", " ");
  return COLUMNS.get(name) ?? { short: plain, axis: plain };
}

const UNITS = /** @type {Record<string, string>} */ ({
  class_selectivity: "0 to 1",
  mutual_information: "bits",
  importance: "nats",
  largest_class_drop: "fraction",
  accuracy_drop: "fraction",
  sparsity: "fraction of images",
});

/** Name and unit, for the axis of a small chart. @param {string} name */
export function briefTitle(name) {
  const { short } = columnNames(name);
  const text = UNITS[name] ? `${short} (${UNITS[name]})` : short;
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/** @param {string} split @returns {string} */
export function splitAdjective(split) {
  return split === "train" ? "Training" : split === "test" ? "Test" : split;
}
