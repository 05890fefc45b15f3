// The user's choices, kept in the address (a deep link) and across reloads.

/**
 * @typedef {object} State
 * @property {string} view
 * @property {string} filter  of runs, a regular expression
 * @property {string} group  of runs, the folder they lie in; "": as few runs as a chart can hold,
 *     "*": every run
 * @property {string[]} off  runs not ticked
 * @property {string} split  which of a run's curves, with the next five; "": the most frequent,
 *     "*": all side by side
 * @property {string} fill
 * @property {string} order
 * @property {string} layers
 * @property {string} score
 * @property {string} per
 * @property {string} x
 * @property {string} y
 * @property {string} band
 * @property {string} seeds  "apart" or "together": networks that differ only in their seed as one curve; "":
 *     as one if there are many curves
 * @property {string} colour  "run", or the name of a fact; "": by the setting that is compared, if any
 * @property {number} step  -1: the last
 * @property {string} unitRun  "": the first
 * @property {string} unitTag  "": the first
 * @property {number} unitStep  -1: the last
 * @property {string} unitX  "": the quantity of the figure, with the next and with `column`
 * @property {string} unitY
 * @property {string} scale  of the upright axis of the units; "": the one that fits
 * @property {string} panels  whether the units of each layer have a panel, and whether on axes of its
 *     own; "": as it fits
 * @property {string} silent
 * @property {string[]} layersOff  layers hidden by a click in the legend
 * @property {string} marks
 * @property {string} drag  what dragging over the units does
 * @property {string} outline  around selected units: "x,y;x,y;..." in the chart's numbers
 * @property {string} outlined  the layer in whose panel the outline was drawn; "": a plot of all layers
 * @property {string[]} inspect  rows of the unit table in the inspector
 * @property {string} column  the quantity whose distribution is shown
 * @property {string} pool
 * @property {string} progress  what is drawn over training
 * @property {string} area  over training: "auc", or "normalized" by the intact accuracy
 * @property {string} against  what the areas are compared with; "": the first that was measured
 * @property {string} model  in the lab; "": the first, or the first pair
 * @property {string} other  the network beside it; "": its pair, if there is one; "none"
 * @property {number} image  the chosen one in the lab; -1: the one whose answer changes most
 * @property {string} lesions  deleted units: "0:3-5,9;1:2", layers by number; they belong to `model`
 * @property {number} seed  of the random order that the lab's slider deletes units in
 * @property {string} tint  what the shade of a unit means; "": what changed, once units are deleted
 * @property {number} tour  card of the lab's tour; 0: none
 * @property {string[]} zoom  one entry a chart and axis
 * @property {string[]} tables  names of the charts that are shown as tables
 */

/** Every choice with its default; a default is left out of the address.
 * @type {Readonly<State>} */
export const DEFAULTS = Object.freeze({
  view: "curves",
  filter: "",
  group: "",
  off: [],
  split: "",
  fill: "",
  order: "",
  layers: "",
  score: "",
  per: "",
  x: "fraction",
  y: "raw",
  band: "sd",
  seeds: "",
  colour: "",
  step: -1,
  unitRun: "",
  unitTag: "",
  unitStep: -1,
  unitX: "",
  unitY: "",
  scale: "",
  panels: "",
  silent: "keep",
  layersOff: [],
  marks: "points",
  drag: "zoom",
  outline: "",
  outlined: "",
  inspect: [],
  column: "",
  pool: "layers",
  progress: "loss",
  area: "auc",
  against: "",
  model: "",
  other: "",
  image: -1,
  lesions: "",
  seed: 0,
  tint: "",
  tour: 0,
  zoom: [],
  tables: [],
});

const CHOICES = {
  view: ["curves", "units", "unit", "noise", "distributions", "training", "lab", "guide"],
  x: ["fraction", "count"],
  y: ["raw", "relative"],
  band: ["sd", "quantiles", "range", "each", "none"],
  seeds: ["apart", "together"],
  scale: ["linear", "symlog", "rank"],
  panels: ["one", "shared", "own"],
  silent: ["keep", "omit"],
  marks: ["points", "density"],
  drag: ["zoom", "box", "lasso"],
  pool: ["layers", "all"],
  progress: ["loss", "accuracy"],
  area: ["auc", "normalized"],
  against: ["test_loss", "test_accuracy", "gap"],
  tint: ["activity", "change"],
};

/** One choice as text for the address; "" for a default.
 *
 * Percent-encoded, because TensorBoard drops a value with "=" in it.
 * @param {string} key @param {any} value
 */
export function encodeValue(key, value) {
  if (JSON.stringify(value) === JSON.stringify(/** @type {any} */ (DEFAULTS)[key])) return "";
  return encodeURIComponent(Array.isArray(value) ? JSON.stringify(value) : String(value));
}

/** The choice behind a text from the address; the default if the text is missing or invalid.
 * @param {string} key @param {string | null | undefined} text */
function decodeValue(key, text) {
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
