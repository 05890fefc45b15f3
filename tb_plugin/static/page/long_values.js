// Choices that are too long for the address. The address gets a mark in their place, and this
// window stores the choice behind the mark, so that Back, another view and a reload lose nothing. A
// link for somebody else lacks these choices, and the page tells so.

// Longest text in the address: browsers and servers would accept more, but people read links, and
// TensorBoard's own state is in the address too.
const LONGEST_VALUE = 2000;
// No percent-encoded text contains this character.
const MARK = "@";

export class LongValues {
  /** @param {Pick<Storage, "getItem" | "setItem"> | null} storage  outlives a reload, if there is one */
  constructor(storage) {
    this.storage = storage;
    this.known = /** @type {Map<string, string>} */ (new Map());
  }

  /** The address's form of a text: the text itself, or a mark if it is long.
   * @param {string} text  percent-encoded */
  put(text) {
    if (text.length <= LONGEST_VALUE) return text;
    const mark = `${MARK}${text.length}.${hash(text)}`;
    this.known.set(mark, text);
    try {
      this.storage?.setItem(STORED + mark, text);
    } catch {
      // The storage is full or not allowed: the text is known until the page is reloaded.
    }
    return mark;
  }

  /** The text behind the address's form; null for a mark of another window.
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

/** Whether a text in the address is a mark. @param {string | null} text */
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
