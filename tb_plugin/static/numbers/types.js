/**
 * Types of the values that modules exchange, for editors and for `tsc --checkJs`.
 * What the server sends is described, with examples, in ../../http_api.md.
 *
 * @typedef {"curve" | "noise" | "units"} Kind
 *
 * @typedef {object} Series  one run and tag, from the index
 * @property {string} run
 * @property {string} tag
 * @property {Kind} kind
 * @property {Record<string, any> & {facts: Record<string, string>}} meta
 * @property {string} description
 * @property {number} max_step
 *
 * @typedef {object} Index
 * @property {string[]} runs  all runs of the log directory, also those without our data
 * @property {Series[]} series
 * @property {{run: string, tag: string, reason: string}[]} skipped
 * @property {Record<string, number | null>} sampling
 *
 * @typedef {object} Curve  accuracy under ablation or noise, at one step
 * @property {string} run
 * @property {string} tag
 * @property {number[]} steps
 * @property {number} step
 * @property {number} walltime
 * @property {number[]} x  units ablated, a count; or the scale of the noise
 * @property {(number | null)[][]} rows  accuracy, one row per ordering
 * @property {string} [error]
 *
 * @typedef {object} TableHeader
 * @property {number} step
 * @property {number} walltime
 * @property {number} n
 * @property {string[]} columns
 * @property {string[]} layers
 * @property {string[]} classes
 * @property {number[]} class_sizes  images of each class; [] if nobody wrote them
 * @property {string} [error]
 *
 * @typedef {object} UnitTable
 * @property {number} n
 * @property {string[]} layers  layer names
 * @property {Float32Array} layer  per unit, an index into layers
 * @property {Float32Array} unit  per unit, its index within the layer
 * @property {Map<string, Float32Array>} columns  what was measured
 *
 * @typedef {object} Unit  all that is stored of one unit
 * @property {number} row
 * @property {string} layer
 * @property {number} unit
 * @property {Record<string, {value: number | null, below: number | null}>} values  and what share
 *     of the layer lies below
 * @property {string[]} classes
 * @property {number[]} class_sizes  images of each class; [] if nobody wrote them
 * @property {(number | null)[]} class_mean
 * @property {(number | null)[]} class_drop
 *
 * @typedef {object} Distributions
 * @property {number[]} edges
 * @property {{run: string, tag: string, steps: number[], step: number, error?: string,
 *     layers: LayerDistribution[]}[]} tables
 *
 * @typedef {object} LayerDistribution
 * @property {string} layer
 * @property {number} n
 * @property {number[]} [counts]
 * @property {number} [mean]
 * @property {number[]} [quantiles]  at 0, 5, 25, 50, 75, 95, 100 %
 *
 * @typedef {object} Training
 * @property {string} run
 * @property {Record<string, {steps: number[], values: (number | null)[]}>} scalars
 * @property {{tag: string, steps: number[], auc: number[], normalized: number[], sd: number[],
 *     intact: number[], floor: number[]}[]} curves  floor: accuracy with all units ablated
 *
 * @typedef {object} LabListing
 * @property {boolean} enabled
 * @property {string} reason  why not
 * @property {{id: string, name: string, bytes: number}[]} models
 *
 * @typedef {object} LabModel  an open model
 * @property {string} sha256  of the model's file, as in every answer about it
 * @property {{name: string, units: number}[]} layers
 * @property {string[]} classes
 * @property {string} source  of the images
 * @property {number} n_images
 * @property {{label: number, truth: number, png: string}[]} images  the ones shown; `label` is what
 *     counts as correct, `truth` the true class, which differs if shuffled labels were learned; png
 *     in base64
 * @property {string} images_sha256  of the images that accuracy is read on: equal for networks that
 *     are asked on the same ones
 * @property {string[]} rankable
 * @property {boolean} ordered  whether it can be asked for random orders
 * @property {LabAccuracy} intact
 *
 * @typedef {object} LabOutputs
 * @property {number[][]} probabilities  of each chosen image
 * @property {number[][]} activity  of each unit on one image
 * @property {number} ms
 * @property {string} sha256
 *
 * @typedef {object} LabAccuracy
 * @property {number[]} n_correct  of each class
 * @property {number[]} n_lost  of each class, right with the intact network and now wrong
 * @property {number[]} n_gained  the other way round
 * @property {number[]} n
 * @property {number} loss
 * @property {string} sha256
 *
 * @typedef {object} LabRanking
 * @property {[number, number][]} units  layer number and unit, the highest first
 * @property {number[]} values  of these units
 * @property {string} read_on  which images
 *
 * @typedef {object} LabOrder  accuracy with the first units of one random order deleted
 * @property {number[]} n_correct  images, at each of the numbers of units asked for
 * @property {number} n  images
 *
 * @typedef {object} LabUnit
 * @property {number[]} edges
 * @property {number[][]} counts  of each class, the images on which the unit is not silent
 * @property {number[]} silent  of each class, the other images
 * @property {number} favourite  the class with the highest mean activation
 * @property {{label: number, activation: number, png: string}[]} most
 * @property {{label: number, activation: number, png: string}[]} least
 * @property {number} n_images  that were looked at
 * @property {boolean} averaged  over positions: a feature map
 * @property {number} n_least  images on which the unit is as active as on the least
 * @property {string | null} weights
 *
 * @typedef {object} Column  of a table on the page
 * @property {string} label
 * @property {(row: any) => (string | number | null)} value  what is sorted and exported
 * @property {(row: any) => (string | Node)} [show]  what is seen; value by default
 * @property {boolean} [numeric]
 * @property {boolean} [action]  holds a button, nothing to export
 *
 * @typedef {object} Window  the part of a chart that is zoomed to
 * @property {[number, number]} [x]
 * @property {[number, number]} [y]
 */
export {};
