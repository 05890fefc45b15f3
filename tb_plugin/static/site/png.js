// Small pictures as PNG, without a canvas. Pure.

const SIGNATURE = [137, 80, 78, 71, 13, 10, 26, 10];
const COLOUR_TYPE = { 1: 0, 3: 2 }; // grey, and red, green, blue
const MOST_STORED = 65535; // bytes of a block that is stored as it is

/** A picture in base64. @param {ArrayLike<number>} values  (height, width, channels), row by row;
 *     the smallest becomes black, the largest white
 * @param {number} height @param {number} width @param {1 | 3} channels */
export function pictureOf(values, height, width, channels) {
  let low = Infinity;
  let high = -Infinity;
  for (let i = 0; i < values.length; i++) {
    low = Math.min(low, values[i]);
    high = Math.max(high, values[i]);
  }
  const scale = high > low ? 255 / (high - low) : 0;
  const pixels = Array.from(values, (value) => Math.round((value - low) * scale));
  const line = width * channels;
  const lines = Array.from({ length: height }, (_, y) => [0, ...pixels.slice(y * line, (y + 1) * line)]);
  const head = [...word(width), ...word(height), 8, COLOUR_TYPE[channels], 0, 0, 0];
  const bytes = [...SIGNATURE, ...chunk("IHDR", head), ...chunk("IDAT", stored(lines.flat())), ...chunk("IEND", [])];
  return btoa(bytes.map((byte) => String.fromCharCode(byte)).join(""));
}

/** Bytes in the form of zlib, not compressed. @param {number[]} bytes */
function stored(bytes) {
  const blocks = [];
  for (let at = 0; at < bytes.length; at += MOST_STORED) {
    const part = bytes.slice(at, at + MOST_STORED);
    const last = at + MOST_STORED >= bytes.length ? 1 : 0;
    const size = [part.length & 255, part.length >> 8];
    blocks.push([last, ...size, size[0] ^ 255, size[1] ^ 255, ...part]);
  }
  return [0x78, 0x01, ...blocks.flat(), ...word(adler32(bytes))];
}

/** @param {string} kind @param {number[]} bytes */
function chunk(kind, bytes) {
  const body = [...Array.from(kind, (letter) => letter.charCodeAt(0)), ...bytes];
  return [...word(bytes.length), ...body, ...word(crc32(body))];
}

/** Four bytes, the highest first. @param {number} value */
function word(value) {
  return [24, 16, 8, 0].map((shift) => (value >>> shift) & 255);
}

/** @param {number[]} bytes */
function adler32(bytes) {
  let [a, b] = [1, 0];
  for (const byte of bytes) {
    a = (a + byte) % 65521;
    b = (b + a) % 65521;
  }
  return ((b << 16) | a) >>> 0;
}

/** @param {number[]} bytes */
function crc32(bytes) {
  let crc = -1;
  for (const byte of bytes) {
    crc ^= byte;
    for (let k = 0; k < 8; k++) crc = crc & 1 ? (crc >>> 1) ^ 0xedb88320 : crc >>> 1;
  }
  return ~crc >>> 0;
}
