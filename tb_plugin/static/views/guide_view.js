// The guide: what each view shows, in two sentences, with the section of the paper.

import { el, textButton } from "../parts/dom.js";

const VIEWS = /** @type {[string, string, string, string][]} */ ([
  [
    "curves",
    "Ablation curves",
    "Accuracy as more and more units are silenced, in several orders. A network whose curve falls soon relies on single units; networks that memorised their labels do.",
    "section 3.1, Fig. 1; dropout and batch normalization: section 3.3, Fig. 5",
  ],
  [
    "units",
    "Selectivity vs importance",
    "One point a unit: how selective it is for a class, against what its removal does to the loss. The paper found little relation: units that are easy to interpret are not the ones that matter. Many layers have a panel each.",
    "section 3.4, Fig. 7",
  ],
  [
    "unit",
    "Unit inspector",
    "One unit in detail: its mean activation for each class, which classes suffer without it, and where it stands in its layer. Compare a selective and a confusing one with one click.",
    "section 2.3",
  ],
  [
    "noise",
    "Noise",
    "Accuracy as Gaussian noise is added to all units at once, in units of their own standard deviation. It probes random directions, where ablation probes the axes.",
    "section 2.2, Fig. 2",
  ],
  [
    "distributions",
    "Distributions",
    "How a measured quantity is spread over the units of each layer, runs overlaid. Batch normalization makes units less selective, yet more informative.",
    "section 3.4, Figs. 6 and A2",
  ],
  [
    "training",
    "Training",
    "Loss beside the area under the ablation curve over epochs, and that area against test results over runs. The area needs no held-out data, and tells when a network begins to overfit.",
    "section 3.2, Figs. 3 and 4",
  ],
  [
    "lab",
    "Lesion lab",
    "Saved networks, drawn unit by unit: click units to delete them and see at once what is answered. Beside a network of true labels stands one that learned shuffled ones; both lose the same units, and the slider shows which fails first. A dot below the band means that a lesion hurts more than random ones of as many units. Arrow keys move, Space deletes, Shift with an arrow goes on doing so, i inspects, Ctrl+Z undoes.",
    "sections 2.2 and 3.1, Fig. 1",
  ],
]);

/** The paper's story, view by view. */
const MINUTE = /** @type {Record<string, string>} */ ({
  curves: "Networks that learned shuffled labels fall first: they rely on single units.",
  units: "If selective units mattered more, the dots would rise to the right.",
  unit: "“A selective and a confusing unit”: the network may miss either.",
  lab: "Press Play: two networks lose the same units, and the one that learned by heart falls first.",
});

const TERMS = /** @type {[string, string][]} */ ([
  [
    "Unit",
    "A neuron of a dense layer, or a feature map of a convolution. A feature map is silenced at every position.",
  ],
  [
    "Class selectivity",
    "(highest − rest) / (highest + rest): the unit's mean activation for its favourite class against the mean over the other classes. 0: alike for all classes. 1: active for one class only. A silent unit counts as 0.",
  ],
  ["Mutual information", "How many bits the unit's activation tells about the class of an image."],
  [
    "Importance",
    "How much the test loss rises (in nats) when this unit alone is clamped to zero. Above 0: the network is worse without it.",
  ],
  [
    "AUC",
    "Area under accuracy against the fraction of units ablated. Normalized, it is divided by the accuracy of the intact network. A high area means that the network does not rely on single units.",
  ],
  [
    "Spearman ρ",
    "Rank correlation, with a 95 % interval: a bootstrap over the units, as in the report; of more than 3,000 units Fisher's transform. An interval that holds 0 is no proof of no relation: a relation is called negligible only if all of its interval lies within ±0.3.",
  ],
]);

export class GuideView {
  /** @param {import("../parts/chart_frame.js").Context} context */
  constructor(context) {
    this.context = context;
    const link = (/** @type {string} */ view, /** @type {string} */ title) =>
      textButton(title, () => context.set({ view }));
    this.element = el(
      "section",
      { class: "card", "aria-label": "Guide" },
      el(
        "div",
        { class: "card-body prose" },
        el("h2", {}, "What am I looking at?"),
        el(
          "p",
          {},
          "A single direction is the activity of one unit of a network. Delete units, one after the other, and watch the accuracy: networks that generalize can lose many, networks that memorised their training labels can not. The story in a minute:",
        ),
        el(
          "ol",
          {},
          ...VIEWS.filter(([view]) => MINUTE[view]).map(([view, title]) =>
            el("li", {}, link(view, title), ". ", MINUTE[view]),
          ),
        ),
        el(
          "div",
          { class: "guide-columns" },
          el(
            "section",
            {},
            el("h3", {}, "The views"),
            el(
              "dl",
              {},
              ...VIEWS.flatMap(([view, title, text, where]) => [
                el("dt", {}, link(view, title)),
                el("dd", {}, text, el("span", { class: "faint" }, ` Paper: ${where}.`)),
              ]),
            ),
          ),
          el(
            "section",
            {},
            el("h3", {}, "The words"),
            el(
              "dl",
              {},
              ...TERMS.flatMap(([term, text]) => [el("dt", {}, term), el("dd", {}, text)]),
            ),
          ),
        ),
        el("h3", {}, "In every chart"),
        el(
          "p",
          {},
          "Drag to zoom in, double-click to see everything again; or, once the chart has the focus, + and − zoom, arrows move, 0 shows everything. The buttons above a chart show its numbers as a table, save them (CSV) and the picture (PNG, SVG), and copy the picture or a link to what you see. Rest the pointer on a run of the list, and its lines stand out. Lines have the colour of the setting in which the runs differ; TensorBoard's own run colours are offered beside it, as far as they are its defaults: those that you changed there are not told to plugins.",
        ),
        el(
          "p",
          { class: "faint" },
          "Morcos, Barrett, Rabinowitz and Botvinick, On the importance of single directions for generalization, ICLR 2018, arXiv:1803.06959.",
        ),
      ),
    );
  }

  /** The guide does not depend on the data. */
  update() {}
}
