// Where the panels of a chart lie that has one for each layer. Pure.

// Pixels. TOP: above the first row, for the legend. NAME: the name of a panel. UNDER: the numbers of
// its axis, and the name of the lowest. BOTTOM: what is left below.
const TOP = 44;
const NAME = 24;
const UNDER = 44;
const BOTTOM = 8;
const LEFT = 64; // room for the numbers and the name of the first upright axis
// Height of a row with name and numbers: few rows are higher.
const HEIGHTS = [380, 280, 220];
// A chart narrower than this has room for one column, or two.
const ONE = 600;
const TWO = 960;
const FEW = 4; // so many panels stand in two columns also where there is room for three
const BIG = 8; // more panels than this stand in three columns on paper, too
// For one, two or three columns, in percent of the width: room at the left of a panel for the numbers
// of its axis, and at its right.
const SIDES = [
  { left: 8, right: 3 },
  { left: 6.5, right: 1.5 },
  { left: 5.5, right: 1 },
];

/**
 * @typedef {object} Layout
 * @property {number} height  of the chart, in pixels
 * @property {{left: number | string, right: string, top: number, height: number}[]} grids
 * @property {{left: number | string, top: number}[]} names  their places
 * @property {(panel: number) => boolean} first  whether a panel is the first of its row
 * @property {(panel: number) => boolean} lowest  whether no panel lies below it
 */

/** How many panels stand beside each other. @param {number} panels @param {number} width  pixels */
export function acrossOf(panels, width) {
  const room = width < ONE ? 1 : width < TWO || panels <= FEW ? 2 : 3;
  return Math.max(1, Math.min(panels, room));
}

/** The same in a picture for a paper. @param {number} panels */
export function acrossOnPaper(panels) {
  return acrossOf(panels, panels > BIG ? TWO : ONE);
}

/** @param {number} panels  how many @param {number} across  how many beside each other
 * @param {number} [height]  of a row in pixels, if it is not the usual one @returns {Layout} */
export function layoutOf(panels, across, height = usualHeight(panels, across)) {
  const rows = Math.ceil(panels / across);
  const sides = SIDES[across - 1];
  const all = Array.from({ length: panels }, (_, i) => i);
  const left = (/** @type {number} */ i) =>
    i % across ? percent((100 * (i % across)) / across + sides.left) : LEFT;
  const top = (/** @type {number} */ i) => TOP + Math.floor(i / across) * height;
  return {
    height: TOP + rows * height + BOTTOM,
    grids: all.map((i) => ({
      left: left(i),
      right: percent(100 - (100 * ((i % across) + 1)) / across + sides.right),
      top: top(i) + NAME,
      height: height - NAME - UNDER,
    })),
    names: all.map((i) => ({ left: left(i), top: top(i) })),
    first: (i) => i % across === 0,
    lowest: (i) => i + across >= panels,
  };
}

/** @param {number} panels @param {number} across */
function usualHeight(panels, across) {
  return HEIGHTS[Math.min(Math.ceil(panels / across), HEIGHTS.length) - 1];
}

/** @param {number} share */
function percent(share) {
  return `${share.toFixed(2)}%`;
}

/** The name of a panel, for ECharts. @param {import("../page/theme.js").Theme} theme
 * @param {string} text @param {{left: number | string, top: number}} place */
export function panelName(theme, text, place) {
  const textStyle = { color: theme.text, fontSize: 12.5, fontWeight: 500 };
  return { text, ...place, padding: 0, textStyle };
}
