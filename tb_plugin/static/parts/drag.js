// Dragging over a chart zooms into the framed part (as in TensorBoard's own charts), or outlines
// points with a box or a lasso. A double-click shows everything again.

const SHORTEST_DRAG = 5; // pixels; a shorter drag is a click
const ALONG_ONE_AXIS = 14; // pixels; a thinner zoom leaves the other axis unchanged
const LASSO_STEP = 6; // pixels between two corners of a lasso
const NEAR = 12; // pixels outside a panel at which a drag may begin: the highest points lie at its edge

/**
 * @typedef {"zoom" | "box" | "lasso"} DragMode
 * @typedef {[number, number]} Point
 */

/**
 * @param {HTMLElement} host
 * @param {import("./chart.js").Chart} chart
 * @param {object} settings
 * @param {() => DragMode} settings.mode
 * @param {(window: import("../numbers/types.js").Window | null, grid: number) => void} settings.onWindow
 *     null: everything; else of the panel `grid`
 * @param {(outline: Point[], grid: number) => void} settings.onOutline  in the panel's own numbers
 */
export function attachDrag(host, chart, { mode, onWindow, onOutline }) {
  const overlay = new Overlay(host);
  let path = /** @type {Point[]} */ ([]);
  let grid = 0; // the panel in which the drag began

  const position = (/** @type {PointerEvent} */ event) => {
    const box = host.getBoundingClientRect();
    return /** @type {Point} */ ([event.clientX - box.left, event.clientY - box.top]);
  };

  host.addEventListener("pointerdown", (event) => {
    const at = position(event);
    grid = chart.gridAt(at, NEAR);
    if (event.button === 0 && grid >= 0) path = [chart.intoPanel(at, grid)];
  });
  window.addEventListener("pointermove", (event) => {
    if (!path.length) return;
    path = extended(path, chart.intoPanel(position(event), grid), mode());
    overlay.show(outlineOf(path, mode()));
  });
  window.addEventListener("pointerup", (event) => {
    if (!path.length) return;
    const drawn = extended(path, chart.intoPanel(position(event), grid), mode());
    const [from, to] = [drawn[0], drawn[drawn.length - 1]];
    path = [];
    overlay.show([]);
    if (extent(drawn) < SHORTEST_DRAG) return;
    if (mode() === "zoom") onWindow(framed(chart, grid, from, to), grid);
    else onOutline(outlineOf(drawn, mode()).map((point) => chart.inNumbers(point, grid)), grid);
  });
  host.addEventListener("dblclick", () => onWindow(null, 0));
}

/** The path with one more place; for a box and a zoom only its first and its last place.
 * @param {Point[]} path @param {Point} at @param {DragMode} mode @returns {Point[]} */
function extended(path, at, mode) {
  if (mode !== "lasso") return [path[0], at];
  const last = path[path.length - 1];
  return Math.hypot(at[0] - last[0], at[1] - last[1]) < LASSO_STEP ? path : [...path, at];
}

/** Corners of the outline that is being drawn. @param {Point[]} path @param {DragMode} mode
 * @returns {Point[]} */
function outlineOf(path, mode) {
  if (mode === "lasso" || path.length < 2) return path;
  const [[x0, y0], [x1, y1]] = path;
  return [
    [x0, y0],
    [x1, y0],
    [x1, y1],
    [x0, y1],
  ];
}

/** @param {Point[]} path  the longest way from its start */
function extent(path) {
  return Math.max(...path.map(([x, y]) => Math.hypot(x - path[0][0], y - path[0][1])));
}

/** @param {import("./chart.js").Chart} chart @param {number} grid @param {Point} from
 * @param {Point} to @returns {import("../numbers/types.js").Window} */
function framed(chart, grid, from, to) {
  const [a, b] = [chart.inNumbers(from, grid), chart.inNumbers(to, grid)];
  const span = (/** @type {0 | 1} */ i) =>
    /** @type {Point} */ ([Math.min(a[i], b[i]), Math.max(a[i], b[i])]);
  if (Math.abs(to[1] - from[1]) < ALONG_ONE_AXIS) return { x: span(0) };
  if (Math.abs(to[0] - from[0]) < ALONG_ONE_AXIS) return { y: span(1) };
  return { x: span(0), y: span(1) };
}

/** The outline that is being drawn, above the chart. */
class Overlay {
  /** @param {HTMLElement} host */
  constructor(host) {
    this.host = host;
    this.svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    this.svg.setAttribute("class", "drag-overlay");
    this.svg.setAttribute("aria-hidden", "true");
    this.shape = document.createElementNS("http://www.w3.org/2000/svg", "polygon");
    this.svg.append(this.shape);
    this.svg.style.display = "none";
    host.parentElement?.append(this.svg);
  }

  /** @param {Point[]} outline */
  show(outline) {
    const visible = outline.length > 1;
    this.svg.style.display = visible ? "block" : "none";
    if (!visible) return;
    const { offsetLeft, offsetTop, clientWidth, clientHeight } = this.host;
    Object.assign(this.svg.style, {
      left: `${offsetLeft}px`,
      top: `${offsetTop}px`,
      width: `${clientWidth}px`,
      height: `${clientHeight}px`,
    });
    this.shape.setAttribute("points", outline.map((point) => point.join(",")).join(" "));
  }
}
