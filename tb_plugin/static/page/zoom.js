// The zoom of each chart as text for the address. Pure.

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

/** Four digits are finer than a pixel. @param {number} value */
export function short(value) {
  return String(Number(value.toPrecision(5)));
}
