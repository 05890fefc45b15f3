// Colours of runs: TensorBoard's own, or by a setting in which the runs differ. Pure.

import { span } from "../numbers/geometry.js";
import { comparedFact, differingFacts, naturalOrder } from "../numbers/labels.js";
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

/** @typedef {"solid" | number[]} Dash  a line's style, or lengths of its strokes and gaps in pixels */

// The styles in their order; [] would be solid too.
const DASHES = /** @type {Dash[]} */ (["solid", [9, 4], [2, 3], [9, 3, 2, 3]]);

/** Line styles for series of one colour: by the first fact that differs beside the coloured one.
 * @param {Coloured[]} series  that are drawn @param {string} by  what colours stand for
 * @returns {Dash[]} */
export function seriesDashes(series, by) {
  const beside = by === "run" ? "" : (differingFacts(series).find((name) => name !== by) ?? "");
  const values = [...new Set(series.map((s) => s.meta.facts[beside]))].sort(naturally);
  return series.map((s) => DASHES[values.indexOf(s.meta.facts[beside]) % DASHES.length]);
}

/** @param {string | undefined} a @param {string | undefined} b */
function naturally(a = "", b = "") {
  return naturalOrder(a, b);
}

const FADED = 0.16; // opacity of lines beside the one that is pointed at

/** Draws with some of the items before all others, which fade; null if there are none.
 * @template {{colour: string}} T @template D
 * @param {T[]} items @param {(item: T) => boolean} isPointed  at, in the list of runs
 * @param {(items: T[]) => D} draw @returns {D | null} */
export function pointedAt(items, isPointed, draw) {
  const found = items.map(isPointed);
  if (!found.includes(true)) return null;
  return draw(items.map((item, i) => (found[i] ? item : { ...item, colour: faded(item.colour) })));
}

/** @param {string} colour  as the themes and the ramp write it, "#rrggbb" or "rgb(r, g, b)"
 * @returns {string} */
export function faded(colour) {
  const hex = /^#(..)(..)(..)$/.exec(colour)?.slice(1).map((pair) => parseInt(pair, 16));
  const parts = hex ?? colour.match(/\d+/g)?.slice(0, 3).map(Number) ?? [];
  return `rgba(${parts.join(", ")}, ${FADED})`;
}
