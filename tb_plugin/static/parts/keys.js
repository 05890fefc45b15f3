// Keyboard control of a chart: + and - zoom, arrow keys move, 0 shows everything again. Panels with
// axes of their own do the same together.

const CLOSER = 0.7; // share of the extent that one zoom step leaves
const ASIDE = 0.15; // share of the extent that one arrow key moves

/** Keys of a chart, as screen readers announce them. */
const CHART_KEYS = "+ - 0 ArrowLeft ArrowRight ArrowUp ArrowDown";

/** @typedef {import("../numbers/types.js").Window} Window */

/**
 * @typedef {object} Zoomable  a panel that is zoomed by itself, or the first of several that are
 *     zoomed alike
 * @property {number} grid
 * @property {string} name  of its zoom
 * @property {boolean} zoomed  whether a part is shown now
 */

/**
 * @param {HTMLElement} host  takes the focus
 * @param {import("./chart.js").Chart} chart
 * @param {object} settings
 * @param {() => Zoomable[]} settings.panels
 * @param {(windows: Map<string, Window> | null) => void} settings.onWindows  by the name of the zoom;
 *     null: everything
 */
export function attachKeys(host, chart, { panels, onWindows }) {
  const wholes = /** @type {Map<string, Window>} */ (new Map());
  host.tabIndex = 0;
  host.setAttribute("aria-keyshortcuts", CHART_KEYS);
  host.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const windows = /** @type {Map<string, Window>} */ (new Map());
    for (const { grid, name, zoomed } of panels()) {
      const rect = chart.panel(grid);
      if (!rect) continue;
      if (!zoomed) wholes.set(name, inNumbers(chart, rect, grid));
      const part = stepped(rect, event.key);
      if (part === undefined) return;
      event.preventDefault();
      if (part === null) return onWindows(null);
      const wanted = inNumbers(chart, part, grid);
      const whole = wholes.get(name);
      const inside = whole ? within(wanted, whole) : wanted;
      // At the edge a window stays as it is: moved further, it would shrink.
      if (inside && event.key.startsWith("Arrow") && inside !== wanted) continue;
      windows.set(name, inside ?? {});
    }
    if (windows.size) onWindows(windows);
  });
}

/** The part of a window that lies in another one; null if it covers all of the other.
 * @param {Window} window @param {Window} whole */
export function within(window, whole) {
  const clipped = /** @type {Window} */ ({});
  for (const axis of /** @type {("x" | "y")[]} */ (["x", "y"])) {
    const [low, high] = window[axis] ?? [NaN, NaN];
    const [least, most] = whole[axis] ?? [-Infinity, Infinity];
    const span = /** @type {[number, number]} */ ([Math.max(low, least), Math.min(high, most)]);
    if (span[0] > least || span[1] < most) clipped[axis] = span;
  }
  const same = (/** @type {"x" | "y"} */ axis) => clipped[axis]?.join() === window[axis]?.join();
  if (same("x") && same("y")) return window;
  return Object.keys(clipped).length ? clipped : null;
}

/** The part of a chart that a key leads to, in pixels of the present view; null: everything;
 * undefined: not a key of the chart.
 * @param {{x: number, y: number, width: number, height: number}} rect @param {string} key */
export function stepped({ x, y, width, height }, key) {
  const scaled = (/** @type {number} */ share) => ({
    x: x + (width * (1 - share)) / 2,
    y: y + (height * (1 - share)) / 2,
    width: width * share,
    height: height * share,
  });
  const moved = (/** @type {number} */ across, /** @type {number} */ down) => ({
    x: x + across * width,
    y: y + down * height,
    width,
    height,
  });
  switch (key) {
    case "+":
    case "=":
      return scaled(CLOSER);
    case "-":
    case "_":
      return scaled(1 / CLOSER);
    case "ArrowLeft":
      return moved(-ASIDE, 0);
    case "ArrowRight":
      return moved(ASIDE, 0);
    case "ArrowUp":
      return moved(0, -ASIDE);
    case "ArrowDown":
      return moved(0, ASIDE);
    case "0":
    case "Escape":
      return null;
    default:
      return undefined;
  }
}

/** @param {import("./chart.js").Chart} chart
 * @param {{x: number, y: number, width: number, height: number}} part @param {number} grid
 * @returns {import("../numbers/types.js").Window} */
function inNumbers(chart, { x, y, width, height }, grid) {
  const [left, top] = chart.inNumbers([x, y], grid);
  const [right, bottom] = chart.inNumbers([x + width, y + height], grid);
  return { x: [left, right], y: [bottom, top] };
}
