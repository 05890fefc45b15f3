// Drag over a chart to zoom into what you framed, double-click to see all again: as in
// TensorBoard's own charts. A drag along one axis zooms that axis only.

import { el } from "./dom.js";

const SHORTEST_DRAG = 5; // pixels; below, it was a click
const ALONG_ONE_AXIS = 14; // pixels; a drag this thin leaves the other axis alone

/**
 * @param {HTMLElement} host
 * @param {import("./chart.js").Chart} chart
 * @param {(window: import("./types.js").Window | null) => void} onChange  null: everything
 */
export function attachZoom(host, chart, onChange) {
  const frame = el("div", { class: "zoom-frame", hidden: true });
  host.parentElement?.append(frame);
  let start = /** @type {[number, number] | null} */ (null);

  const position = (/** @type {PointerEvent} */ event) => {
    const box = host.getBoundingClientRect();
    return /** @type {[number, number]} */ ([event.clientX - box.left, event.clientY - box.top]);
  };

  host.addEventListener("pointerdown", (event) => {
    const at = position(event);
    if (event.button === 0 && chart.instance?.containPixel({ gridIndex: 0 }, at)) start = at;
  });
  window.addEventListener("pointermove", (event) => {
    if (!start) return;
    showFrame(frame, host, start, position(event));
  });
  window.addEventListener("pointerup", (event) => {
    if (!start) return;
    const [from, to] = [start, position(event)];
    start = null;
    frame.hidden = true;
    const window = framed(chart, from, to);
    if (window) onChange(window);
  });
  host.addEventListener("dblclick", () => onChange(null));
}

/** @param {HTMLElement} frame @param {HTMLElement} host
 * @param {[number, number]} from @param {[number, number]} to */
function showFrame(frame, host, from, to) {
  frame.hidden = Math.hypot(to[0] - from[0], to[1] - from[1]) < SHORTEST_DRAG;
  const left = Math.max(0, Math.min(from[0], to[0]));
  const top = Math.max(0, Math.min(from[1], to[1]));
  const right = Math.min(host.clientWidth, Math.max(from[0], to[0]));
  const bottom = Math.min(host.clientHeight, Math.max(from[1], to[1]));
  frame.style.left = `${host.offsetLeft + left}px`;
  frame.style.top = `${host.offsetTop + top}px`;
  frame.style.width = `${right - left}px`;
  frame.style.height = `${bottom - top}px`;
}

/** @param {import("./chart.js").Chart} chart
 * @param {[number, number]} from @param {[number, number]} to
 * @returns {import("./types.js").Window | null} */
function framed(chart, from, to) {
  const wide = Math.abs(to[0] - from[0]);
  const high = Math.abs(to[1] - from[1]);
  if (Math.hypot(wide, high) < SHORTEST_DRAG) return null;
  const a = chart.instance.convertFromPixel({ gridIndex: 0 }, from);
  const b = chart.instance.convertFromPixel({ gridIndex: 0 }, to);
  const span = (/** @type {0 | 1} */ i) =>
    /** @type {[number, number]} */ ([Math.min(a[i], b[i]), Math.max(a[i], b[i])]);
  if (high < ALONG_ONE_AXIS) return { x: span(0) };
  if (wide < ALONG_ONE_AXIS) return { y: span(1) };
  return { x: span(0), y: span(1) };
}
