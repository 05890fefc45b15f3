// The pure parts of the front end. Run by test_front_end.py, or: node --test tests/front_end/

import assert from "node:assert/strict";
import { test } from "node:test";

import { curvesOption } from "../../tb_plugin/static/views/curves/curves_chart.js";
import { toCsv } from "../../tb_plugin/static/numbers/csv.js";
import { EVERY_RUN, folderOf, groupRuns } from "../../tb_plugin/static/numbers/groups.js";
import { stepped, within } from "../../tb_plugin/static/parts/keys.js";
import { isMark, LongValues } from "../../tb_plugin/static/page/long_values.js";
import * as labels from "../../tb_plugin/static/numbers/labels.js";
import {
  decodeValue,
  DEFAULTS,
  encodeValue,
  matcher,
  readLesions,
  readOutline,
  readState,
  readZoom,
  writeLesions,
  writeOutline,
  writeZoom,
} from "../../tb_plugin/static/page/state.js";
import {
  bootstrapInterval,
  rankCorrelation,
  relationWord,
  spearmanInterval,
} from "../../tb_plugin/static/numbers/rank_correlation.js";
import { relate } from "../../tb_plugin/static/numbers/relations.js";
import { chooseSettings, COMPARE, settingPhrases } from "../../tb_plugin/static/numbers/settings.js";
import { LIGHT, rampColour, runColour } from "../../tb_plugin/static/page/theme.js";
import { furthest } from "../../tb_plugin/static/views/training/training_view.js";
import * as t from "../../tb_plugin/static/numbers/transforms.js";
import { chosenTable } from "../../tb_plugin/static/parts/unit_tables.js";
import { colouredBy, seriesColours } from "../../tb_plugin/static/parts/view_support.js";

const series = (run, facts, tag = "curve") => ({ run, tag, meta: { facts } });
const close = (a, b) => assert.ok(Math.abs(a - b) < 1e-12, `${a} is not ${b}`);

test("the mean and s.d. over orderings, by hand", () => {
  const summary = t.summarizeOrderings([
    [1, 0.2],
    [1, 0.4],
    [1, 0.6],
  ]);
  close(summary.mean[1], 0.4);
  close(summary.sd[1], 0.2); // n - 1: (0.04 + 0 + 0.04) / 2 = 0.04
  assert.deepEqual(
    [summary.low, summary.high],
    [
      [1, 0.2],
      [1, 0.6],
    ],
  );
});

test("gaps are left out of the mean, and nothing but gaps is no number", () => {
  const summary = t.summarizeOrderings([
    [null, 0.5, null],
    [null, 0.7, 0.3],
  ]);
  assert.ok(Number.isNaN(summary.mean[0]) && Number.isNaN(summary.sd[0]));
  close(summary.mean[1], 0.6);
  assert.deepEqual([summary.mean[2], summary.sd[2]], [0.3, 0]);
});

test("areaUnderCurve of a straight line is a triangle", () => {
  assert.equal(t.areaUnderCurve([0, 0.5, 1], [1, 0.5, 0]), 0.5);
});

test("a constant curve has normalized area 1 whatever its height", () => {
  for (const height of [1, 0.25]) {
    const areas = t.curveAreas([0, 1, 4], [[height, height, height]], 4);
    close(areas.normalized, 1);
    close(areas.auc, height);
  }
});

test("the normalized area is the mean over orderings of area by intact accuracy", () => {
  const areas = t.curveAreas(
    [0, 4],
    [
      [1, 0],
      [0.5, 0.5],
    ],
    4,
  );
  close(areas.normalized, 0.75); // 0.5 and 1
  close(areas.auc, 0.5);
  close(areas.intact, 0.75);
});

test("a curve that stops early or starts late has no area", () => {
  assert.ok(Number.isNaN(t.curveAreas([0, 2], [[1, 0.5]], 4).normalized));
  assert.ok(Number.isNaN(t.curveAreas([1, 4], [[1, 0.5]], 4).normalized));
});

test("relative accuracy starts at 1, and a gap stays a gap", () => {
  assert.deepEqual(t.relativeToIntact([0, 1, 2], [[0.5, 0.25, null]]), [[1, 0.5, null]]);
});

test("accuracy relative to nothing is refused", () => {
  assert.throws(() => t.relativeToIntact([0, 1], [[0, 0]]), /before ablation is 0/);
  assert.throws(() => t.relativeToIntact([0, 1], [[null, 1]]), /invalid curve/);
  assert.throws(() => t.relativeToIntact([1, 2], [[1, 1]]), /without ablation/);
});

test("tied values share their mean rank", () => {
  assert.deepEqual([...t.ranks([10, 20, 20, 5, 20])], [2, 4, 4, 1, 4]);
});

test("Spearman's correlation of a textbook example", () => {
  // IQ and hours of television of ten people: rho = -29/165.
  const iq = [106, 100, 86, 101, 99, 103, 97, 113, 112, 110];
  const hours = [7, 27, 2, 50, 28, 29, 20, 12, 6, 17];
  close(t.spearman(iq, hours), -29 / 165);
});

test("Spearman's correlation does not feel a monotone change of scale", () => {
  const x = [0.1, 0.7, 0.3, 0.9, 0.2];
  const y = [3, 1, 2, 5, 4];
  close(
    t.spearman(x, y),
    t.spearman(
      x.map(Math.exp),
      y.map((v) => v ** 3),
    ),
  );
  close(
    t.spearman(
      x,
      x.map((v) => -v),
    ),
    -1,
  );
});

test("a constant has no correlation and no line", () => {
  assert.ok(Number.isNaN(t.spearman([1, 1, 1], [1, 2, 3])));
  assert.equal(t.leastSquares([1, 1], [1, 2]), null);
  assert.ok(Number.isNaN(t.spearman([], [])));
});

test("least squares finds the line through points on a line", () => {
  const { slope, intercept } = t.leastSquares([0, 1, 3], [1, 3, 7]);
  close(slope, 2);
  close(intercept, 1);
});

// The unit table of http_api.md.
const header = {
  step: 5,
  walltime: 0,
  n: 3,
  columns: ["layer", "unit", "class_selectivity", "importance"],
  layers: ["hidden_1", "hidden_2"],
};
const table = () =>
  t.decodeTable(new Float32Array([0, 0, 1, 0, 1, 0, 0, 0.5, 1, 0, 0.25, -0.5]).buffer, header);

test("a unit table is decoded column after column", () => {
  const { layer, unit, columns } = table();
  assert.deepEqual([...layer], [0, 0, 1]);
  assert.deepEqual([...unit], [0, 1, 0]);
  assert.deepEqual([...columns.keys()], ["class_selectivity", "importance"]);
  assert.deepEqual([...columns.get("importance")], [0, 0.25, -0.5]);
});

test("bytes that do not fit the header are refused", () => {
  assert.throws(() => t.decodeTable(new ArrayBuffer(44), header), /44 bytes for 3 rows/);
});

test("a unit is silent if its mean activation is 0, else if all is 0", () => {
  assert.deepEqual(t.silentUnits(table()), [true, false, false]);
  const measured = table();
  measured.columns.set("mean_activation", new Float32Array([1, 0, 2]));
  assert.deepEqual(t.silentUnits(measured), [false, true, false]);
});

test("units are grouped by layer; silent ones are counted and may be left out", () => {
  const kept = relate(table(), "class_selectivity", "importance", false);
  assert.deepEqual(
    kept.layers.map((g) => [g.layer, g.rows, g.silent]),
    [
      ["hidden_1", [0, 1], 1],
      ["hidden_2", [2], 0],
    ],
  );
  close(kept.layers[0].rho, 1);
  const omitted = relate(table(), "class_selectivity", "importance", true);
  assert.deepEqual(omitted.all.rows, [1, 2]);
  assert.equal(omitted.all.silent, 1);
});

test("layers that the legend hides count for nothing in what is said of all", () => {
  const measured = table();
  const shown = relate(measured, "class_selectivity", "importance", false, ["hidden_1"]);
  assert.deepEqual(shown.all.rows, [2]);
  assert.deepEqual([...shown.all.x], [1]);
  assert.equal(shown.all.silent, 0);
  assert.equal(shown.layers.length, 2); // the legend still has both
  assert.deepEqual(relate(measured, "class_selectivity", "importance", false).all.rows, [0, 1, 2]);
  const none = relate(measured, "class_selectivity", "importance", false, ["hidden_1", "hidden_2"]);
  assert.deepEqual([none.all.rows, none.all.line], [[], null]);
});

test("a table is related once, until its axes change", () => {
  const measured = table();
  const ask = (x) => relate(measured, x, "importance", false);
  const first = ask("class_selectivity");
  assert.equal(ask("class_selectivity").layers, first.layers);
  assert.equal(ask("class_selectivity").all, first.all);
  assert.notEqual(ask("importance").all, first.all);
});

test("a unit without one of the two quantities is not drawn", () => {
  const gap = table();
  gap.columns.get("importance")[1] = NaN;
  assert.deepEqual(relate(gap, "class_selectivity", "importance", false).all.rows, [0, 2]);
});

test("axes end at round numbers outside the data", () => {
  assert.deepEqual(t.niceExtent([-0.013, 0.227]), [-0.05, 0.25]);
  const [low, high] = t.niceExtent(t.paddedExtent([3, 3, 3]));
  assert.ok(low < 3 && high > 3);
  assert.deepEqual(t.paddedExtent([]), [0, 1]);
});

test("runs that differ in one fact are labelled by its values", () => {
  const runs = [
    series("a", { "label corruption": "0.0", data: "mnist" }),
    series("b", { "label corruption": "1.0", data: "mnist" }),
  ];
  assert.deepEqual(labels.legendLabels(runs), {
    title: "label corruption",
    labels: ["0.0", "1.0"],
  });
  assert.deepEqual(labels.seriesLabels(runs), ["label corruption 0.0", "label corruption 1.0"]);
});

test("what came out does not crowd the label when what went in tells runs apart", () => {
  const runs = [
    series("a", { "label corruption": "0", "test accuracy": "0.98" }),
    series("b", { "label corruption": "1", "test accuracy": "0.10" }),
  ];
  assert.deepEqual(labels.tellingFacts(runs.map((s) => s.meta.facts)), ["label corruption"]);
});

test("facts are added until runs are told apart", () => {
  const runs = ["0", "1"].flatMap((c) =>
    ["0", "1"].map((s) => series(`r${c}${s}`, { corruption: c, seed: s })),
  );
  assert.deepEqual(labels.seriesLabels(runs).slice(0, 2), [
    "corruption 0, seed 0",
    "corruption 0, seed 1",
  ]);
});

test("every label is different, with facts or without", () => {
  const cases = [
    [series("a", {}), series("b", {})],
    [series("a", { seed: "0" }), series("b", { seed: "0" }), series("c", { seed: "1" })],
    [series("a", {}, "one"), series("a", {}, "two")],
    [series("a", { x: "1" }), series("b", {})],
  ];
  for (const runs of cases) {
    const made = labels.seriesLabels(runs);
    assert.equal(new Set(made).size, runs.length, made.join(" | "));
    assert.ok(made.every(Boolean));
  }
});

test("numbers in names are compared as numbers", () => {
  assert.deepEqual(["x10", "x9", "x1"].sort(labels.naturalOrder), ["x1", "x9", "x10"]);
});

test("numbers are shown with digits enough", () => {
  assert.equal(labels.formatNumber(-0.0123456), "−0.01235");
  assert.equal(labels.formatNumber(1024), "1,024");
  assert.equal(labels.formatNumber(NaN), "–");
  assert.equal(labels.formatFraction(-0.1234), "−0.123");
});

test("CSV quotes what needs it and disarms formulas", () => {
  const columns = [
    { label: "run", value: (r) => r.run },
    { label: 'a "b"', value: (r) => r.n },
  ];
  const rows = [
    { run: "=1+1", n: 0.1 },
    { run: "x,y\nz", n: NaN },
    { run: "-1", n: null },
  ];
  assert.equal(toCsv(columns, rows), 'run,"a ""b"""\r\n\'=1+1,0.1\r\n"x,y\nz",\r\n\'-1,\r\n');
});

test("a state survives the address, and defaults leave no trace", () => {
  const state = {
    ...DEFAULTS,
    view: "units",
    filter: "a=b&c",
    off: ["r=1", "é"],
    step: 0,
    x: "count",
  };
  const address = Object.fromEntries(Object.entries(state).map(([k, v]) => [k, encodeValue(k, v)]));
  assert.deepEqual(
    readState((key) => address[key]),
    state,
  );
  assert.equal(address.band, "");
  // TensorBoard drops a value with "=" in it.
  assert.ok(Object.values(address).every((text) => !text.includes("=")));
});

test("nonsense in the address is a default", () => {
  for (const [key, text] of [
    ["view", "film"],
    ["step", "last"],
    ["step", "-5"],
    ["off", "{}"],
    ["off", "%5B1%5D"],
    ["filter", "%E0%A4%A"],
  ]) {
    assert.deepEqual(decodeValue(key, text), DEFAULTS[key], `${key}=${text}`);
  }
});

/** A store as a browser's, of a window. */
function storage() {
  const kept = new Map();
  return { getItem: (key) => kept.get(key) ?? null, setItem: (key, value) => kept.set(key, value) };
}

test("what is too long for the address is kept by the window, under a mark", () => {
  const runs = Array(400).fill("a run with a name");
  const text = encodeValue("off", runs);
  const window = storage();
  const mark = new LongValues(window).put(text);
  assert.ok(mark.length < 40 && isMark(mark) && !mark.includes("="));
  const reloaded = new LongValues(window);
  assert.deepEqual(decodeValue("off", reloaded.get(mark)), runs);
  assert.equal(reloaded.put(text), mark); // the same again is no change of the address
  assert.notEqual(reloaded.put(encodeValue("off", [...runs, "another"])), mark);
  // Another window, or another person's.
  assert.equal(new LongValues(storage()).get(mark), null);
  assert.equal(readState(() => new LongValues(null).get(mark)).off, DEFAULTS.off);
});

test("what is short stands in the address itself, and no such text is a mark", () => {
  const long = new LongValues(null);
  for (const text of ["", "@", "@12.ab", "0:1-5", "x".repeat(500)]) {
    const encoded = encodeValue("filter", text);
    assert.equal(isMark(encoded), false);
    assert.equal(long.put(encoded), encoded);
    assert.equal(decodeValue("filter", long.get(encoded)), text);
  }
  assert.equal(long.get(null), null);
});

test("a window that may store nothing remembers until it is loaded anew", () => {
  const refusing = {
    getItem: () => {
      throw new Error("denied");
    },
    setItem: () => {
      throw new Error("full");
    },
  };
  const long = new LongValues(refusing);
  const text = "x".repeat(3000);
  const mark = long.put(text);
  assert.equal(long.get(mark), text);
  assert.equal(new LongValues(refusing).get(mark), null);
});

test("a broken regular expression matches nothing and says so", () => {
  assert.equal(matcher("(["), null);
  assert.equal(matcher("=0\\.[24]$")("label_corruption=0.4"), true);
});

test("run colours follow TensorBoard's order, and repeat after seven", () => {
  const runs = "abcdefgh".split("");
  assert.equal(runColour("b", runs, LIGHT), "#12b5cb");
  assert.equal(runColour("h", runs, LIGHT), runColour("a", runs, LIGHT));
});

test("the ramp begins and ends at its own colours", () => {
  assert.equal(rampColour(0, LIGHT), "rgb(13, 71, 161)");
  assert.equal(rampColour(0.5, LIGHT), "rgb(156, 39, 176)");
  assert.equal(rampColour(1, LIGHT), "rgb(245, 124, 0)");
});

test("quantiles are linear between the nearest values, as NumPy's", () => {
  assert.equal(t.quantile([3, 1, 2], 0.5), 2);
  close(t.quantile([1, 2, 3, 4], 0.9), 3.7); // numpy.quantile([1, 2, 3, 4], 0.9)
  assert.ok(Number.isNaN(t.quantile([], 0.5)));
});

test("the interval of a rank correlation holds it, and narrows with n", () => {
  const [low, high] = spearmanInterval(0.5, 30);
  close(Math.atanh(high) - Math.atanh(0.5), (1.959964 * Math.sqrt(1.125)) / Math.sqrt(27));
  assert.ok(low < 0.5 && 0.5 < high);
  const [lower, higher] = spearmanInterval(0.5, 300);
  assert.ok(low < lower && higher < high);
  for (const [rho, n] of [
    [0.5, 3],
    [NaN, 100],
  ])
    assert.ok(spearmanInterval(rho, n).every(Number.isNaN));
  assert.deepEqual(spearmanInterval(-1, 100), [-1, -1]);
});

/** Pairs with ties, that rise together but for a jitter. */
function risingPairs(n, modulus, slope) {
  const x = Float64Array.from({ length: n }, (_, i) => (i * 37) % modulus);
  return { x, y: x.map((value, i) => slope * Math.floor(value / 10) + ((i * 53) % 17)) };
}

test("the bootstrap's interval is that of the report", () => {
  // repro.core.metrics.spearman of the same pairs; both draw at random, to within about 0.01 each.
  for (const [pairs, rho, interval] of [
    [risingPairs(80, 101, 1), 0.4975800186071283, [0.306, 0.642]],
    [risingPairs(80, 101, 0), 0.018667476418970014, [-0.216, 0.235]],
    [risingPairs(400, 401, 1), 0.9244295591634643, [0.9125, 0.9326]],
  ]) {
    const found = rankCorrelation(pairs.x, pairs.y);
    assert.ok(Math.abs(found.rho - rho) < 1e-9, String(found.rho));
    found.interval.forEach((end, i) => assert.ok(Math.abs(end - interval[i]) < 0.025, `${end}`));
    assert.deepEqual(rankCorrelation(pairs.x, pairs.y), found); // drawn again, it is the same
  }
});

test("of many pairs the formula and the bootstrap agree, and of few nothing is said", () => {
  const { x, y } = risingPairs(2000, 2003, 0.05);
  const { rho } = rankCorrelation(x, y);
  const formula = spearmanInterval(rho, 2000);
  bootstrapInterval(x, y).forEach((end, i) => assert.ok(Math.abs(end - formula[i]) < 0.01));
  assert.ok(bootstrapInterval(x.slice(0, 2), y.slice(0, 2)).every(Number.isNaN));
  assert.deepEqual(rankCorrelation(x, x).interval, [1, 1]);
  assert.ok(rankCorrelation(x, x.map(() => 3)).interval.every(Number.isNaN));
});

test("no relation is said only of an interval that is all negligible", () => {
  assert.equal(relationWord([-0.1, 0.2]), "negligible");
  assert.equal(relationWord([-0.1, 0.4]), "undecided");
  assert.equal(relationWord([0.31, 0.5]), "related");
  assert.equal(relationWord([-0.5, -0.3]), "related");
  assert.equal(relationWord([NaN, NaN]), "");
});

test("a histogram counts every value once, gaps not at all", () => {
  const { edges, counts } = t.histogram([0, 0.1, 0.5, NaN, 1], 2, [0, 1]);
  assert.deepEqual(edges, [0, 0.5, 1]);
  assert.deepEqual(counts, [2, 2]);
});

test("the mean of pooled layers is that of their units", () => {
  const layers = [
    { layer: "a", n: 1, counts: [1, 0], mean: 0 },
    { layer: "b", n: 3, counts: [0, 3], mean: 4 },
  ];
  assert.equal(t.pooledCounts(layers, null).mean, 3);
  assert.equal(t.pooledCounts(layers, "b").mean, 4);
  assert.ok(Number.isNaN(t.pooledCounts([{ layer: "c", n: 2 }], null).mean));
});

const withFacts = (facts) => ({ run: JSON.stringify(facts), meta: { facts } });

test("runs are coloured by the setting in which they differ, and else as TensorBoard does", () => {
  const by = (runs, chosen = "") => colouredBy(runs.map(withFacts), chosen);
  const corrupted = ["0", "0.5", "1"].map((c) => ({ figure: "fig1a", "label corruption": c, seed: c }));
  assert.equal(by(corrupted), "label corruption");
  assert.equal(by(corrupted, "run"), "run");
  assert.equal(by([{ seed: "0" }, { seed: "1", "test accuracy": "0.9" }]), "run");
  assert.equal(by([{ dropout: "0" }, {}]), "run"); // one does not say
});

test("a run keeps its colour whatever else is ticked", () => {
  const all = ["0", "0.5", "1"].map((c) => withFacts({ c }));
  const colours = seriesColours(all, "c", LIGHT, []);
  assert.deepEqual(seriesColours(all.slice(1), "c", LIGHT, [], all), colours.slice(1));
  assert.equal(new Set(colours).size, 3);
  // What the filter takes out of the list, or what does not say, is on no scale.
  const odd = [...all, withFacts({})];
  const [first, , , last] = seriesColours(odd, "c", LIGHT, [], all.slice(1));
  assert.deepEqual([first, last], [LIGHT.all, LIGHT.all]);
  const words = seriesColours(odd, "c", LIGHT, [], [withFacts({ c: "x" }), withFacts({ c: "0" })]);
  assert.deepEqual(words, [LIGHT.layers[0], LIGHT.all, LIGHT.all, LIGHT.all]);
});

test("what is true or false is called with or without", () => {
  const runs = [series("a", { "batch norm": "True" }), series("b", { "batch norm": "False" })];
  assert.deepEqual(labels.legendLabels(runs).labels, ["with batch norm", "without batch norm"]);
});

test("what the description at the side says is not said again above the chart", () => {
  const facts = { figure: "fig1a", data: "digits; 50 images", network: "mlp", seed: "0" };
  const runs = [{ ...series("a", facts), description: "Title of 2018. Data: digits." }];
  assert.deepEqual(labels.sharedPhrases(runs), ["mlp", "seed 0"]);
  const undescribed = labels.sharedPhrases([series("a", facts)]);
  assert.deepEqual(undescribed, ["digits; 50 images", "mlp", "seed 0"]);
});

test("a point is inside an outline, whatever its shape", () => {
  const hollow = [
    [0, 0],
    [4, 0],
    [4, 4],
    [2, 1],
    [0, 4],
  ];
  assert.deepEqual(t.inside([2, 2, 0.5, 5], [0.5, 3, 2, 1], hollow), [0, 2]);
});

test("a box selects what comparisons select", () => {
  const x = Float64Array.from({ length: 500 }, (_, i) => Math.sin(i * 12.9898));
  const y = Float64Array.from({ length: 500 }, (_, i) => Math.cos(i * 78.233));
  const box = [
    [-0.5, -0.2],
    [0.3, -0.2],
    [0.3, 0.9],
    [-0.5, 0.9],
  ];
  const expected = [...x.keys()].filter(
    (i) => x[i] > -0.5 && x[i] < 0.3 && y[i] > -0.2 && y[i] < 0.9,
  );
  assert.ok(expected.length > 50);
  assert.deepEqual(t.inside(x, y, box), expected);
});

test("density counts every point within the extents once, edges too", () => {
  const cells = t.density([0, 1, 0.1, 2], [0, 1, 0.1, 0], [0, 1], [0, 1], 2, 2);
  assert.deepEqual(cells, [
    { column: 0, row: 0, count: 2 },
    { column: 1, row: 1, count: 1 },
  ]);
});

test("neighbours are near in units of the axes", () => {
  // Along x the extent is 100, along y 1: a step of 10 is nearer than one of 0.5.
  assert.deepEqual(t.nearest([0, 10, 0, 100], [0, 0, 0.5, 1], 0, 2), [1, 2]);
});

test("halfway is between the points around it, on a logarithmic scale", () => {
  close(t.halfway([1, 10, 100], [1, 0.75, 0.25]), 10 ** 1.5);
  assert.ok(Number.isNaN(t.halfway([1, 10], [1, 0.9])));
});

test("columns of single classes are no axes", () => {
  assert.deepEqual(t.axisColumns(["importance", "class_mean/0", "class_drop/11", "class_x/1"]), [
    "importance",
    "class_x/1",
  ]);
});

test("a zoom comes back from the address, and another chart's is left alone", () => {
  const zoom = writeZoom(["other|x|0|1"], "mine", { x: [0.25, 0.5], y: [-3, 1e-7] });
  assert.deepEqual(readZoom(zoom, "mine"), { x: [0.25, 0.5], y: [-3, 1e-7] });
  assert.deepEqual(readZoom(zoom, "other"), { x: [0, 1] });
  assert.deepEqual(writeZoom(zoom, "mine", null), ["other|x|0|1"]);
  assert.deepEqual(readZoom(["mine|x|2|1", "mine|z|0|1", "mine|y|a|b", "mine"], "mine"), {});
});

test("an outline comes back from the address; nonsense is none", () => {
  const outline = [
    [0.5, -1],
    [2, 1],
    [1e-5, 3],
  ];
  assert.deepEqual(readOutline(writeOutline(outline)), outline);
  for (const text of ["", "1,2", "1,2;3;4,5", "a,b;c,d;e,f"])
    assert.deepEqual(readOutline(text), []);
});

test("lesions are written as runs of units, and read as far as the units exist", () => {
  const deleted = [[true, true, true, false, true], [false], [false, true]];
  assert.equal(writeLesions(deleted), "0:0-2,4;2:1");
  assert.deepEqual(readLesions("0:0-2,4;2:1", [5, 1, 2]), deleted);
  assert.deepEqual(readLesions("0:3-99999999;7:1;x:1;1:-;:", [5, 1]), [
    [false, false, false, true, true],
    [false],
  ]);
});

test("a large lesion is short enough for a link, and comes back unit for unit", () => {
  const sizes = [1024, 2816, 7];
  let seed = 1;
  const random = () => (seed = (seed * 16807) % 2147483647) / 2147483647;
  const cases = [
    sizes.map((size) => Array.from({ length: size }, (_, i) => i % 2 === 0)),
    sizes.map((size) => Array.from({ length: size }, () => random() < 0.4)),
    sizes.map((size) => new Array(size).fill(true)),
  ];
  for (const deleted of cases) {
    const text = writeLesions(deleted);
    assert.deepEqual(readLesions(text, sizes), deleted);
    assert.ok(encodeURIComponent(text).length < 1000, text.length);
    assert.ok(!text.includes("="));
  }
  assert.equal(writeLesions(cases[2]), "0:0-1023;1:0-2815;2:0-6");
});

test("bits that are cut off or made up name what they can", () => {
  assert.deepEqual(readLesions("0:~BQ;1:~***", [4, 2]), [
    [true, false, true, false],
    [false, false],
  ]);
  assert.deepEqual(readLesions("0:~_w", [3]), [[true, true, true]]); // eight bits, three units
});

test("a long lasso fits into a link, and still frames what it framed", () => {
  const circle = Array.from({ length: 400 }, (_, i) => [
    0.5 + 0.3 * Math.cos((2 * Math.PI * i) / 400),
    -0.01 + 0.002 * Math.sin((2 * Math.PI * i) / 400),
  ]);
  const text = writeOutline(circle);
  assert.ok(encodeURIComponent(text).length < 2000);
  const outline = readOutline(text);
  assert.equal(outline.length, 60);
  const scaled = (radius) => [
    Array.from({ length: 100 }, (_, i) => 0.5 + 0.3 * radius * Math.cos((2 * Math.PI * i) / 100)),
    Array.from({ length: 100 }, (_, i) => -0.01 + 0.002 * radius * Math.sin((2 * Math.PI * i) / 100)),
  ];
  assert.equal(t.inside(...scaled(0.99), outline).length, 100);
  assert.equal(t.inside(...scaled(1.01), outline).length, 0);
  const square = [
    [0, 0],
    [1, 0],
    [1, 1],
    [0, 1],
  ];
  const sides = square.flatMap(([x, y], i) => {
    const [u, v] = square[(i + 1) % 4];
    return Array.from({ length: 50 }, (_, k) => [x + ((u - x) * k) / 50, y + ((v - y) * k) / 50]);
  });
  const corners = readOutline(writeOutline(sides)).map(String);
  for (const corner of square) assert.ok(corners.includes(String(corner)));
});

const units = (run, facts = {}, tag = "units") => ({ run, tag, kind: "units", meta: { facts } });

test("the table that is shown is one of those that the filter leaves", () => {
  const tables = [units("fig6/a"), units("fig7a/b"), units("fig7a/a"), units("fig7a/a", {}, "z")];
  const chosen = (state) => {
    const found = chosenTable(tables, { filter: "", unitRun: "", unitTag: "", ...state });
    return found && `${found.run} ${found.tag}`;
  };
  assert.equal(chosen({}), "fig6/a units");
  assert.equal(chosen({ filter: "fig7a" }), "fig7a/a units");
  assert.equal(chosen({ filter: "fig7a", unitRun: "fig7a/b" }), "fig7a/b units");
  assert.equal(chosen({ filter: "fig7a", unitRun: "fig6/a" }), "fig7a/a units");
  assert.equal(chosen({ unitRun: "fig7a/a", unitTag: "z" }), "fig7a/a z");
  assert.equal(chosen({ filter: "nothing" }), undefined);
  assert.equal(chosen({ filter: "([" }), "fig6/a units"); // no expression yet: all are there
});

test("the axis of a training holds every value of every run", () => {
  const run = (values, areas = []) => ({
    training: { scalars: { loss: { steps: values.map((_, i) => i), values } } },
    areas,
  });
  assert.deepEqual(furthest([run([2, 1]), run([null, 17.5, 3])], ["loss", "test_loss"]), [17.5, 2]);
  assert.deepEqual(furthest([run([2], [[9, 0.5]])], ["loss"]), [2, 9]);
  assert.deepEqual(furthest([run([null])], ["loss"]), [0, 0]);
  const many = Array.from({ length: 300 }, () => run(new Array(1000).fill(0.5)));
  assert.deepEqual(furthest(many, ["loss"]), [0.5, 999]);
});

test("a change on the same images has the interval of a worked example", () => {
  // Agresti and Min (2005): approval of a leader, 794 + 150 + 86 + 570 of 1,600 people.
  const { change, interval } = t.pairedChange(150, 86, 1600);
  close(change, -0.04);
  assert.deepEqual(
    interval.map((v) => Number(v.toFixed(3))),
    [-0.059, -0.021],
  );
});

test("no change at all is not certainty, and nothing has no change", () => {
  const { change, interval } = t.pairedChange(0, 0, 100);
  assert.equal(change, 0);
  assert.ok(interval[0] < 0 && interval[0] > -0.03 && interval[1] === -interval[0]);
  assert.ok(Number.isNaN(t.pairedChange(0, 0, 0).change));
  assert.equal(t.pairedChange(1, 0, 1).interval[0], -1);
});

const curve = (run, meta) => ({ run, tag: "c", kind: "curve", meta: { facts: {}, ...meta } });

test("of several settings the most frequent is shown, unless another is asked for", () => {
  const all = [
    curve("a", { fill: "zero" }),
    curve("b", { fill: "zero" }),
    curve("a", { fill: "mean" }),
  ];
  const runs = (state) => chooseSettings(all, ["fill"], state).series.map((s) => s.run);
  assert.deepEqual(runs({}), ["a", "b"]);
  assert.deepEqual(runs({ fill: "mean" }), ["a"]);
  assert.deepEqual(runs({ fill: "nothing" }), ["a", "b"]);
  const { series, choices } = chooseSettings(all, ["fill"], { fill: COMPARE });
  assert.deepEqual(
    series.map((s) => s.meta.facts["clamped to"]),
    ["zero", "zero", "mean"],
  );
  assert.deepEqual(settingPhrases(choices), []);
});

test("settings begin with those of the runs that are looked at", () => {
  const of = (run, layers) => ({ run, tag: "curve", meta: { layers, facts: {} } });
  const all = [of("a", "conv"), of("b", "conv"), of("c", "conv"), of("d", "hidden")];
  const runs = (state, lookedAt) =>
    chooseSettings(all, ["layers"], state, lookedAt).series.map((s) => s.run);
  assert.deepEqual(runs({}), ["a", "b", "c"]);
  assert.deepEqual(runs({}, [all[3]]), ["d"]);
  assert.deepEqual(runs({}, []), ["a", "b", "c"]);
  assert.deepEqual(runs({ layers: "conv" }, [all[3]]), ["a", "b", "c"]);
});

test("an interval is written with three places, and left out where it has no meaning", () => {
  assert.equal(labels.formatInterval([-0.25, 0.5]), " [−0.250, 0.500]");
  assert.equal(labels.formatInterval(spearmanInterval(0.5, 3)), "");
});

test("a column of buttons is not exported", () => {
  const columns = [
    { label: "unit", value: (row) => row },
    { label: "", action: true, value: () => null },
  ];
  assert.equal(toCsv(columns, [3]), "unit\r\n3\r\n");
});

test("the name of a model is no fact to compare runs by, and what came out comes last", () => {
  const runs = [
    { seed: "0", "test accuracy": "0.97", model: "mnist-mlp-1" },
    { seed: "0", "test accuracy": "0.98", model: "mnist-mlp-2" },
  ];
  assert.deepEqual(labels.compareFacts(runs), {
    differing: ["test accuracy"],
    shared: [["seed", "0"]],
  });
  const more = [...runs, { seed: "1", "test accuracy": "0.99", model: "mnist-mlp-3" }];
  assert.deepEqual(labels.tellingFacts(more), ["seed", "test accuracy"]);
});

test("the axis of a small chart has a name and its unit", () => {
  assert.equal(labels.briefTitle("mutual_information"), "Mutual information (bits)");
  assert.equal(labels.briefTitle("my_own"), "My own");
});

test("the outline of a histogram has two points a bin", () => {
  assert.deepEqual(t.histogramOutline([0, 1, 3], [0.25, 0.75]), [
    [0, 0.25],
    [1, 0.25],
    [1, 0.75],
    [3, 0.75],
  ]);
});

test("an axis beside a zoomed one shows the same part of its own extent", () => {
  assert.deepEqual(t.samePart([1, 3], [0, 4], [10, 20]), [12.5, 17.5]);
  assert.deepEqual(t.samePart([0, 4], [0, 4], [-1, 1]), [-1, 1]);
});

const PANEL = { x: 100, y: 50, width: 200, height: 100 };

test("keys zoom about the middle and move by a share of what is seen", () => {
  const closer = stepped(PANEL, "+");
  close(closer.x + closer.width / 2, 200);
  close(closer.y + closer.height / 2, 100);
  close(closer.width, 140);
  const back = stepped(closer, "-");
  for (const key of ["x", "y", "width", "height"]) close(back[key], PANEL[key]);
  assert.deepEqual(stepped(PANEL, "ArrowUp"), { ...PANEL, y: 35 });
  assert.deepEqual(stepped(PANEL, "ArrowRight"), { ...PANEL, x: 130 });
});

test("0 shows everything, and other keys are left to the browser", () => {
  assert.equal(stepped(PANEL, "0"), null);
  assert.equal(stepped(PANEL, "Tab"), undefined);
});

test("a window stays inside the whole, and is null where it is the whole", () => {
  const whole = { x: [0, 10], y: [0, 1] };
  const part = { x: [2, 4], y: [0.2, 0.4] };
  assert.equal(within(part, whole), part);
  assert.deepEqual(within({ x: [-1, 4], y: [0.2, 0.4] }, whole), { x: [0, 4], y: [0.2, 0.4] });
  assert.deepEqual(within({ x: [-1, 11], y: [0.2, 0.4] }, whole), { y: [0.2, 0.4] });
  assert.equal(within({ x: [-1, 11], y: [-1, 2] }, whole), null);
});

const crowd = (folder, n) => Array.from({ length: n }, (_, i) => `${folder}/seed=${i}`);
const asked = (changes) => ({ group: "", filter: "", unitRun: "", ...changes });

test("a crowd of runs is looked at one folder at a time, the paper's figures first", () => {
  const runs = [...crowd("dropout", 9), ...crowd("fig10", 2), ...crowd("fig2", 4)];
  const { groups, chosen } = groupRuns(runs, asked({}));
  assert.deepEqual(
    groups.map(({ name, size }) => [name, size]),
    [["fig2", 4], ["fig10", 2], ["dropout", 9]],
  );
  assert.equal(chosen, "fig2");
  const chosenBy = (changes) => groupRuns(runs, asked(changes)).chosen;
  assert.equal(chosenBy({ group: EVERY_RUN }), EVERY_RUN);
  assert.equal(chosenBy({ group: "dropout" }), "dropout");
  assert.equal(chosenBy({ group: "gone" }), "fig2");
  assert.equal(chosenBy({ unitRun: "fig10/seed=1" }), "fig10");
  assert.equal(chosenBy({ filter: "^fig" }), EVERY_RUN); // so few are seen together
});

test("few runs are seen together, and folders of one run each are no groups", () => {
  const few = groupRuns([...crowd("a", 2), ...crowd("b", 2)], asked({}));
  assert.equal(few.chosen, EVERY_RUN);
  assert.deepEqual(few.groups, [{ name: "a", size: 2 }, { name: "b", size: 2 }]);
  assert.deepEqual(groupRuns(["a/train", "b/train"], asked({})).groups, []);
  assert.deepEqual(groupRuns(crowd("a", 30), asked({})).groups, []);
  assert.deepEqual(groupRuns([], asked({})).groups, []);
});

test("runs without a folder are a group of their own", () => {
  assert.deepEqual(["a/b/c", "a", "."].map(folderOf), ["a/b", ".", "."]);
  const { groups } = groupRuns(["mine", ...crowd("fig1", 2)], asked({}));
  assert.deepEqual(groups, [{ name: "fig1", size: 2 }, { name: ".", size: 1 }]);
});

test("the span of many values does not fill the stack", () => {
  assert.deepEqual(t.span(Float64Array.from({ length: 300_000 }, (_, i) => i - 7)), [-7, 299_992]);
});

test("the selective and the confusing unit are among those that matter and are active", () => {
  const table = (importance) => ({
    n: 6,
    columns: new Map([
      ["class_selectivity", Float32Array.from([1, 0.9, 0.5, 0.2, 0.1, 0])],
      ["mean_activation", Float32Array.from([1, 1, 1, 1, 1, 0])],
      ["sparsity", Float32Array.from([0, 0, 0, 0, 0, 1])],
      ...(importance ? [["importance", Float32Array.from(importance)]] : []),
    ]),
  });
  assert.deepEqual(t.selectiveAndConfusing(table([0, 3, 1, 4, 0, 9])), [1, 3]);
  assert.deepEqual(t.selectiveAndConfusing(table(null)), [0, 4]);
  assert.deepEqual(t.selectiveAndConfusing(table([0, 0, 0, 0, 0, 0])), [0, 4]);
});

test("every minus of a number in scientific notation is a minus sign", () => {
  assert.equal(labels.formatNumber(-4.649e-9), "−4.649e−9");
});

test("on a logarithmic axis the intact network at 0 is left out, and the band is drawn", () => {
  const rows = [
    [1, 0.9, 0.2],
    [1, 0.7, 0.1],
  ];
  const option = curvesOption({
    curves: [{ label: "a", colour: "red", mark: "circle", x: [0, 0.1, 1], rows, summary: t.summarizeOrderings(rows) }],
    legendTitle: "",
    xTitle: "noise",
    yTitle: "accuracy",
    xExtent: [0.1, 1],
    relative: false,
    logarithmic: true,
    band: "range",
    zoom: {},
    theme: LIGHT,
    describe: () => null,
    spoken: "",
  });
  const band = option.series.find((s) => s.id === "band:0");
  const api = { coord: ([x, y]) => [Math.log10(x), y] };
  assert.deepEqual(band.renderItem({}, api).shape.points, [[-1, 0.9], [0, 0.2], [0, 0.1], [-1, 0.7]]);
  const mean = option.series.find((s) => s.id === "mean:0");
  assert.equal(mean.data.length, 3); // each point keeps its place, which the tooltip asks for
  assert.ok(Number.isNaN(mean.data[0][0]));
});

test("a value belongs to one bin, the upper end to the last", () => {
  const edges = [0, 0.5, 1];
  assert.deepEqual([-1, 0, 0.49, 0.5, 1, 2].map((v) => t.binOf(edges, v)), [0, 0, 0, 1, 1, 1]);
});

test("labels stand at 1, 2 or 5 times a power of ten", () => {
  assert.deepEqual([0.1, 0.11, 0.3, 7, 100].map(t.niceStep), [0.1, 0.2, 0.5, 10, 100]);
});

test("a run's many curves of one order do not outweigh the usual one", () => {
  const curve = (order, tag) => ({ run: "r", tag, kind: "curve", meta: { facts: {}, order } });
  const all = [curve("selectivity", "a"), curve("selectivity", "b"), curve("random", "c")];
  assert.equal(chooseSettings(all, ["order"], {}).choices[0].chosen, "random");
});
