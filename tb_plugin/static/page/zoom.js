// The zoom of each chart as text for the address. Pure.

const PANEL = "."; // between the name of a chart and that of a panel with axes of its own

/** The name of a panel that is zoomed by itself. @param {string} chart @param {number} panel */
export function panelZoom(chart, panel) {
  return `${chart}${PANEL}${panel}`;
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
 * @param {import("../numbers/types.js").Window | null} window  null: everything is shown, in each of
 *     its panels; {}: everything */
export function writeZoom(zoom, chart, window) {
  const others = zoom.filter(
    (entry) => !entry.startsWith(`${chart}|`) && (window || !entry.startsWith(`${chart}${PANEL}`)),
  );
  const own = Object.entries(window ?? {}).map(
    ([axis, [low, high]]) => `${chart}|${axis}|${short(low)}|${short(high)}`,
  );
  return [...others, ...own];
}

/** Four digits are finer than a pixel. @param {number} value */
export function short(value) {
  return String(Number(value.toPrecision(5)));
}
