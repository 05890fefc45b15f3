// One chart with its card, controls, loading and stale states, zoom, export, and its numbers as a
// table. Every view consists of chart frames.

import { LIGHT } from "../page/theme.js";
import { panelZoom, readZoom, writeZoom } from "../page/zoom.js";
import { Card } from "./card.js";
import { Chart } from "./chart.js";
import { attachDrag } from "./drag.js";
import { attachKeys } from "./keys.js";
import { Loader } from "./loader.js";
import { DENSITY, finished, pageAddress, pictureOf } from "./picture.js";

import { acrossOf } from "./small_multiples.js";

/**
 * @typedef {object} Context  what every view is given
 * @property {any} echarts
 * @property {(changes: Partial<import("../page/state.js").State>) => void} set
 * @property {import("./run_list.js").RunList} runList
 * @property {() => import("../page/model.js").Model} model  as last rendered; no view is there before
 * @property {<T>(theme: import("../page/theme.js").Theme, read: () => T) => T} inTheme  draws the open
 *     view in a theme, reads something of it, and draws it again as it was
 *
 * @typedef {object} FrameSettings
 * @property {string} name  of the zoom in the address and of downloads
 * @property {string} title
 * @property {"svg" | "canvas"} [renderer]
 * @property {() => import("./drag.js").DragMode} [dragMode]
 * @property {(outline: [number, number][], grid: number) => void} [onOutline]  drawn by box or lasso
 * @property {(grid: number) => number} [panelOf]  where panels have axes of their own, a number for
 *     the panel `grid` that stays the same whichever panels are shown; -1: all are zoomed alike
 * @property {() => void} [onFit]  another number of panels fits beside each other: they are to be
 *     drawn anew
 *
 * @typedef {object} Drawing
 * @property {any} option  for ECharts
 * @property {any} [still]  the option for export, without shortcuts for speed; `option` by default
 * @property {number} [height]  of the chart in pixels, if it is not the usual one
 * @property {number} [stillHeight]  for export; `height` by default
 * @property {(run: string) => any} [pointed]  the option in which a run stands out; null if it has no
 *     line here
 * @property {number} count  number of curves or points drawn
 * @property {string} subtitle
 * @property {string} [about]  the settings, where the subtitle does not say them: a picture holds them
 * @property {string[]} [remarks]
 * @property {import("../numbers/types.js").Column[]} columns
 * @property {any[]} rows
 */

export class ChartFrame {
  /** @param {Context} context @param {FrameSettings} settings */
  constructor(context, { name, title, renderer = "svg", dragMode, onOutline, panelOf = () => -1, onFit }) {
    this.context = context;
    this.name = name;
    this.panelOf = panelOf;
    this.panels = { count: 0, across: 1 };
    this.loader = new Loader();
    this.drawing = /** @type {Drawing | null} */ (null);
    this.card = new Card({
      title,
      fileName: name,
      onReset: () => this.zoomTo(null),
      onTable: () => this.toggleTable(),
    });
    this.element = this.card.element;
    this.controls = this.card.controls;
    this.details = this.card.details;
    this.card.chartHost.dataset.name = name;
    this.chart = new Chart(context.echarts, this.card.chartHost, renderer);
    attachDrag(this.card.chartHost, this.chart, {
      mode: dragMode ?? (() => "zoom"),
      onWindow: (window, grid) => this.zoomTo(window, grid),
      onOutline: onOutline ?? (() => {}),
    });
    attachKeys(this.card.chartHost, this.chart, {
      panels: () => this.zoomable(),
      onWindows: (windows) => this.zoomAll(windows),
    });
    if (onFit) new ResizeObserver(() => this.fit(onFit)).observe(this.element);
  }

  /** How many of so many panels stand beside each other in the present window. @param {number} count */
  acrossOf(count) {
    const across = acrossOf(count, this.width);
    this.panels = { count, across };
    return across;
  }

  /** Room for the chart in pixels, also while its numbers are shown in its place. */
  get width() {
    return this.chart.host.parentElement?.clientWidth ?? 0;
  }

  /** @param {() => void} onFit */
  fit(onFit) {
    const { count, across } = this.panels;
    if (!this.drawing || count < 2 || !this.width || acrossOf(count, this.width) === across) return;
    // Not at once: the chart gets another height, which the observer that calls would see.
    requestAnimationFrame(() => this.drawing && onFit());
  }

  /** The part zoomed to. @returns {import("../numbers/types.js").Window} */
  get zoom() {
    return this.zoomOf(-1);
  }

  /** The part of a panel with axes of its own that is zoomed to. @param {number} panel  -1: all alike
   * @returns {import("../numbers/types.js").Window} */
  zoomOf(panel) {
    return readZoom(this.context.model().state.zoom, this.zoomName(panel));
  }

  /** @param {number} panel */
  zoomName(panel) {
    return panel < 0 ? this.name : panelZoom(this.name, panel);
  }

  /** The panels that are zoomed by themselves; of those that are zoomed alike, the first. */
  zoomable() {
    const found = new Map();
    for (const grid of [this.chart.option?.grid ?? []].flat().keys()) {
      const panel = this.panelOf(grid);
      const name = this.zoomName(panel);
      const zoomed = Object.keys(this.zoomOf(panel)).length > 0;
      if (!found.has(name)) found.set(name, { grid, name, zoomed });
    }
    return [...found.values()];
  }

  /** @param {import("../numbers/types.js").Window | null} window  null: everything
   * @param {number} [grid]  the panel in which it was framed */
  zoomTo(window, grid = 0) {
    const panel = this.panelOf(grid);
    this.zoomAll(window && new Map([[this.zoomName(panel), { ...this.zoomOf(panel), ...window }]]));
  }

  /** @param {Map<string, import("../numbers/types.js").Window> | null} windows  by name; null: everything */
  zoomAll(windows) {
    let { zoom } = this.context.model().state;
    if (!windows) zoom = writeZoom(zoom, this.name, null);
    for (const [name, window] of windows ?? []) zoom = writeZoom(zoom, name, window);
    this.context.set({ zoom });
  }

  toggleTable() {
    const shown = this.context.model().state.tables;
    const others = shown.filter((name) => name !== this.name);
    this.context.set({ tables: others.length < shown.length ? others : [...others, this.name] });
  }

  /** Loads data unless they are already there, then draws; after a failure the user can retry.
   * @template T
   * @param {string} key  of the question
   * @param {() => Promise<T>} ask
   * @param {(answer: T) => void} onAnswer  keeps the answer
   * @param {() => void} draw */
  load(key, ask, onAnswer, draw) {
    const started = this.loader.load(
      key,
      ask,
      (answer) => {
        onAnswer(answer);
        this.card.busy.hidden = true;
        draw();
      },
      (error) => {
        this.card.busy.hidden = true;
        const retry = () => this.load(key, ask, onAnswer, draw);
        this.card.say(error.message, { label: "Retry", run: retry });
      },
    );
    if (started) this.card.busy.hidden = false;
    else if (this.card.busy.hidden) draw();
  }

  /** @param {Drawing} drawing */
  show(drawing) {
    const { state } = this.context.model();
    const { option, columns, rows } = drawing;
    this.drawing = drawing;
    this.card.remark(drawing.remarks ?? []);
    this.card.say(null);
    this.card.subtitle.textContent = drawing.subtitle;
    this.card.save = (type) => this.picture(type);
    this.card.fileName = [this.context.runList.folder, this.name].filter(Boolean).join("_");
    this.card.setData(columns, rows, state.tables.includes(this.name));
    this.chart.host.style.height = drawing.height ? `${drawing.height}px` : "";
    this.chart.draw(this.pointedOption() ?? option);
    this.card.chartHost.setAttribute("aria-label", option.aria?.label?.description ?? this.name);
    this.card.chartHost.dataset.drawn = String(drawing.count);
  }

  /** The option in which the run under the pointer in the list stands out, if it has a line here. */
  pointedOption() {
    const run = this.context.runList.pointed;
    return (run && this.drawing?.pointed?.(run)) || null;
  }

  /** The pointer, or the keyboard, came to another run of the list, or left it. */
  point() {
    if (!this.drawing) return;
    const option = this.pointedOption() ?? this.drawing.option;
    if (option !== this.chart.option) this.chart.draw(option);
  }

  /** The chart as it is to be printed: in the light theme, whatever the page has.
   * @param {"svg" | "png"} type @returns {Promise<Blob>} */
  async picture(type) {
    const [light, height] = this.context.inTheme(LIGHT, () => {
      const { option, still = option, height: own, stillHeight = own } = /** @type {Drawing} */ (this.drawing);
      return [{ ...still, backgroundColor: LIGHT.surface }, stillHeight];
    });
    const { option, ...size } = pictureOf(light, height);
    if (type === "png") return this.chart.png(option, size, DENSITY);
    const { heading, subtitle } = this.card;
    const words = [subtitle.textContent, this.drawing?.about, pageAddress()].filter(Boolean).join("\n");
    const svg = finished(this.chart.svg(option, size), heading.textContent ?? "", words);
    return new Blob([svg], { type: "image/svg+xml" });
  }

  /** A sentence in place of a chart; the chart of what was chosen before goes. A filter may be why
   * there is nothing to show, so it can be cleared there.
   * @param {string} text */
  say(text) {
    const { filter } = this.context.model().state;
    const clear = { label: "Clear the filter", run: () => this.context.set({ filter: "" }) };
    this.chart.clear();
    this.chart.host.style.height = "";
    this.drawing = null;
    delete this.card.chartHost.dataset.drawn;
    this.loader.forget();
    this.loader.turn++;
    this.card.busy.hidden = true;
    this.card.subtitle.textContent = "";
    this.card.setData([], [], false);
    this.card.say(text, filter ? clear : undefined);
  }
}
