// Numbers from text in base64. Pure.

/** @param {string} base64 */
export function bytesOf(base64) {
  return Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
}

/** @param {string} base64  of little-endian float32 */
export function floatsOf(base64) {
  return new Float32Array(bytesOf(base64).buffer);
}
