// What the user chose, kept in the address (a deep link) and across reloads.

/**
 * @typedef {object} State
 * @property {string} view
 * @property {string} filter  of runs, a regular expression
 * @property {string[]} off  runs not ticked
 * @property {string} variant  which of a run's curves: its settings as a phrase; "": the first
 * @property {string} x
 * @property {string} y
 * @property {string} band
 * @property {string} colour  "run", or the name of a fact
 * @property {number} step  -1: the last
 * @property {string} unitRun  "": the first
 * @property {string} unitTag  "": the first
 * @property {number} unitStep  -1: the last
 * @property {string} unitX
 * @property {string} unitY
 * @property {string} silent
 * @property {string[]} layersOff  layers hidden by a click in the legend
 * @property {string} table  "chart" or "table"
 */

/** Every choice with its default; a default is left out of the address.
 * @type {Readonly<State>} */
export const DEFAULTS = Object.freeze({
  view: "curves",
  filter: "",
  off: [],
  variant: "",
  x: "fraction",
  y: "raw",
  band: "sd",
  colour: "run",
  step: -1,
  unitRun: "",
  unitTag: "",
  unitStep: -1,
  unitX: "class_selectivity",
  unitY: "importance",
  silent: "keep",
  layersOff: [],
  table: "chart",
});

const CHOICES = {
  view: ["curves", "units"],
  x: ["fraction", "count"],
  y: ["raw", "relative"],
  band: ["sd", "range", "each", "none"],
  silent: ["keep", "omit"],
  table: ["chart", "table"],
};

// Browsers and servers take longer addresses, people do not; TensorBoard's own state is there too.
const LONGEST_VALUE = 2000;

/** One choice as text for the address; "" for a default, and for what is too long to link.
 *
 * Percent-encoded, because TensorBoard drops a value with "=" in it.
 * @param {string} key @param {any} value
 */
export function encodeValue(key, value) {
  if (JSON.stringify(value) === JSON.stringify(/** @type {any} */ (DEFAULTS)[key])) return "";
  const text = encodeURIComponent(Array.isArray(value) ? JSON.stringify(value) : String(value));
  return text.length > LONGEST_VALUE ? "" : text;
}

/** The choice behind such a text; the default if it is missing or makes no sense.
 * @param {string} key @param {string | null | undefined} text */
export function decodeValue(key, text) {
  const fallback = /** @type {any} */ (DEFAULTS)[key];
  if (!text) return fallback;
  try {
    const value = decodeURIComponent(text);
    if (Array.isArray(fallback)) return listOfText(JSON.parse(value)) ?? fallback;
    if (typeof fallback === "number") return /^\d{1,15}$/.test(value) ? Number(value) : fallback;
    const choices = /** @type {Record<string, string[]>} */ (CHOICES)[key];
    return !choices || choices.includes(value) ? value : fallback;
  } catch {
    return fallback;
  }
}

/** @param {any} value @returns {string[] | null} */
function listOfText(value) {
  return Array.isArray(value) && value.every((item) => typeof item === "string") ? value : null;
}

/** @param {(key: string) => string | null | undefined} read @returns {State} */
export function readState(read) {
  return /** @type {any} */ (
    Object.fromEntries(Object.keys(DEFAULTS).map((key) => [key, decodeValue(key, read(key))]))
  );
}

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
