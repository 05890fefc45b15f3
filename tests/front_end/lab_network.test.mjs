import assert from "node:assert/strict";
import { test } from "node:test";

import { LabNetwork, PAUSE_MS } from "../../tb_plugin/static/views/lab/lab_network.js";

const rest = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** A network of one layer of four units, computed here: each deleted unit costs a quarter. */
class Source {
  constructor(ms) {
    this.model = "small";
    this.ms = ms;
    this.asked = [];
  }

  part() {
    return this;
  }

  async open() {
    const intact = { n_correct: [8], n_lost: [0], n_gained: [0], n: [8], loss: 0 };
    const images = [0, 1].map(() => ({ label: 0, truth: 0, png: "" }));
    return { layers: [{ name: "one", units: 4 }], classes: ["a"], images, intact, rankable: [], ordered: false };
  }

  async answers(lesion, image) {
    const gone = lesion.flat().filter(Boolean).length;
    this.asked.push(["answers", gone, image]);
    await rest(this.ms);
    return { probabilities: [[1 - gone / 4], [1 - gone / 4]], activity: [[1, 1, 1, 1]] };
  }

  async accuracy(lesion) {
    const gone = lesion.flat().filter(Boolean).length;
    this.asked.push(["accuracy", gone]);
    await rest(this.ms);
    return { n_correct: [8 - 2 * gone], n_lost: [2 * gone], n_gained: [0], n: [8], loss: gone };
  }

  cancel() {}
}

const lesionOf = (k) => [[0, 1, 2, 3].map((unit) => unit < k)];

async function opened(source) {
  const network = new LabNetwork(source, "small", { changed: () => {}, reopen: () => {} });
  await network.open();
  source.asked = [];
  return network;
}

test("while the user drags, the newest lesion wins and not every one is asked about", async () => {
  const source = new Source(5);
  const shown = [];
  const network = await opened(source);
  network.told.changed = () => shown.push(network.accuracyOf);
  for (let i = 1; i <= 40; i++) {
    network.follow(`lesion ${i}`, lesionOf(i % 4), 0, i < 40);
    await rest(10);
  }
  await rest(4 * PAUSE_MS);
  assert.equal(network.accuracyOf, "lesion 40");
  const nAnswers = source.asked.filter(([what]) => what === "answers").length;
  assert.ok(nAnswers >= 3 && nAnswers <= 1 + 400 / PAUSE_MS + 4, String(nAnswers));
  assert.ok(new Set(shown).size > 3); // it moved before the drag was over
  network.close();
});

test("a question that takes long is given up for a newer one, and its answer is dropped", async () => {
  const source = new Source(400);
  const network = await opened(source);
  network.follow("old", lesionOf(1), 0, false);
  await rest(2 * PAUSE_MS);
  source.ms = 5;
  network.follow("new", lesionOf(2), 0, false);
  await rest(700);
  assert.equal(network.accuracyOf, "new");
  assert.deepEqual(network.accuracy.n_correct, [4]);
  assert.ok(!source.asked.some(([what, gone]) => what === "accuracy" && gone === 1));
  network.close();
});

test("another image asks for its activity, intact and now, and not for the accuracy again", async () => {
  const source = new Source(1);
  const network = await opened(source);
  network.follow("one", lesionOf(1), 0, false);
  await rest(4 * PAUSE_MS);
  source.asked = [];
  network.follow("one", lesionOf(1), 1, false);
  await rest(4 * PAUSE_MS);
  assert.deepEqual(source.asked, [["answers", 0, 1], ["answers", 1, 1]]);
  assert.equal(network.image, 1);
  network.close();
});

test("a failure is told with a way to try again, and no work goes on after it was let be", async () => {
  const source = new Source(1);
  const network = await opened(source);
  const { accuracy } = source;
  source.accuracy = async () => {
    throw new Error("The lab stumbled.");
  };
  network.follow("one", lesionOf(1), 0, false);
  await rest(4 * PAUSE_MS);
  assert.equal(network.trouble.text, "The lab stumbled.");
  source.accuracy = accuracy;
  await network.trouble.retry();
  assert.equal(network.trouble, null);
  assert.deepEqual(network.accuracy.n_correct, [6]);
  network.follow("two", lesionOf(2), 0, false);
  network.letBe();
  assert.match(network.trouble.text, /did not wait/);
  network.close();
});
