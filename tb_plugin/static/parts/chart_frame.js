// One chart with its card, controls, loading and stale states, zoom, export, and its numbers as a
// table. Every view consists of chart frames.

import { readZoom, writeZoom } from "../page/zoom.js";
import { Card } from "./card.js";
import { Chart } from "./chart.js";
import { attachDrag } from "./drag.js";
import { attachKeys } from "./keys.js";
import { Loader } from "./loader.js";

/**
 * @typedef {object} Context  what every view is given
 * @property {any} echarts
 * @property {(changes: Partial<import("../page/state.js").State>) => void} set
 * @property {import("./run_list.js").RunList} runList
 * @property {() => import("../page/model.js").Model | null} model  as last rendered
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
    const shown = this.context.model()?.state.table === "table";
    this.context.set({ table: shown ? "chart" : "table" });
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
    const { state, theme } = /** @type {import("../page/model.js").Model} */ (this.context.model());
    const { option, still = option, columns, rows } = drawing;
    this.drawing = drawing;
    this.card.remark(drawing.remarks ?? []);
    this.card.say(null);
    this.card.subtitle.textContent = drawing.subtitle;
    this.card.save = async (type) => {
      const picture = { ...still, backgroundColor: theme.surface };
      if (type === "png") return this.chart.png(picture);
      return new Blob([this.chart.svg(picture)], { type: "image/svg+xml" });
    };
    this.card.setData(columns, rows, state.table === "table");
    this.chart.draw(option);
    this.card.chartHost.setAttribute("aria-label", option.aria?.label?.description ?? this.name);
    this.card.chartHost.dataset.drawn = String(drawing.count);
  }

  /** A sentence in place of a chart; the chart of what was chosen before goes.
   * @param {string} text */
  say(text) {
    this.chart.clear();
    this.drawing = null;
    delete this.card.chartHost.dataset.drawn;
    this.loader.forget();
    this.loader.turn++;
    this.card.busy.hidden = true;
    this.card.subtitle.textContent = "";
    this.card.setData([], [], false);
    this.card.say(text);
  }
}
