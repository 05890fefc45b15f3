// The outline around selected units as text for the address. Pure.

import { short } from "./zoom.js";

// Most corners of an outline: more would not fit into an address.
const MOST_CORNERS = 60;

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
