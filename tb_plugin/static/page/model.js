/**
 * @typedef {object} Model  what the page shows, given to the view that is open
 * @property {import("../numbers/types.js").Index} index
 * @property {import("./state.js").State} state
 * @property {import("./theme.js").Theme} theme
 * @property {string[]} allRuns  in TensorBoard's order
 * @property {number} version  counts reloads of the data
 */
export {};
