// Answers the plugin's routes from the files of a static copy, as the server would: see http_api.md.
// Pure.

import { histogramCounts, linspace } from "./binning.js";
import { bytesOf, floatsOf } from "./bytes.js";
import { BrowserLab } from "./lab.js";
import { invalid, refusal } from "./refusals.js";

/**
 * @typedef {(name: string) => Promise<any>} Read  the content of a file of the copy
 *
 * @typedef {object} Contents  the file "index"
 * @property {import("../numbers/types.js").Index} index
 * @property {[string, string, string][]} files  run, tag and folder of each series
 * @property {[string, string][]} trainings  run and file
 * @property {{listing: import("../numbers/types.js").LabListing, files: Record<string, string>}} lab
 */

const LARGEST_STEP = 2n ** 63n - 1n;
const DEFAULT_BINS = 40;
const MOST_BINS = 500;
const NOT_MEASURED = "this quantity was not measured";
const NO_CURVE = "no curve of this run and tag";
const NO_TABLE = "no unit table of this run and tag";

/** The answer to an address: an object for JSON, or the bytes of a unit table.
 * @param {string} address  "api/v1/curve?run=a&tag=b" @param {Read} read
 * @param {RequestInit} [settings]  of a question to the lab
 * @returns {Promise<any>} */
export async function answerTo(address, read, settings) {
  const [route, query = ""] = address.split("?");
  const answer = ROUTES[route];
  if (!answer) throw refusal("not_found", "This copy of the tab has no such route.");
  return answer(new URLSearchParams(query), read, settings);
}

/** @type {Record<string, (asked: URLSearchParams, read: Read, settings?: RequestInit) => Promise<any>>} */
const ROUTES = {
  "api/v1/index": async (_, read) => (await read("index")).index,
  "api/v1/curve": curves,
  "api/v1/units/steps": async (asked, read) => ({ steps: (await tableSteps(asked, read)).steps }),
  "api/v1/units": tableBytes,
  "api/v1/unit": unit,
  "api/v1/distributions": distributions,
  "api/v1/training": trainings,
  "api/v1/lab/models": async (_, read) => (await read("index")).lab.listing,
  "api/v1/lab/ask": ask,
};

// ------------------------------------------------------------------------------- curves, training

/** @param {URLSearchParams} asked @param {Read} read */
async function curves(asked, read) {
  const step = asked.has("step") ? whole(asked, "step") : null;
  const wanted = pairs(asked);
  const folders = await foldersOf(wanted, "curves", read);
  if (folders.every((folder) => !folder)) throw refusal("not_found", NO_CURVE);
  const found = wanted.map(async ([run, tag], i) => {
    if (!folders[i]) return { run, tag, error: NO_CURVE };
    const { steps, at } = await read(`${folders[i]}/curve`);
    return { run, tag, ...at[placeOf(steps, step)] };
  });
  return { curves: await Promise.all(found) };
}

/** @param {URLSearchParams} asked @param {Read} read */
async function trainings(asked, read) {
  const runs = asked.getAll("run");
  if (!runs.length || runs.includes(""))
    throw invalid("one run= or more are needed");
  const files = new Map(/** @type {Contents} */ (await read("index")).trainings);
  const found = [...new Set(runs)].map(async (run) => {
    const file = files.get(run);
    return file ? read(file) : { run, scalars: {}, curves: [] };
  });
  return { runs: await Promise.all(found) };
}

// ------------------------------------------------------------------------------- unit tables

/** @param {URLSearchParams} asked @param {Read} read */
async function tableSteps(asked, read) {
  const [folder] = await foldersOf([runAndTag(asked)], "units", read);
  if (!folder) throw refusal("not_found", NO_TABLE);
  return { folder, steps: await read(`${folder}/steps`) };
}

/** Header and file of the table at exactly the step asked for.
 * @param {URLSearchParams} asked @param {Read} read */
async function tableAt(asked, read) {
  runAndTag(asked); // what the server looks at first is complained of first
  const step = whole(asked, "step");
  const { folder, steps } = await tableSteps(asked, read);
  const header = steps.find((/** @type {any} */ one) => one.step === step);
  if (!header) throw refusal("not_found", `no unit table at step ${step}`);
  if (header.error) throw refusal("unreadable_data", header.error);
  const file = `${folder}/${step}`;
  const table = await read(`${file}/table`);
  if (table.error) throw refusal("unreadable_data", table.error);
  return { header, file, table };
}

/** @param {URLSearchParams} asked @param {Read} read @returns {Promise<ArrayBuffer>} */
async function tableBytes(asked, read) {
  const { header, file, table } = await tableAt(asked, read);
  const names = asked.getAll("column");
  const wanted = names.length ? names : header.columns;
  const unknown = wanted.find((/** @type {string} */ name) => !header.columns.includes(name));
  if (unknown !== undefined)
    throw refusal("not_found", `the unit table has no column '${unknown.slice(0, 40)}'`);
  const inMain = wanted.every((/** @type {string} */ name) => Object.hasOwn(table.columns, name));
  const more = inMain ? {} : (await read(`${file}/classes`)).columns;
  const all = new Uint8Array(4 * header.n * wanted.length);
  wanted.forEach((/** @type {string} */ name, /** @type {number} */ i) =>
    all.set(bytesOf(Object.hasOwn(table.columns, name) ? table.columns[name] : more[name]), 4 * header.n * i),
  );
  return all.buffer;
}

/** @param {URLSearchParams} asked @param {Read} read */
async function unit(asked, read) {
  runAndTag(asked);
  whole(asked, "step");
  const row = whole(asked, "row");
  const { header, file, table } = await tableAt(asked, read);
  if (row >= header.n) throw refusal("not_found", `the unit table has ${header.n} rows`);
  const size = table.unitsPerFile;
  const { names, others, units } = await read(`${file}/units-${Math.floor(row / size)}`);
  const [layer, number, values, ...more] = units[row % size];
  return {
    row,
    layer: header.layers[layer],
    unit: number,
    values: Object.fromEntries(
      names.map((/** @type {string} */ name, /** @type {number} */ i) => [
        name,
        { value: values[2 * i], below: values[2 * i + 1] },
      ]),
    ),
    classes: header.classes,
    ...Object.fromEntries(others.map((/** @type {string} */ key, /** @type {number} */ i) => [key, more[i]])),
  };
}

/** @param {URLSearchParams} asked @param {Read} read */
async function distributions(asked, read) {
  const column = asked.get("column") ?? "";
  const bins = asked.has("bins") ? whole(asked, "bins") : DEFAULT_BINS;
  if (!column || bins < 1 || bins > MOST_BINS)
    throw invalid(`column= is needed, and bins= of 1 to ${MOST_BINS}`);
  const wanted = pairs(asked);
  const step = asked.has("step") ? whole(asked, "step") : null;
  const limits = extent(asked);
  const folders = await foldersOf(wanted, "units", read);
  const found = await Promise.all(
    wanted.map(([run, tag], i) => spread(run, tag, folders[i], column, step, read)),
  );
  const readable = found.filter((one) => "values" in one);
  const edges = edgesOf(column, [...readable.map((one) => one.values), limits ?? []], bins);
  const counted = readable.map(({ values, layer, layers, ...facts }) => ({
    ...facts,
    layers: layers.map((/** @type {any} */ one, /** @type {number} */ number) => {
      const { layer: name, n, ...rest } = one;
      if (!n) return { layer: name, n };
      const own = values.filter((/** @type {number} */ _, /** @type {number} */ i) => layer[i] === number);
      return { layer: name, n, counts: histogramCounts(own, edges), ...rest };
    }),
  }));
  return { edges, tables: [...counted, ...found.filter((one) => !("values" in one))] };
}

/** Values of one quantity in one table, with what does not depend on other tables.
 * @param {string} run @param {string} tag @param {string} folder @param {string} column
 * @param {number | null} step @param {Read} read @returns {Promise<any>} */
async function spread(run, tag, folder, column, step, read) {
  if (!folder)
    return { run, tag, error: "TensorBoard could not read the numbers of this series" };
  const headers = await read(`${folder}/steps`);
  const steps = headers.map((/** @type {any} */ header) => header.step);
  const header = headers[placeOf(steps, step)];
  if (header.error) return { run, tag, error: header.error };
  const file = `${folder}/${header.step}`;
  const table = await read(`${file}/table`);
  if (table.error) return { run, tag, error: table.error };
  if (!header.columns.includes(column)) return { run, tag, error: NOT_MEASURED };
  const inMain = Object.hasOwn(table.columns, column);
  const { columns, layers } = inMain ? table : await read(`${file}/classes`);
  const layer = floatsOf(table.columns.layer);
  return { run, tag, steps, step: header.step, values: floatsOf(columns[column]), layer, layers: layers[column] };
}

/** @param {string} column @param {ArrayLike<number>[]} parts @param {number} bins */
function edgesOf(column, parts, bins) {
  if (column === "class_selectivity") return linspace(0, 1, bins);
  let low = Infinity;
  let high = -Infinity;
  for (const part of parts)
    for (let i = 0; i < part.length; i++) {
      if (!Number.isFinite(part[i])) continue;
      low = Math.min(low, part[i]);
      high = Math.max(high, part[i]);
    }
  if (low === Infinity) [low, high] = [0, 1];
  if (!(low < high)) [low, high] = [low - 0.5, high + 0.5];
  return linspace(low, high, bins);
}

// ------------------------------------------------------------------------------- the lab

const labs = /** @type {WeakMap<Read, BrowserLab>} */ (new WeakMap());

/** @param {URLSearchParams} _ @param {Read} read @param {RequestInit} [settings] */
async function ask(_, read, settings) {
  const { lab } = /** @type {Contents} */ (await read("index"));
  if (!labs.has(read)) labs.set(read, new BrowserLab(read, lab.files));
  const answer = await labs.get(read)?.ask(JSON.parse(String(settings?.body)), settings?.signal);
  settings?.signal?.throwIfAborted(); // a newer question took the place
  return answer;
}

// ------------------------------------------------------------------------------- arguments

/** The folders of series, "" for those that are not there or of another kind.
 * @param {[string, string][]} wanted @param {"curves" | "units"} kind @param {Read} read */
async function foldersOf(wanted, kind, read) {
  const { files } = /** @type {Contents} */ (await read("index"));
  const known = new Map(files.map(([run, tag, folder]) => [JSON.stringify([run, tag]), folder]));
  return wanted.map((pair) => {
    const folder = known.get(JSON.stringify(pair)) ?? "";
    return folder.startsWith(`${kind}/`) ? folder : "";
  });
}

/** @param {URLSearchParams} asked @returns {[string, string]} */
function runAndTag(asked) {
  const run = asked.get("run");
  const tag = asked.get("tag");
  if (!run || !tag) throw invalid("both run= and tag= are needed");
  return [run, tag];
}

/** @param {URLSearchParams} asked @returns {[string, string][]} */
function pairs(asked) {
  const runs = asked.getAll("run");
  const tags = asked.getAll("tag");
  if (!runs.length || runs.length !== tags.length || [...runs, ...tags].includes(""))
    throw invalid(
      `as many tag= as run= are needed, in pairs: got ${runs.length} run, ${tags.length} tag`,
    );
  return runs.map((run, i) => [run, tags[i]]);
}

/** @param {URLSearchParams} asked @param {string} name */
function whole(asked, name) {
  const text = asked.get(name) ?? "";
  if (!/^\d{1,19}$/.test(text) || BigInt(text) > LARGEST_STEP)
    throw invalid(`${name}= must be a whole number, at least 0`);
  return Number(text);
}

/** @param {URLSearchParams} asked @returns {[number, number] | null} */
function extent(asked) {
  if (!asked.has("low") && !asked.has("high")) return null;
  const [low, high] = [asked.get("low"), asked.get("high")].map((text) => (text ? Number(text) : NaN));
  if (!(Number.isFinite(low) && Number.isFinite(high) && low <= high))
    throw invalid("low= and high= must be two numbers, in this order");
  return [low, high];
}

/** Place of the latest step not after the one asked for (null: the last); the first if all are.
 * @param {number[]} steps @param {number | null} step */
function placeOf(steps, step) {
  const earlier = steps.filter((one) => step === null || one <= step);
  return Math.max(0, earlier.length - 1);
}
