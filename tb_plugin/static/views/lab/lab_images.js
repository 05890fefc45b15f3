// The images of the lab in one strip, with what each network says of them. One stop of the Tab key;
// arrows choose another image.

import { el, fill } from "../../parts/dom.js";
import { saidOf } from "./lab_words.js";

export class LabImages {
  /** @param {(image: number) => void} onChoose */
  constructor(onChoose) {
    this.onChoose = onChoose;
    this.order = /** @type {number[]} */ ([]);
    this.pictures = /** @type {HTMLImageElement[]} */ ([]);
    this.shown = ""; // what the strip says
    this.element = el("div", {
      class: "lab-images",
      role: "radiogroup",
      "aria-label": "Images",
      on: { keydown: (/** @type {KeyboardEvent} */ event) => this.key(event) },
    });
  }

  /** Other networks are open. @param {import("../../numbers/types.js").LabModel} opened */
  begin({ images }) {
    this.order = [];
    this.shown = "";
    this.pictures = images.map(({ png }) => el("img", { src: `data:image/png;base64,${png}`, alt: "" }));
  }

  /** @param {import("./lab_network.js").LabNetwork[]} networks @param {number} chosen
   * @param {boolean} sort  flipped images first; not while they change all the time */
  show(networks, chosen, sort) {
    const images = networks[0].opened?.images ?? [];
    const said = images.map((image, i) =>
      networks.map(({ opened, intact, outputs }) => {
        const before = intact.get(0)?.probabilities[i] ?? [];
        const own = opened?.images[i] ?? image;
        return saidOf(own, opened?.classes ?? [], before, outputs?.probabilities[i] ?? before);
      }),
    );
    const flipped = said.map((all) => all.some((one) => one.flipped));
    if (sort || this.order.length !== images.length) {
      const places = images.map((_, i) => i);
      this.order = [...places.filter((i) => flipped[i]), ...places.filter((i) => !flipped[i])];
    }
    const shown = JSON.stringify([this.order, chosen, said]);
    if (shown === this.shown) return;
    this.shown = shown;
    const focused = this.element.contains(document.activeElement);
    const { classes } = /** @type {import("../../numbers/types.js").LabModel} */ (networks[0].opened);
    const several = networks.length > 1;
    const buttons = this.order.map((i) => {
      const { truth } = images[i];
      const spoken = said[i].map((one, n) => `${several ? `${networks[n].name}: ` : ""}${one.spoken}`);
      const words = [classes[truth], ...spoken].join("; ");
      const wrong = said[i].some((one) => !one.right);
      return el(
        "button",
        {
          class: `lab-image${wrong ? " wrong" : ""}${flipped[i] ? " flipped" : ""}`,
          type: "button",
          role: "radio",
          "data-image": i,
          title: words,
          "aria-label": words,
          "aria-checked": String(i === chosen),
          tabindex: i === chosen ? 0 : -1,
          on: { click: () => this.onChoose(i) },
        },
        this.pictures[i],
        el(
          "span",
          { class: "said" },
          ...said[i].map((one, n) =>
            el("span", { class: one.right ? "" : "wrong" }, several && el("span", { class: `mark of-${n}` }), one.seen),
          ),
          ...said[i].filter((one) => one.former).map((one) => el("span", { class: "learned" }, one.former)),
          ...said[i].filter((one) => one.learned).map((one) => el("span", { class: "learned" }, one.learned)),
        ),
      );
    });
    fill(this.element, ...buttons);
    if (focused) buttons.find((button) => button.getAttribute("aria-checked") === "true")?.focus();
  }

  /** @param {KeyboardEvent} event */
  key(event) {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    const ends = { Home: 0, End: this.order.length - 1 }[event.key];
    if (step === undefined && ends === undefined) return;
    event.preventDefault();
    const at = this.order.indexOf(Number(/** @type {HTMLElement} */ (event.target).dataset.image));
    const next = ends ?? (at + (step ?? 0) + this.order.length) % this.order.length;
    this.onChoose(this.order[next]);
  }
}
