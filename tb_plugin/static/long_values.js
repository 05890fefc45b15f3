// Choices that are too long for the address: it gets a mark in their place, and this window keeps
// what the mark stands for, so that Back, another view and a reload lose nothing. In a link that
// goes to somebody else they are missing, which is said.

// Browsers and servers take longer addresses, people do not; TensorBoard's own state is there too.
const LONGEST_VALUE = 2000;
// No percent-encoded text has this letter.
const MARK = "@";

export class LongValues {
  /** @param {Pick<Storage, "getItem" | "setItem"> | null} storage  outlives a reload, if there is one */
  constructor(storage) {
    this.storage = storage;
    this.known = /** @type {Map<string, string>} */ (new Map());
  }

  /** What goes into the address for a text: itself, or the mark of a long one.
   * @param {string} text  percent-encoded */
  put(text) {
    if (text.length <= LONGEST_VALUE) return text;
    const mark = `${MARK}${text.length}.${hash(text)}`;
    this.known.set(mark, text);
    try {
      this.storage?.setItem(STORED + mark, text);
    } catch {
      // Full, or not allowed: it is known until the page is loaded anew.
    }
    return mark;
  }

  /** The text behind what is in the address; null for a mark that another window made.
   * @param {string | null} text */
  get(text) {
    if (!text?.startsWith(MARK)) return text;
    return this.known.get(text) ?? this.stored(text);
  }

  /** @param {string} mark */
  stored(mark) {
    try {
      return this.storage?.getItem(STORED + mark) ?? null;
    } catch {
      return null;
    }
  }
}

const STORED = "single_directions.long.";

/** Whether this stands in the address for something longer. @param {string | null} text */
export function isMark(text) {
  return Boolean(text?.startsWith(MARK));
}

/** Fowler, Noll and Vo's hash (FNV-1a), 32 bits: enough to tell one window's choices apart.
 * @param {string} text */
function hash(text) {
  let sum = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) sum = Math.imul(sum ^ text.charCodeAt(i), 0x01000193);
  return (sum >>> 0).toString(16);
}
