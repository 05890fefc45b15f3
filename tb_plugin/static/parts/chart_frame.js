// One chart with its card, controls, loading and stale states, zoom, export, and its numbers as a
// table. Every view consists of chart frames.

import { LIGHT } from "../page/theme.js";
import { readZoom, writeZoom } from "../page/zoom.js";
import { Card } from "./card.js";
import { Chart } from "./chart.js";
import { attachDrag } from "./drag.js";
import { attachKeys } from "./keys.js";
import { Loader } from "./loader.js";
import { DENSITY, finished, pageAddress, pictureOf } from "./picture.js";

/**
 * @typedef {object} Context  what every view is given
 * @property {any} echarts
 * @property {(changes: Partial<import("../page/state.js").State>) => void} set
 * @property {import("./run_list.js").RunList} runList
 * @property {() => import("../page/model.js").Model | null} model  as last rendered
 * @property {<T>(theme: import("../page/theme.js").Theme, read: () => T) => T} inTheme  draws the open
 *     view in a theme, reads something of it, and draws it again as it was
 *
 * @typedef {object} FrameSettings
 * @property {string} name  of the zoom in the address and of downloads
 * @property {string} title
 * @property {"svg" | "canvas"} [renderer]
 * @property {() => import("./drag.js").DragMode} [dragMode]
 * @property {(outline: [number, number][]) => void} [onOutline]  drawn by box or lasso
 *
 * @typedef {object} Drawing
 * @property {any} option  for ECharts
 * @property {any} [still]  the option for export, without shortcuts for speed; `option` by default
 * @property {number} count  number of curves or points drawn
 * @property {string} subtitle
 * @property {string[]} [remarks]
 * @property {import("../numbers/types.js").Column[]} columns
 * @property {any[]} rows
 */

export class ChartFrame {
  /** @param {Context} context @param {FrameSettings} settings */
  constructor(context, { name, title, renderer = "svg", dragMode, onOutline }) {
    this.context = context;
    this.name = name;
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
      onWindow: (window) => this.zoomTo(window),
      onOutline: onOutline ?? (() => {}),
    });
    attachKeys(this.card.chartHost, this.chart, {
      zoomed: () => Object.keys(this.zoom).length > 0,
      onWindow: (window) => this.zoomTo(window),
    });
  }

  /** The part zoomed to. @returns {import("../numbers/types.js").Window} */
  get zoom() {
    const model = this.context.model();
    return model ? readZoom(model.state.zoom, this.name) : {};
  }

  /** @param {import("../numbers/types.js").Window | null} window  null: everything */
  zoomTo(window) {
    const model = this.context.model();
    if (!model) return;
    const merged = window && { ...this.zoom, ...window };
    this.context.set({ zoom: writeZoom(model.state.zoom, this.name, merged) });
  }

  toggleTable() {
    const shown = this.context.model()?.state.tables ?? [];
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
    const { state } = /** @type {import("../page/model.js").Model} */ (this.context.model());
    const { option, columns, rows } = drawing;
    this.drawing = drawing;
    this.card.remark(drawing.remarks ?? []);
    this.card.say(null);
    this.card.subtitle.textContent = drawing.subtitle;
    this.card.save = (type) => this.picture(type);
    this.card.fileName = [this.context.runList.folder, this.name].filter(Boolean).join("_");
    this.card.setData(columns, rows, state.tables.includes(this.name));
    this.chart.draw(option);
    this.card.chartHost.setAttribute("aria-label", option.aria?.label?.description ?? this.name);
    this.card.chartHost.dataset.drawn = String(drawing.count);
  }

  /** The chart as it is to be printed: in the light theme, whatever the page has.
   * @param {"svg" | "png"} type @returns {Promise<Blob>} */
  async picture(type) {
    const { host } = this.chart;
    // A chart of many panels has a height of its own.
    const height = host.style.height ? host.clientHeight : undefined;
    const light = this.context.inTheme(LIGHT, () => {
      const { option, still = option } = /** @type {Drawing} */ (this.drawing);
      return { ...still, backgroundColor: LIGHT.surface };
    });
    const { option, ...size } = pictureOf(light, height);
    if (type === "png") return this.chart.png(option, size, DENSITY);
    const { heading, subtitle } = this.card;
    const words = [subtitle.textContent, pageAddress()].filter(Boolean).join("\n");
    const svg = finished(this.chart.svg(option, size), heading.textContent ?? "", words);
    return new Blob([svg], { type: "image/svg+xml" });
  }

  /** A sentence in place of a chart; the chart of what was chosen before goes. A filter may be why
   * there is nothing to show, so it can be cleared there.
   * @param {string} text */
  say(text) {
    const { filter } = /** @type {import("../page/model.js").Model} */ (this.context.model()).state;
    const clear = { label: "Clear the filter", run: () => this.context.set({ filter: "" }) };
    this.chart.clear();
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
