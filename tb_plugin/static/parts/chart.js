// One chart on the page: it draws when there is room, follows the size of its box, and can be
// saved.

export class Chart {
  /** @param {any} echarts @param {HTMLElement} host @param {"svg" | "canvas"} renderer */
  constructor(echarts, host, renderer) {
    this.echarts = echarts;
    this.host = host;
    this.renderer = renderer;
    this.instance = /** @type {any} */ (null);
    this.option = /** @type {any} */ (null);
    this.drawn = false;
    this.listeners = /** @type {[string, (event: any) => void][]} */ ([]);
    new ResizeObserver(() => this.follow()).observe(host);
  }

  /** @param {string} type  an ECharts event @param {(event: any) => void} listener */
  on(type, listener) {
    this.listeners.push([type, listener]);
    this.instance?.on(type, listener);
  }

  /** @param {object} option */
  draw(option) {
    this.option = option;
    this.drawn = false;
    this.follow();
  }

  /** Shows nothing, until something is drawn again. */
  clear() {
    this.option = null;
    this.instance?.clear();
  }

  /** TensorBoard keeps the frame of a hidden tab at height 0; drawing then waits. */
  follow() {
    if (!this.option || !this.host.clientHeight || !this.host.clientWidth) return;
    if (!this.instance) {
      this.instance = this.echarts.init(this.host, null, { renderer: this.renderer });
      for (const [type, listener] of this.listeners) this.instance.on(type, listener);
    }
    const { clientWidth, clientHeight } = this.host;
    if (this.instance.getWidth() !== clientWidth || this.instance.getHeight() !== clientHeight) {
      this.instance.resize();
    }
    if (this.drawn) return;
    this.instance.setOption(this.option, { notMerge: true });
    this.drawn = true;
  }

  /** The panel under a place in pixels, or not farther from it than `margin`; -1 for none.
   * @param {[number, number]} at @param {number} [margin] */
  gridAt(at, margin = 0) {
    const distances = [this.option?.grid ?? []].flat().map((_, i) => {
      const [x, y] = this.intoPanel(at, i);
      return Math.hypot(x - at[0], y - at[1]);
    });
    const least = Math.min(...distances);
    return least <= margin ? distances.indexOf(least) : -1;
  }

  /** The place in a panel that is nearest to a place in pixels.
   * @param {[number, number]} at @param {number} grid @returns {[number, number]} */
  intoPanel([x, y], grid) {
    const box = this.panel(grid);
    if (!box) return [NaN, NaN];
    return [clamp(x, box.x, box.x + box.width), clamp(y, box.y, box.y + box.height)];
  }

  /** A place in pixels in the numbers of a panel's axes.
   * @param {[number, number]} at @param {number} [grid] @returns {[number, number]} */
  inNumbers(at, grid = 0) {
    return this.instance.convertFromPixel({ gridIndex: grid }, at);
  }

  /** The place of a panel, in pixels; null before anything is drawn.
   * @param {number} [number] @returns {{x: number, y: number, width: number, height: number} | null} */
  panel(number = 0) {
    const grid = this.instance?.getModel().getComponent("grid", number);
    return grid?.coordinateSystem.getRect() ?? null;
  }

  /** @param {object} option @param {{width: number, height: number}} size  in pixels
   * @returns {string} the chart as an SVG document */
  svg(option, size) {
    const instance = this.echarts.init(null, null, { renderer: "svg", ssr: true, ...size });
    instance.setOption(option);
    const text = instance.renderToSVGString();
    instance.dispose();
    return text;
  }

  /** @param {object} option @param {{width: number, height: number}} size
   * @param {number} density  pixels of the picture for one of the layout @returns {Promise<Blob>} */
  async png(option, size, density) {
    const box = document.createElement("div");
    const settings = { renderer: "canvas", devicePixelRatio: density, ...size };
    const instance = this.echarts.init(box, null, settings);
    instance.setOption(option);
    const canvas = instance.renderToCanvas({ pixelRatio: density });
    const blob = await new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
    instance.dispose();
    if (!blob) throw new Error("The browser could not make a PNG of this size.");
    return blob;
  }
}

/** @param {number} value @param {number} low @param {number} high */
function clamp(value, low, high) {
  return Math.min(high, Math.max(low, value));
}
