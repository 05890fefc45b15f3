// Stands in the place of page/host.js in a static copy of the tab: there is no TensorBoard around the
// page, the address is the page's own, and the theme is the system's.

/** The choices with which this page opens, if its address makes none.
 * @type {{start: Record<string, string>}} */
const copy = /** @type {any} */ (globalThis).singleDirections;

/** Nobody reloads the data of a copy, and its runs are those of its index. */
export class Host {
  /** @param {string} _type @param {() => void} _listener */
  on(_type, _listener) {}

  /** @returns {Promise<string[] | null>} */
  async runs() {
    return null;
  }
}

/** The part of the address after "#", as "key=value&...". A value stays percent-encoded. */
function choices() {
  const parts = window.location.hash.slice(1).split("&").filter(Boolean);
  return new Map(
    parts.map((part) => {
      const at = part.indexOf("=");
      return at < 0 ? [part, ""] : [part.slice(0, at), part.slice(at + 1)];
    }),
  );
}

/** @param {string} key @returns {string | null} */
export function readAddress(key) {
  return choices().get(key) ?? copy.start[key] ?? null;
}

/** @param {string} key @param {string} value
 * @param {boolean} [comesBack]  whether the browser's Back leads to the former value */
export function writeAddress(key, value, comesBack = false) {
  const all = choices();
  // A default need not be written, unless the page opens with another choice.
  if (value === "" && !(key in copy.start)) all.delete(key);
  else all.set(key, value);
  const hash = `#${[...all].map(([name, text]) => `${name}=${text}`).join("&")}`;
  if (hash === (window.location.hash || "#")) return;
  if (comesBack) window.history.pushState(null, "", hash);
  else window.history.replaceState(null, "", hash);
}

/** @param {() => void} listener  called when the user edits the address or goes back */
export function onAddressChange(listener) {
  window.addEventListener("hashchange", listener);
}

/** @returns {boolean} */
export function isDark() {
  const asked = new URLSearchParams(window.location.search).get("theme");
  return asked ? asked === "dark" : window.matchMedia("(prefers-color-scheme: dark)").matches;
}

/** @param {() => void} listener  called when the theme may have changed */
export function onThemeChange(listener) {
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", listener);
}

/** The storage that lasts until this window is closed. @returns {Storage | null} */
export function windowStorage() {
  try {
    return window.sessionStorage;
  } catch {
    return null; // storage is not allowed here
  }
}
