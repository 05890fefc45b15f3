// The plugin's routes; http_api.md has an example of each. Addresses are relative to the frame's
// <base>, so they hold under --path_prefix.

import { decodeTable } from "./transforms.js";

// Long enough for any chart, short enough for any server's limit on an address.
const SERIES_PER_REQUEST = 40;

/** @returns {Promise<import("./types.js").Index>} */
export async function fetchIndex() {
  return (await get("api/v1/index")).json();
}

/** Curves of several series, in their order; step -1 is the last.
 * @param {import("./types.js").Series[]} series @param {number} step
 * @returns {Promise<import("./types.js").Curve[]>} */
export async function fetchCurves(series, step) {
  const requests = [];
  for (let start = 0; start < series.length; start += SERIES_PER_REQUEST) {
    const query = new URLSearchParams();
    for (const { run, tag } of series.slice(start, start + SERIES_PER_REQUEST)) {
      query.append("run", run);
      query.append("tag", tag);
    }
    if (step >= 0) query.append("step", String(step));
    requests.push(get(`api/v1/curve?${query}`).then((reply) => reply.json()));
  }
  return (await Promise.all(requests)).flatMap((reply) => reply.curves);
}

/** @param {import("./types.js").Series} series
 * @returns {Promise<import("./types.js").TableHeader[]>} */
export async function fetchTableSteps({ run, tag }) {
  const query = new URLSearchParams({ run, tag });
  return (await (await get(`api/v1/units/steps?${query}`)).json()).steps;
}

/** Some columns of a table. @param {import("./types.js").Series} series
 * @param {import("./types.js").TableHeader} header @param {string[]} columns
 * @returns {Promise<import("./types.js").UnitTable>} */
export async function fetchTable({ run, tag }, header, columns) {
  const query = new URLSearchParams({ run, tag, step: String(header.step) });
  if (columns.length < header.columns.length)
    for (const name of columns) query.append("column", name);
  const reply = await get(`api/v1/units?${query}`);
  return decodeTable(await reply.arrayBuffer(), { ...header, columns });
}

/** All that is stored of one unit. @param {import("./types.js").Series} series
 * @param {number} step @param {number} row @returns {Promise<import("./types.js").Unit>} */
export async function fetchUnit({ run, tag }, step, row) {
  const query = new URLSearchParams({ run, tag, step: String(step), row: String(row) });
  return (await get(`api/v1/unit?${query}`)).json();
}

/** @param {import("./types.js").Series[]} series @param {string} column @param {number} step
 * @returns {Promise<import("./types.js").Distributions>} */
export async function fetchDistributions(series, column, step) {
  const query = new URLSearchParams({ column });
  for (const { run, tag } of series) {
    query.append("run", run);
    query.append("tag", tag);
  }
  if (step >= 0) query.append("step", String(step));
  return (await get(`api/v1/distributions?${query}`)).json();
}

/** @param {string[]} runs @returns {Promise<import("./types.js").Training[]>} */
export async function fetchTrainings(runs) {
  const requests = [];
  for (let start = 0; start < runs.length; start += SERIES_PER_REQUEST) {
    const query = new URLSearchParams();
    for (const run of runs.slice(start, start + SERIES_PER_REQUEST)) query.append("run", run);
    requests.push(get(`api/v1/training?${query}`).then((reply) => reply.json()));
  }
  return (await Promise.all(requests)).flatMap((reply) => reply.runs);
}

/** Which models the lab may open. @returns {Promise<import("./types.js").LabListing>} */
export async function fetchLabModels() {
  return (await get("api/v1/lab/models")).json();
}

// Tells this page from others that use the lab: of each, only the newest question waits.
const CLIENT = Array.from(crypto.getRandomValues(new Uint8Array(9)), (byte) =>
  byte.toString(36),
).join("");

/** A question to the lab's child process. @param {Record<string, any>} question
 * @returns {Promise<any>} */
export async function askLab(question) {
  const reply = await get("api/v1/lab/ask", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ client: CLIENT, ...question }),
  });
  return reply.json();
}

/** @param {string} address @param {RequestInit} [settings] */
async function get(address, settings) {
  let reply;
  try {
    reply = await fetch(address, settings);
  } catch {
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
