// Deleted units as text for the address: ranges of indices, or bits. Pure.

// Deleted units of a layer are written as ranges up to this length of the text, and as bits above
// it.
const LONGEST_RANGES = 60;
const BITS = "~";

/** Deleted units as text: ranges of indices, layers by number, "0:3-5,9"; for many ranges the
 * layer's units as bits, "0:~8AE".
 * @param {boolean[][]} deleted  per layer, per unit */
export function writeLesions(deleted) {
  const parts = deleted.map((units, layer) => {
    const ranges = [];
    for (let i = 0; i < units.length; i++) {
      if (!units[i]) continue;
      const start = i;
      while (units[i + 1]) i++;
      ranges.push(start === i ? `${i}` : `${start}-${i}`);
    }
    const text = ranges.join(",");
    if (!text) return "";
    const bits = text.length > LONGEST_RANGES ? writeBits(units) : "";
    return `${layer}:${bits && bits.length < text.length ? bits : text}`;
  });
  return parts.filter(Boolean).join(";");
}

/** The units that a text of `lesions` names, as far as they exist.
 * @param {string} text @param {number[]} sizes  units of each layer
 * @returns {boolean[][]} */
export function readLesions(text, sizes) {
  const deleted = sizes.map((size) => new Array(size).fill(false));
  for (const part of text.split(";")) {
    const [layer, ranges = ""] = part.split(":");
    const units = deleted[Number(layer)];
    if (layer === "" || !units) continue;
    if (ranges.startsWith(BITS)) {
      readBits(ranges, units);
      continue;
    }
    for (const range of ranges.split(",")) {
      const [from, to = from] = range.split("-");
      if (!/^\d+$/.test(from) || !/^\d+$/.test(to)) continue;
      for (let i = Number(from); i <= Number(to) && i < units.length; i++) units[i] = true;
    }
  }
  return deleted;
}

/** One bit for each unit, the first unit in the lowest bit of the first byte; base64 for URLs (RFC
 * 4648).
 * @param {boolean[]} units */
function writeBits(units) {
  const bytes = new Uint8Array(Math.ceil((units.lastIndexOf(true) + 1) / 8));
  units.forEach((gone, i) => gone && (bytes[i >> 3] |= 1 << (i & 7)));
  const text = btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""));
  return BITS + text.replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

/** @param {string} text @param {boolean[]} units  set where the text has a bit */
function readBits(text, units) {
  let bytes;
  try {
    bytes = atob(text.slice(BITS.length).replaceAll("-", "+").replaceAll("_", "/"));
  } catch {
    return; // the text is cut off or invalid
  }
  for (let i = 0; i < units.length && i >> 3 < bytes.length; i++)
    if ((bytes.charCodeAt(i >> 3) >> (i & 7)) & 1) units[i] = true;
}

/** Whether a text names units that a network of these layers does not have, so that it was written
 * for another one. @param {string} text @param {number[]} sizes */
export function isOfAnother(text, sizes) {
  return text.split(";").some((part) => {
    const [layer, ranges = ""] = part.split(":");
    if (!layer) return false;
    const size = sizes[Number(layer)] ?? 0;
    if (ranges.startsWith(BITS)) return Math.floor((ranges.length - BITS.length) * 0.75) > Math.ceil(size / 8);
    return ranges.split(/[,-]/).some((unit) => Number(unit) >= size);
  });
}
