// Points, outlines, and extents of axes. Pure.

/** Which points lie inside an outline (even-odd rule).
 * @param {ArrayLike<number>} x @param {ArrayLike<number>} y
 * @param {[number, number][]} outline @returns {number[]} their places */
export function inside(x, y, outline) {
  const [left, right] = span(outline.map((corner) => corner[0]));
  const [bottom, top] = span(outline.map((corner) => corner[1]));
  const found = [];
  for (let i = 0; i < x.length; i++) {
    const boxed = x[i] >= left && x[i] <= right && y[i] >= bottom && y[i] <= top;
    if (boxed && crossings(x[i], y[i], outline) % 2) found.push(i);
  }
  return found;
}

/** The smallest and the largest value, for any number of values. @param {ArrayLike<number>} values
 * @returns {[number, number]} */
export function span(values) {
  let [low, high] = [Infinity, -Infinity];
  for (let i = 0; i < values.length; i++) {
    if (values[i] < low) low = values[i];
    if (values[i] > high) high = values[i];
  }
  return [low, high];
}

/** How many edges a ray to the right crosses. @param {number} px @param {number} py
 * @param {[number, number][]} outline */
function crossings(px, py, outline) {
  let count = 0;
  for (let i = 0; i < outline.length; i++) {
    const [ax, ay] = outline[i];
    const [bx, by] = outline[(i + 1) % outline.length];
    if (ay > py !== by > py && px < ax + ((py - ay) / (by - ay)) * (bx - ax)) count++;
  }
  return count;
}

/** Counts points in a grid of cells; returns only cells with points.
 * @param {ArrayLike<number>} x @param {ArrayLike<number>} y
 * @param {[number, number]} xExtent @param {[number, number]} yExtent
 * @param {number} columns @param {number} rows
 * @returns {{column: number, row: number, count: number}[]} */
export function density(x, y, xExtent, yExtent, columns, rows) {
  const counts = new Uint32Array(columns * rows);
  const place = (/** @type {number} */ value, /** @type {[number, number]} */ [low, high], n = 1) =>
    Math.min(n - 1, Math.floor(((value - low) / (high - low)) * n));
  for (let i = 0; i < x.length; i++) {
    const column = place(x[i], xExtent, columns);
    const row = place(y[i], yExtent, rows);
    if (column >= 0 && row >= 0 && x[i] <= xExtent[1] && y[i] <= yExtent[1])
      counts[row * columns + column]++;
  }
  const cells = [];
  for (let i = 0; i < counts.length; i++) {
    if (counts[i]) cells.push({ column: i % columns, row: Math.floor(i / columns), count: counts[i] });
  }
  return cells;
}

/** The points nearest to one of the points; distances in units of each axis's extent.
 * @param {ArrayLike<number>} x @param {ArrayLike<number>} y @param {number} place
 * @param {number} n
 * @returns {number[]} their places, the nearest first, without the point itself */
export function nearest(x, y, place, n) {
  const [left, right] = paddedExtent(x, 0);
  const [bottom, top] = paddedExtent(y, 0);
  const distance = Float64Array.from(x, (value, i) =>
    Math.hypot((value - x[place]) / (right - left || 1), (y[i] - y[place]) / (top - bottom || 1)),
  );
  return Array.from(distance, (_, i) => i)
    .filter((i) => i !== place)
    .sort((a, b) => distance[a] - distance[b])
    .slice(0, n);
}

/** Smallest and largest number, widened by a margin so that no mark touches the frame.
 * @param {ArrayLike<number>} values @param {number} [margin] share of the extent
 * @returns {[number, number]} */
export function paddedExtent(values, margin = 0.05) {
  const [low, high] = span(values);
  if (!(low <= high)) return [0, 1];
  const pad = (high - low) * margin || Math.abs(low) * margin || 1;
  return [low - pad, high + pad];
}

/** Rounds an extent outwards to steps of 1, 2 or 5 times a power of ten.
 * @param {[number, number]} extent @returns {[number, number]} */
export function niceExtent([low, high]) {
  const step = niceStep((high - low) / 8);
  return [tidy(Math.floor(low / step) * step), tidy(Math.ceil(high / step) * step)];
}

/** The next 1, 2 or 5 times a power of ten. @param {number} rough  above 0 */
export function niceStep(rough) {
  const power = 10 ** Math.floor(Math.log10(rough));
  return tidy(power * [1, 2, 5, 10].filter((m) => m * power >= rough * (1 - 1e-9))[0]);
}

/** Removes the rounding error of a product such as 3 * 0.1. @param {number} value */
function tidy(value) {
  return Number(value.toPrecision(12));
}

/** The same part of another extent, for an axis that follows the zoom of another axis.
 * @param {[number, number]} part @param {[number, number]} extent @param {[number, number]} other
 * @returns {[number, number]} */
export function samePart([low, high], [least, most], [otherLeast, otherMost]) {
  const place = (/** @type {number} */ value) =>
    otherLeast + ((value - least) / (most - least)) * (otherMost - otherLeast);
  return [place(low), place(high)];
}
