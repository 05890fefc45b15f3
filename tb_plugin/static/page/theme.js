// Colours for charts. The page has its colours in style.css, which charts cannot read.

export const LIGHT = {
  text: "#212121",
  muted: "#5f6368",
  line: "#dadce0",
  grid: "#eceff1",
  surface: "#ffffff",
  all: "#5f6368",
  runs: ["#425066", "#12b5cb", "#e52592", "#f9ab00", "#9334e6", "#7cb342", "#e8710a"],
  layers: ["#1a73e8", "#e8710a", "#0b8043", "#9334e6", "#c2185b", "#00838f", "#8d6e00"],
  ramp: ["#0d47a1", "#9c27b0", "#f57c00"],
};

/** @typedef {typeof LIGHT} Theme */

/** @type {Theme} */
export const DARK = {
  text: "#f1f3f4",
  muted: "#bdc1c6",
  line: "#5f6368",
  grid: "#444649",
  surface: "#303030",
  all: "#bdc1c6",
  runs: ["#8e98a3", "#12b5cb", "#e52592", "#f9ab00", "#9334e6", "#7cb342", "#e8710a"],
  layers: ["#8ab4f8", "#fcad70", "#81c995", "#c58af9", "#ff8bcb", "#78d9ec", "#fdd663"],
  ramp: ["#6db3ff", "#d58cf0", "#ffb066"],
};

/** TensorBoard's default colour of a run: by its place in the list of all runs, modulo 7. Plugins
 * cannot read colours that the user chose in TensorBoard.
 * @param {string} run @param {string[]} allRuns @param {Theme} theme */
export function runColour(run, allRuns, theme) {
  const place = allRuns.indexOf(run);
  return theme.runs[(place < 0 ? 0 : place) % theme.runs.length];
}

/** A colour along the ramp. @param {number} share in [0, 1] @param {Theme} theme */
export function rampColour(share, theme) {
  const stops = theme.ramp.map((hex) => [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16)));
  const at = Math.min(Math.floor(share * (stops.length - 1)), stops.length - 2);
  const between = share * (stops.length - 1) - at;
  const mix = stops[at].map((value, i) => Math.round(value + between * (stops[at + 1][i] - value)));
  return `rgb(${mix.join(", ")})`;
}

/** Marks, so that lines can be told apart without colour. */
export const MARKS = [
  "circle",
  "rect",
  "triangle",
  "diamond",
  "path://M0,1L10,1L5,9Z", // triangle that points down
  "path://M0,3h3v-3h4v3h3v4h-3v3h-4v-3h-3Z", // plus
  "path://M2.5,0h5L10,5L7.5,10h-5L0,5Z", // hexagon
];
