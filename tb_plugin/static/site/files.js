// Stands in the place of page/server.js in a static copy of the tab. Each file of data is a script
// that hands over its content: a page opened from a disk may load scripts, and nothing else.

import { answerTo } from "./answers.js";

export const OPENING = "";

/** The global that the scripts of a copy know; the page makes it before any of them.
 * @type {{root: string, files: Record<string, any>}} */
const copy = /** @type {any} */ (globalThis).singleDirections;

const loading = /** @type {Map<string, Promise<any>>} */ (new Map());

/** The content of a data file, loaded once. @param {string} name  without its ending
 * @returns {Promise<any>} */
export function readFile(name) {
  if (Object.hasOwn(copy.files, name)) return Promise.resolve(copy.files[name]);
  const known = loading.get(name);
  if (known) return known;
  const loaded = new Promise((resolve, reject) => {
    const script = document.createElement("script");
    const fail = () => {
      loading.delete(name); // another try may succeed
      reject(new Error(`A file of this copy could not be read: data/${name}.js.`));
    };
    script.addEventListener("load", () => (Object.hasOwn(copy.files, name) ? resolve(copy.files[name]) : fail()));
    script.addEventListener("error", fail);
    script.addEventListener("load", () => script.remove());
    script.src = `${copy.root}data/${name}.js`;
    document.head.append(script);
  });
  loading.set(name, loaded);
  return loaded;
}

/** What the server would reply. @param {string} address @param {RequestInit} [settings]
 * @returns {Promise<Pick<Response, "json" | "arrayBuffer">>} */
export async function get(address, settings) {
  const answer = await answerTo(address, readFile, settings);
  return { json: async () => answer, arrayBuffer: async () => answer };
}
