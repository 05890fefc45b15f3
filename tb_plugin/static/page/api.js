// The plugin's routes; http_api.md has an example of each.

import { described } from "../numbers/facts.js";
import { span } from "../numbers/geometry.js";
import { decodeTable } from "../numbers/unit_table.js";
import { get } from "./server.js";

// Long enough for any chart, short enough for any server's limit on an address.
const SERIES_PER_REQUEST = 40;

/** @returns {Promise<import("../numbers/types.js").Index>} */
export async function fetchIndex() {
  const index = await (await get("api/v1/index")).json();
  return { ...index, series: described(index.series) };
}

/** Curves of several series, in their order; step -1 is the last.
 * @param {import("../numbers/types.js").Series[]} series @param {number} step
 * @returns {Promise<import("../numbers/types.js").Curve[]>} */
export async function fetchCurves(series, step) {
  const requests = parts(series).map(async (part) => {
    const query = pairs(part);
    if (step >= 0) query.append("step", String(step));
    return (await get(`api/v1/curve?${query}`)).json();
  });
  return (await Promise.all(requests)).flatMap((reply) => reply.curves);
}

/** @param {import("../numbers/types.js").Series} series
 * @returns {Promise<import("../numbers/types.js").TableHeader[]>} */
export async function fetchTableSteps({ run, tag }) {
  const query = new URLSearchParams({ run, tag });
  return (await (await get(`api/v1/units/steps?${query}`)).json()).steps;
}

/** Some columns of a table. @param {import("../numbers/types.js").Series} series
 * @param {import("../numbers/types.js").TableHeader} header @param {string[]} columns
 * @returns {Promise<import("../numbers/types.js").UnitTable>} */
export async function fetchTable({ run, tag }, header, columns) {
  const query = new URLSearchParams({ run, tag, step: String(header.step) });
  if (columns.length < header.columns.length)
    for (const name of columns) query.append("column", name);
  const reply = await get(`api/v1/units?${query}`);
  return decodeTable(await reply.arrayBuffer(), { ...header, columns });
}

/** All stored values of one unit. @param {import("../numbers/types.js").Series} series
 * @param {number} step @param {number} row
 * @returns {Promise<import("../numbers/types.js").Unit>} */
export async function fetchUnit({ run, tag }, step, row) {
  const query = new URLSearchParams({ run, tag, step: String(step), row: String(row) });
  return (await get(`api/v1/unit?${query}`)).json();
}

/** @param {import("../numbers/types.js").Series[]} series @param {string} column
 * @param {number} step
 * @returns {Promise<import("../numbers/types.js").Distributions>} */
export async function fetchDistributions(series, column, step) {
  const asked = (/** @type {number[]} */ edges) =>
    Promise.all(
      parts(series).map(async (part) => {
        const query = pairs(part);
        query.append("column", column);
        if (edges.length) {
          query.append("low", String(edges[0]));
          query.append("high", String(edges[edges.length - 1]));
        }
        if (step >= 0) query.append("step", String(step));
        return (await get(`api/v1/distributions?${query}`)).json();
      }),
    );
  let found = await asked([]);
  const ends = found.filter(someRead).map((one) => span(one.edges));
  const all = span(ends.flat());
  // Histograms of several requests can be compared only if they have the same bins.
  if (ends.some(([low, high]) => low !== all[0] || high !== all[1])) found = await asked(all);
  const { edges } = found.find(someRead) ?? found[0];
  return { edges, tables: found.flatMap((one) => one.tables) };
}

/** @param {import("../numbers/types.js").Distributions} answer */
function someRead({ tables }) {
  return tables.some((table) => !table.error);
}

/** @template T @param {T[]} series @returns {T[][]} */
function parts(series) {
  const count = Math.ceil(series.length / SERIES_PER_REQUEST);
  return Array.from({ length: count }, (_, i) =>
    series.slice(i * SERIES_PER_REQUEST, (i + 1) * SERIES_PER_REQUEST),
  );
}

/** @param {import("../numbers/types.js").Series[]} series */
function pairs(series) {
  const query = new URLSearchParams();
  for (const { run, tag } of series) {
    query.append("run", run);
    query.append("tag", tag);
  }
  return query;
}

/** @param {string[]} runs @returns {Promise<import("../numbers/types.js").Training[]>} */
export async function fetchTrainings(runs) {
  const requests = parts(runs).map(async (part) => {
    const query = new URLSearchParams(part.map((run) => ["run", run]));
    return (await get(`api/v1/training?${query}`)).json();
  });
  return (await Promise.all(requests)).flatMap((reply) => reply.runs);
}

/** Which models the lab may open. @returns {Promise<import("../numbers/types.js").LabListing>} */
export async function fetchLabModels() {
  return (await get("api/v1/lab/models")).json();
}

// Name of this page as a client of the lab: only the newest question of a client waits.
const CLIENT = Array.from(crypto.getRandomValues(new Uint8Array(9)), (byte) =>
  byte.toString(36),
).join("");

/** A client of the lab: its newer question ends its older one.
 * Several clients of a page, such as panels beside each other, wait for each other. */
export class LabClient {
  /** @param {string} [part]  part of the page; clients of one name share their turn */
  constructor(part = "") {
    this.client = CLIENT + part;
    this.model = "";
    this.asked = new AbortController();
  }

  /** @param {Record<string, any> & {model: string}} question @returns {Promise<any>} */
  async ask(question) {
    this.asked.abort(); // the older answer would be dropped
    this.asked = new AbortController();
    this.model = question.model;
    return this.send(question, this.asked.signal);
  }

  /** Ends the work on the last question, at whatever point it is. */
  cancel() {
    this.asked.abort();
    // Nobody waits for this answer, and a lab that is gone does no work.
    if (this.model) this.send({ do: "cancel", model: this.model }).catch(() => {});
  }

  /** @param {Record<string, any>} question @param {AbortSignal} [signal] */
  async send(question, signal) {
    const reply = await get("api/v1/lab/ask", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ client: this.client, ...question }),
      signal,
    });
    return reply.json();
  }
}
