import assert from "node:assert/strict";
import { test } from "node:test";

import { FEWEST } from "../../tb_plugin/static/numbers/rank_correlation.js";
import { LIGHT } from "../../tb_plugin/static/page/theme.js";
import { areasOption } from "../../tb_plugin/static/views/training/areas_chart.js";
import { areaDots, areaPoints } from "../../tb_plugin/static/views/training/training_points.js";
import { furthest } from "../../tb_plugin/static/views/training/training_chart.js";

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

/** A run whose one ablation curve has such areas, at steps 1, 2, ...; its network is at chance where
 * the intact accuracy is 0.12. */
function analysed(run, intact) {
  const steps = intact.map((_, i) => i + 1);
  const values = intact.map((accuracy) => accuracy / 2);
  const curve = { tag: "c", steps, auc: values, normalized: values, intact, floor: steps.map(() => 0.1) };
  const training = { run, scalars: { test_loss: { steps, values } }, curves: [curve] };
  return { training, label: run, colour: "red", facts: {}, areas: areaPoints(training, "c", "auc") };
}

test("a dot of a network at chance is marked, and the line is of the others", () => {
  const items = Array.from({ length: FEWEST }, (_, i) => analysed(`run ${i}`, [0.12, 0.5 + i / 100]));
  const { dots, alone } = areaDots([...items, analysed("guessing", [0.12])], "test_loss");
  assert.equal(alone, false);
  assert.deepEqual(dots.map((d) => d.learned), [...items.map(() => true), false]);
  const [scatter, line] = areasOption(dots, "Test loss", "AUC", {}, LIGHT).series;
  assert.equal(scatter.data.at(-1).itemStyle.color, "transparent");
  assert.equal(scatter.data[0].itemStyle.color, "red");
  const ends = [dots[0], dots.at(-2)].map((d) => [d.x, d.y]);
  line.data.flat().forEach((v, i) => assert.ok(Math.abs(v - ends.flat()[i]) < 1e-9));
});

test("few networks have no line", () => {
  const items = Array.from({ length: FEWEST - 1 }, (_, i) => analysed(`run ${i}`, [0.5 + i / 100]));
  const { dots } = areaDots(items, "test_loss");
  assert.equal(areasOption(dots, "Test loss", "AUC", {}, LIGHT).series.length, 1);
});
