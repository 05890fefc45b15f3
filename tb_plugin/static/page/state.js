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
 * @property {string} colour  "run", or the name of a fact; "": by the setting that is compared, if any
 * @property {number} step  -1: the last
 * @property {string} unitRun  "": the first
 * @property {string} unitTag  "": the first
 * @property {number} unitStep  -1: the last
 * @property {string} unitX
 * @property {string} unitY
 * @property {string} silent
 * @property {string[]} layersOff  layers hidden by a click in the legend
 * @property {string} marks
 * @property {string} drag  what dragging over the units does
 * @property {string} outline  around selected units: "x,y;x,y;..." in the chart's numbers
 * @property {string[]} inspect  rows of the unit table in the inspector
 * @property {string} column  the quantity whose distribution is shown
 * @property {string} pool
 * @property {string} progress  what is drawn over training
 * @property {string} area  over training: "auc", or "normalized" by the intact accuracy
 * @property {string} against  what the areas are compared with; "": the first that was measured
 * @property {string} model  in the lab; "": the first
 * @property {number} image  the chosen one in the lab; -1: the first
 * @property {string} lesions  deleted units: "0:3-5,9;1:2", layers by number
 * @property {string[]} zoom  one entry a chart and axis
 * @property {string} table  "chart" or "table"
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
  colour: "",
  step: -1,
  unitRun: "",
  unitTag: "",
  unitStep: -1,
  unitX: "class_selectivity",
  unitY: "importance",
  silent: "keep",
  layersOff: [],
  marks: "points",
  drag: "zoom",
  outline: "",
  inspect: [],
  column: "class_selectivity",
  pool: "layers",
  progress: "loss",
  area: "auc",
  against: "",
  model: "",
  image: -1,
  lesions: "",
  zoom: [],
  table: "chart",
});

const CHOICES = {
  view: ["curves", "units", "unit", "noise", "distributions", "training", "lab", "guide"],
  x: ["fraction", "count"],
  y: ["raw", "relative"],
  band: ["sd", "quantiles", "range", "each", "none"],
  silent: ["keep", "omit"],
  marks: ["points", "density"],
  drag: ["zoom", "box", "lasso"],
  pool: ["layers", "all"],
  progress: ["loss", "accuracy"],
  area: ["auc", "normalized"],
  against: ["test_loss", "test_accuracy", "gap"],
  table: ["chart", "table"],
};

// Deleted units of a layer are written as ranges up to this length of the text, and as bits above
// it.
const LONGEST_RANGES = 60;
// Most corners of an outline: more would not fit into an address.
const MOST_CORNERS = 60;

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

/** The part of a chart that is zoomed to. @param {string[]} zoom  of the state
 * @param {string} chart @returns {import("../numbers/types.js").Window} */
export function readZoom(zoom, chart) {
  const window = /** @type {import("../numbers/types.js").Window} */ ({});
  for (const entry of zoom) {
    const [name, axis, low, high] = entry.split("|");
    const span = /** @type {[number, number]} */ ([Number(low), Number(high)]);
    if (name !== chart || (axis !== "x" && axis !== "y")) continue;
    if (span.every(Number.isFinite) && span[0] < span[1]) window[axis] = span;
  }
  return window;
}

/** The state with another zoom of one chart. @param {string[]} zoom @param {string} chart
 * @param {import("../numbers/types.js").Window | null} window  null or {}: everything is shown */
export function writeZoom(zoom, chart, window) {
  const others = zoom.filter((entry) => !entry.startsWith(`${chart}|`));
  const own = Object.entries(window ?? {}).map(
    ([axis, [low, high]]) => `${chart}|${axis}|${short(low)}|${short(high)}`,
  );
  return [...others, ...own];
}

/** Corners of an outline from its text; [] for an empty or invalid text.
 * @param {string} text @returns {[number, number][]} */
export function readOutline(text) {
  const corners = text.split(";").map((pair) => pair.split(",").map(Number));
  const sane = corners.every((c) => c.length === 2 && c.every(Number.isFinite));
  return text && sane && corners.length > 2 ? /** @type {any} */ (corners) : [];
}

/** @param {[number, number][]} outline  of more corners than an address can hold, those that tell
 *     least are left out */
export function writeOutline(outline) {
  return thinned(outline).map(([x, y]) => `${short(x)},${short(y)}`).join(";");
}

/** Removes corners until few are left: each time the corner that forms the smallest triangle with
 * its neighbours (Visvalingam's algorithm). @param {[number, number][]} outline */
function thinned(outline) {
  const left = [...outline];
  const area = (/** @type {number} */ i) => {
    const [ax, ay] = left[(i + left.length - 1) % left.length];
    const [bx, by] = left[i];
    const [cx, cy] = left[(i + 1) % left.length];
    return Math.abs((bx - ax) * (cy - ay) - (cx - ax) * (by - ay));
  };
  while (left.length > MOST_CORNERS) {
    let least = 0;
    for (let i = 1; i < left.length; i++) if (area(i) < area(least)) least = i;
    left.splice(least, 1);
  }
  return left;
}

/** Four digits are finer than a pixel. @param {number} value */
function short(value) {
  return String(Number(value.toPrecision(5)));
}

/** Deleted units as text: ranges of indices, layers by number, "0:3-5,9"; for many ranges the
 * layer's units as bits, "0:~8AE".
 * @param {boolean[][]} deleted  per layer, per unit */
export function writeLesions(deleted) {
  const parts = deleted.map((units, layer) => {
    const ranges = [];
    for (let i = 0; i < units.length; i++) {
      if (!units[i]) continue;
      const start = i;
      while (units[i + 1]) i++;
      ranges.push(start === i ? `${i}` : `${start}-${i}`);
    }
    const text = ranges.join(",");
    if (!text) return "";
    const bits = text.length > LONGEST_RANGES ? writeBits(units) : "";
    return `${layer}:${bits && bits.length < text.length ? bits : text}`;
  });
  return parts.filter(Boolean).join(";");
}

/** The units that a text of `lesions` names, as far as they exist.
 * @param {string} text @param {number[]} sizes  units of each layer
 * @returns {boolean[][]} */
export function readLesions(text, sizes) {
  const deleted = sizes.map((size) => new Array(size).fill(false));
  for (const part of text.split(";")) {
    const [layer, ranges = ""] = part.split(":");
    const units = deleted[Number(layer)];
    if (layer === "" || !units) continue;
    if (ranges.startsWith(BITS)) {
      readBits(ranges, units);
      continue;
    }
    for (const range of ranges.split(",")) {
      const [from, to = from] = range.split("-");
      if (!/^\d+$/.test(from) || !/^\d+$/.test(to)) continue;
      for (let i = Number(from); i <= Number(to) && i < units.length; i++) units[i] = true;
    }
  }
  return deleted;
}

const BITS = "~";

/** One bit for each unit, the first unit in the lowest bit of the first byte; base64 for URLs (RFC
 * 4648).
 * @param {boolean[]} units */
function writeBits(units) {
  const bytes = new Uint8Array(Math.ceil((units.lastIndexOf(true) + 1) / 8));
  units.forEach((gone, i) => gone && (bytes[i >> 3] |= 1 << (i & 7)));
  const text = btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""));
  return BITS + text.replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

/** @param {string} text @param {boolean[]} units  set where the text has a bit */
function readBits(text, units) {
  let bytes;
  try {
    bytes = atob(text.slice(BITS.length).replaceAll("-", "+").replaceAll("_", "/"));
  } catch {
    return; // the text is cut off or invalid
  }
  for (let i = 0; i < units.length && i >> 3 < bytes.length; i++)
    if ((bytes.charCodeAt(i >> 3) >> (i & 7)) & 1) units[i] = true;
}
