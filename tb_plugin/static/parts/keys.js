// Keyboard control of a chart: + and - zoom, arrow keys move, 0 shows everything again.

const CLOSER = 0.7; // share of the extent that one zoom step leaves
const ASIDE = 0.15; // share of the extent that one arrow key moves

/** Keys of a chart, as screen readers announce them. */
const CHART_KEYS = "+ - 0 ArrowLeft ArrowRight ArrowUp ArrowDown";

/** @typedef {import("../numbers/types.js").Window} Window */

/**
 * @param {HTMLElement} host  takes the focus
 * @param {import("./chart.js").Chart} chart
 * @param {object} settings
 * @param {() => boolean} settings.zoomed  whether a part is shown now
 * @param {(window: Window | null) => void} settings.onWindow  null: everything
 */
export function attachKeys(host, chart, { zoomed, onWindow }) {
  let whole = /** @type {Window | null} */ (null);
  host.tabIndex = 0;
  host.setAttribute("aria-keyshortcuts", CHART_KEYS);
  host.addEventListener("keydown", (event) => {
    const rect = chart.panel();
    if (!rect || event.ctrlKey || event.metaKey || event.altKey) return;
    if (!zoomed()) whole = inNumbers(chart, rect);
    const part = stepped(rect, event.key);
    if (part === undefined) return;
    event.preventDefault();
    const wanted = part && inNumbers(chart, part);
    const inside = wanted && whole ? within(wanted, whole) : wanted;
    // At the edge a window stays as it is: moved further, it would shrink.
    if (inside && event.key.startsWith("Arrow") && inside !== wanted) return;
    onWindow(inside);
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
 * @param {{x: number, y: number, width: number, height: number}} part
 * @returns {import("../numbers/types.js").Window} */
function inNumbers(chart, { x, y, width, height }) {
  const [left, top] = chart.inNumbers([x, y]);
  const [right, bottom] = chart.inNumbers([x + width, y + height]);
  return { x: [left, right], y: [bottom, top] };
}
