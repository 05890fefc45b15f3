// A chart as a picture for a paper: as wide as its text, on white, with letters of 8 points, and with
// its settings in the file.

const WIDTH_MM = 170; // of the text of an A4 page
/** Width at which a chart is laid out, in pixels: letters of 12 pixels have 8 points on paper. */
export const WIDTH = 720;
/** Pixels of a PNG for one pixel of the layout: 300 a inch. */
export const DENSITY = (WIDTH_MM / 25.4) * (300 / WIDTH);
const HEIGHT = 400;
const LEGEND_LINE = 22; // pixels
const LETTER = 7; // pixels, on average and rather more

/** The option for a picture and its height: a legend that the page turns over is written out.
 * @param {any} option  for ECharts @param {number} [height]  of a chart that has one of its own
 * @returns {{option: any, width: number, height: number}} */
export function pictureOf(option, height = HEIGHT) {
  const lines = option.legend ? legendLines(option.legend) : 1;
  const more = (lines - 1) * LEGEND_LINE;
  const lower = (/** @type {any} */ part) =>
    typeof part?.top === "number" && part.top > LEGEND_LINE ? { ...part, top: part.top + more } : part;
  const all = (/** @type {any} */ parts) => (Array.isArray(parts) ? parts.map(lower) : lower(parts));
  return {
    option: {
      ...option,
      legend: option.legend && { ...option.legend, type: "plain" },
      grid: all(option.grid),
      ...(option.title ? { title: all(option.title) } : {}),
    },
    width: WIDTH,
    height: height + more,
  };
}

/** How many lines a legend takes when all of it is written. @param {any} legend */
function legendLines(legend) {
  const { data = [], left = 0, right = 16, itemWidth = 25, itemGap = 10, formatter } = legend;
  const room = WIDTH - Number(left) - Number(right);
  let [lines, used] = [1, 0];
  for (const entry of data) {
    const name = typeof entry === "string" ? entry : entry.name;
    const text = typeof formatter === "function" ? String(formatter(name)) : name;
    const wide = itemWidth + 5 + text.length * LETTER + itemGap;
    if (used && used + wide > room) [lines, used] = [lines + 1, 0];
    used += wide;
  }
  return lines;
}

/** An SVG document of the width of a page, with title and description.
 * @param {string} svg  as ECharts writes it @param {string} title @param {string} description */
export function finished(svg, title, description) {
  const [, width, height] = /<svg width="([\d.]+)" height="([\d.]+)"/.exec(svg) ?? [];
  const mm = (/** @type {string} */ pixels) => `${((Number(pixels) * WIDTH_MM) / WIDTH).toFixed(2)}mm`;
  return svg.replace(
    /<svg width="[\d.]+" height="[\d.]+"([^>]*)>/,
    (_, rest) =>
      `<svg width="${mm(width)}" height="${mm(height)}"${rest}>` +
      `<title>${escaped(title)}</title><desc>${escaped(description)}</desc>`,
  );
}

/** @param {string} text  for XML; characters that XML forbids become a space */
function escaped(text) {
  return [...text]
    .map((c) => (c < " " && !"\t\n\r".includes(c) ? " " : (ENTITIES[c] ?? c)))
    .join("");
}

const ENTITIES = /** @type {Record<string, string>} */ ({ "&": "&amp;", "<": "&lt;", ">": "&gt;" });

/** The address of the page, with all that was chosen; "" where the page around may not be read. */
export function pageAddress() {
  try {
    return window.parent.location.href;
  } catch {
    return "";
  }
}
