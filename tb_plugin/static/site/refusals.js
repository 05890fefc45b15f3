// Errors with the server's codes and sentences. Pure.

/** @param {string} code @param {string} message */
export function refusal(code, message) {
  return Object.assign(new Error(message), { code });
}

/** @param {string} message  as TensorBoard's error begins */
export function invalid(message) {
  return refusal("invalid_argument", `Invalid argument: ${message}`);
}
