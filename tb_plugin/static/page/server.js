// Asks the plugin's server. Addresses are relative to the frame's <base>, so they hold under
// --path_prefix. A static copy of the tab has site/files.js in place of this module.

/** What a page that opens a network tells of the wait. */
export const OPENING = "The first model takes a while: TensorFlow is started for it.";

/** The server's reply; an error has its sentence and its code.
 * @param {string} address  of a route, such as "api/v1/index" @param {RequestInit} [settings]
 * @returns {Promise<Pick<Response, "json" | "arrayBuffer">>} */
export async function get(address, settings) {
  let reply;
  try {
    reply = await fetch(address, settings);
  } catch (error) {
    if (settings?.signal?.aborted) throw error; // aborted here
    throw new Error("TensorBoard does not answer. Is it still running?");
  }
  if (!reply.ok) throw await failure(reply);
  return reply;
}

/** An error with the server's own sentence, and its code. @param {Response} reply */
async function failure(reply) {
  try {
    const { code, message } = (await reply.json()).error;
    return Object.assign(new Error(message), { code });
  } catch {
    return new Error(`TensorBoard answered ${reply.status} ${reply.statusText}`);
  }
}
