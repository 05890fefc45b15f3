// The chart of the accuracy of each class, of every open network.

import { numeric } from "../../numbers/columns.js";
import { formatFraction } from "../../numbers/labels.js";
import { ChartFrame } from "../../parts/chart_frame.js";
import { acrossOnPaper, layoutOf } from "../../parts/small_multiples.js";
import { classesOption, classRows } from "./classes_chart.js";

const HEIGHT = 290; // of a network's panel, in pixels

/** @typedef {import("./lab_network.js").LabNetwork} LabNetwork */

export class LabClasses {
  /** @param {import("../../parts/chart_frame.js").Context} context */
  constructor(context) {
    this.context = context;
    this.networks = /** @type {LabNetwork[]} */ ([]);
    this.seen = ""; // what the chart shows
    this.frame = new ChartFrame(context, {
      name: "accuracy_by_class",
      title: "Accuracy by class",
      onFit: () => this.draw(),
    });
    this.element = this.frame.element;
    this.element.classList.add("small", "lab-classes");
  }

  /** Draws what is new. @param {LabNetwork[]} networks  all open */
  show(networks) {
    const { theme, state } = this.context.model();
    const known = networks.map(({ id, name, accuracyOf, opened }) => [id, name, accuracyOf, opened?.sha256]);
    const seen = JSON.stringify([known, state.zoom, state.tables, theme.surface]);
    if (seen === this.seen) return;
    Object.assign(this, { seen, networks });
    this.draw();
  }

  draw() {
    const { theme } = this.context.model();
    const panels = this.networks.map(({ name, opened, accuracy }) => {
      const { intact, classes } = /** @type {import("../../numbers/types.js").LabModel} */ (opened);
      const now = accuracy ?? intact;
      const loss = `${formatFraction(now.loss)} nats, intact ${formatFraction(intact.loss)}`;
      return { network: name, rows: classRows(name, classes, now, intact), loss };
    });
    const several = panels.length > 1;
    const layout = (/** @type {number} */ across) => (several ? layoutOf(panels.length, across, HEIGHT) : null);
    const screen = layout(this.frame.acrossOf(panels.length));
    const paper = layout(acrossOnPaper(panels.length));
    const option = (/** @type {typeof screen} */ lying) => classesOption(panels, lying, this.frame.zoom, theme);
    const losses = panels.map(({ network, loss }) => (several ? `${network} ${loss}` : loss));
    const rows = panels.flatMap((panel) => panel.rows);
    const fraction = (/** @type {string} */ label, /** @type {(row: any) => number} */ value) =>
      numeric(label, value, formatFraction);
    this.frame.show({
      option: option(screen),
      still: option(paper),
      height: screen?.height,
      stillHeight: paper?.height,
      count: rows.length,
      subtitle: `lines: 95 % intervals (Wilson) over the images of each class; the table has those of the change, on the same images · mean loss: ${losses.join("; ")}`,
      columns: [
        ...(several ? [{ label: "network", value: (/** @type {any} */ row) => row.network }] : []),
        { label: "class", value: (row) => row.name },
        numeric("images", (row) => row.n),
        fraction("accuracy", (row) => row.now),
        fraction("from", (row) => row.interval[0]),
        fraction("to", (row) => row.interval[1]),
        fraction("intact", (row) => row.before),
        fraction("change", (row) => row.paired.change),
        fraction("change from", (row) => row.paired.interval[0]),
        fraction("change to", (row) => row.paired.interval[1]),
      ],
      rows,
    });
  }
}
