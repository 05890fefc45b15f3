// Groups runs by their folder: one figure or experiment at a time. Pure.

import { naturalOrder } from "./labels.js";
import { matcher } from "./runs.js";

/** Value of the state's `group` that stands for all runs. */
export const EVERY_RUN = "*";

// So many runs can be told apart in one chart.
const FEW = 12;
// Matches the paper's figures, which come before other groups.
const FIGURE = /(^|\/)fig/i;

/**
 * @typedef {object} Grouping
 * @property {{name: string, size: number}[]} groups  empty if folders do not group the runs
 * @property {string} chosen  a group, or EVERY_RUN
 */

/** The folder of a run: "fig1a" of "fig1a/seed=0", "." if it lies in none. @param {string} run */
export function folderOf(run) {
  return run.slice(0, Math.max(0, run.lastIndexOf("/"))) || ".";
}

/** The groups of runs, and the chosen group: the requested one; else every run if few match the
 * filter; else the group of the inspected run, the group that is preferred most, or the first group.
 * @param {string[]} runs
 * @param {{group: string, filter: string, unitRun: string}} state
 * @param {(run: string) => number} [rank]  how well a run suits the view, 0 for best, Infinity for
 *     not at all
 * @returns {Grouping} */
export function groupRuns(runs, { group, filter, unitRun }, rank = () => Infinity) {
  const sizes = new Map();
  for (const run of new Set(runs)) sizes.set(folderOf(run), (sizes.get(folderOf(run)) ?? 0) + 1);
  if (sizes.size < 2 || sizes.size === new Set(runs).size) return { groups: [], chosen: EVERY_RUN };
  const names = inOrder([...sizes.keys()]);
  const groups = names.map((name) => ({ name, size: sizes.get(name) }));
  if (group === EVERY_RUN || sizes.has(group)) return { groups, chosen: group };
  const matches = matcher(filter) ?? (() => true);
  const left = [...new Set(runs)].filter(matches);
  const best = Math.min(...left.map(rank));
  const suited = left.filter((run) => rank(run) === best);
  // A filter asks for all that match it. Without one, figures made for the view are told from others.
  if (left.length <= FEW && (filter || best === Infinity)) return { groups, chosen: EVERY_RUN };
  const looked = left.includes(unitRun) ? [folderOf(unitRun)] : inOrder(suited.map(folderOf));
  return { groups, chosen: looked[0] };
}

/** Names of folders for a list: without the folder that all lie in, and with the title that the
 * descriptions of their runs begin with.
 * @param {string[]} names @param {{run: string, description?: string}[]} items
 * @returns {string[]} */
export function groupTitles(names, items) {
  const described = new Map(items.map(({ run, description = "" }) => [folderOf(run), description]));
  const parents = names.map((name) => name.split("/").slice(0, -1).join("/"));
  const shared = new Set(parents).size === 1 && parents[0] ? parents[0].length + 1 : 0;
  return names.map((name) => {
    if (name === ".") return "no folder";
    const [title = ""] = (described.get(name) ?? "").split(/\. |\.$/);
    return [name.slice(shared), title].filter(Boolean).join(" · ");
  });
}

/** @param {string[]} names */
function inOrder(names) {
  const rank = (/** @type {string} */ name) => Number(!FIGURE.test(name));
  return names.sort((a, b) => rank(a) - rank(b) || naturalOrder(a, b));
}
