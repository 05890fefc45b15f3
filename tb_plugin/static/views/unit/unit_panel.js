// One unit in the inspector: its responses, the effect of its ablation, its place in its layer, its
// neighbours in the plot. Pictures and the distribution of its activation come from the lab if the
// lab has the model.

import { numeric } from "../../numbers/columns.js";
import { nearest, niceExtent, paddedExtent, span } from "../../numbers/geometry.js";
import { histogram } from "../../numbers/histogram.js";
import { columnNames, formatNumber, plural } from "../../numbers/labels.js";
import { axesOf, axisColumns, silentUnits } from "../../numbers/unit_table.js";
import { fetchUnit, LabClient } from "../../page/api.js";
import { ChartFrame } from "../../parts/chart_frame.js";
import { dropDown } from "../../parts/controls.js";
import { button, el, fill, textButton } from "../../parts/dom.js";
import { Loader } from "../../parts/loader.js";
import { Table } from "../../parts/table.js";
import { quantityColumn } from "../../parts/unit_tables.js";
import { activityOption, profileOption, standingOption, worstWords } from "./unit_charts.js";
import { pictureElements, pictures } from "./unit_images.js";
import { deletedToo } from "./unit_lesion.js";

const NEIGHBOURS = 6;
const BINS = 30;
const SHARE = /** @type {[number, number]} */ ([0, 1]);

/**
 * @typedef {object} Shown  the table whose units are inspected; it may be replaced by another
 * @property {import("../../numbers/types.js").Series | undefined} series
 * @property {import("../../numbers/types.js").TableHeader | null} header
 * @property {import("../../numbers/types.js").UnitTable | null} table
 */

/** One unit. */
export class UnitPanel {
  /** @param {import("../../parts/chart_frame.js").Context} context @param {number} place */
  constructor(context, place) {
    this.context = context;
    this.client = new LabClient(`-${place}`); // panels wait for each other
    this.pictures = new Loader();
    this.unit = /** @type {import("../../numbers/types.js").Unit | null} */ (null);
    this.found = /** @type {import("./unit_images.js").Pictures | string | null} */ (null);
    this.profile = new ChartFrame(context, { name: `unit_${place + 1}`, title: "Unit" });
    this.profile.element.classList.add("small", "first");
    this.facts = el("div", { class: "unit-facts" });
    this.profile.details.append(this.facts);
    this.standing = new ChartFrame(context, {
      name: `standing_${place + 1}`,
      title: "Where it stands in its layer",
    });
    this.standing.element.classList.add("small");
    this.column = dropDown("Quantity", (column) => {
      this.standing.zoomTo(null);
      context.set({ column });
    });
    this.standing.controls.append(this.column.element);
    this.lab = el("div", { class: "card-body" });
    this.joining = el("span", { class: "faint" });
    const lab = el("section", { class: "card images", "aria-label": "Images" }, this.lab);
    this.neighbours = new Table({ sortBy: "", caption: "Neighbours in the plot" });
    const neighbours = el(
      "section",
      { class: "card", "aria-label": "Neighbours" },
      el("div", { class: "card-body" }, this.neighbours.element),
    );
    this.activity = new ChartFrame(context, {
      name: `activity_${place + 1}`,
      title: "How active it is",
    });
    this.activity.element.classList.add("small");
    this.activity.element.hidden = true;
    this.element = el(
      "div",
      { class: "unit-panel" },
      el("div", { class: "stack" }, this.profile.element, this.standing.element),
      el("div", { class: "stack" }, lab, this.activity.element, neighbours),
    );
  }

  /** @param {Shown} shown @param {number} row */
  update(shown, row) {
    const { series, header } = shown;
    if (!series || !header) return;
    this.profile.load(
      JSON.stringify([series.run, series.tag, header.step, row]),
      () => fetchUnit(series, header.step, row),
      (unit) => (this.unit = unit),
      () => this.draw(shown, row),
    );
  }

  /** @param {Shown} shown @param {number} row */
  draw(shown, row) {
    const { theme } = this.context.model();
    const unit = /** @type {import("../../numbers/types.js").Unit} */ (this.unit);
    const table = /** @type {import("../../numbers/types.js").UnitTable} */ (shown.table);
    this.profile.card.heading.textContent = `${unit.layer}, unit ${unit.unit}`;
    this.showFacts(unit);
    this.showStanding(table, row);
    this.showNeighbours(table, row, shown.series?.meta.facts);
    this.showPictures(shown, unit);
    const rows = unit.classes.map((name, c) => ({
      name,
      mean: unit.class_mean[c] ?? null,
      drop: unit.class_drop[c] ?? null,
      size: unit.class_sizes[c] ?? null,
      images: imagesOf(unit.class_drop[c], unit.class_sizes[c]),
    }));
    if (!rows.length) return this.profile.say("Nothing was stored for each class of this unit.");
    const silent = silentUnits(table)[row] ? " · silent on every image" : "";
    const selectivity = unit.values.class_selectivity?.value;
    this.profile.show({
      option: profileOption(rows, this.profile.zoom, theme),
      count: rows.length,
      subtitle: [`class selectivity ${formatNumber(selectivity)}${silent}`, worstWords(rows)]
        .filter(Boolean)
        .join(" · "),
      rows,
      columns: [
        { label: "class", value: (r) => r.name },
        numeric("mean activation", (r) => r.mean, formatNumber),
        numeric("accuracy drop", (r) => r.drop, formatNumber),
        numeric("images lost", (r) => r.images, formatNumber),
        numeric("images", (r) => r.size, formatNumber),
      ],
    });
  }

  /** @param {import("../../numbers/types.js").Unit} unit */
  showFacts(unit) {
    fill(
      this.facts,
      el("span", { class: "faint" }, "quantity"),
      el("span", { class: "faint number" }, "value"),
      el("span", { class: "faint number" }, "percentile in its layer"),
      ...Object.entries(unit.values).flatMap(([name, { value, below }]) => [
        el("span", {}, columnNames(name).short),
        el("span", { class: "number" }, formatNumber(value)),
        percentile(below),
      ]),
    );
  }

  /** The unit's place among the units of its layer.
   * @param {import("../../numbers/types.js").UnitTable} table
   * @param {number} row */
  showStanding(table, row) {
    const { state, theme } = this.context.model();
    const names = axisColumns(table.columns.keys());
    const column = names.includes(state.column) ? state.column : names[0];
    this.column.set(
      names.map((name) => [name, columnNames(name).short]),
      column,
    );
    const values = /** @type {Float32Array} */ (table.columns.get(column));
    const peers = values.filter((value, i) => table.layer[i] === table.layer[row] && !Number.isNaN(value));
    const [value, layer] = [values[row], table.layers[table.layer[row]]];
    if (Number.isNaN(value)) return this.standing.say("This quantity was not measured for this unit.");
    const extent = column === "class_selectivity" ? SHARE : niceExtent(paddedExtent(span(peers), 0.01));
    const spread = histogram(peers, BINS, extent);
    const below = peers.filter((other) => other < value).length;
    const name = `${layer}, unit ${table.unit[row]}`;
    this.standing.show({
      option: standingOption(column, spread, value, name, this.standing.zoom, theme),
      count: peers.length,
      subtitle: `higher than ${percent(below / peers.length)} of the ${plural(peers.length, "unit")} of ${layer}`,
      rows: spread.counts.map((_, bin) => bin),
      columns: [
        ...binColumns(spread.edges),
        numeric("units", (bin) => spread.counts[bin]),
      ],
    });
  }

  /** @param {import("../../numbers/types.js").UnitTable} table @param {number} row
   * @param {Record<string, string>} [facts]  of the table's run */
  showNeighbours(table, row, facts) {
    const { state } = this.context.model();
    const { xName, yName } = axesOf(table, state, facts);
    const [x, y] = [xName, yName].map((name) => /** @type {Float32Array} */ (table.columns.get(name)));
    const drawn = Array.from(x.keys()).filter((i) => !Number.isNaN(x[i]) && !Number.isNaN(y[i]));
    const place = drawn.indexOf(row);
    const near =
      place < 0
        ? []
        : nearest(drawn.map((i) => x[i]), drawn.map((i) => y[i]), place, NEIGHBOURS).map((i) => drawn[i]);
    const name = (/** @type {number} */ r) => `${table.layers[table.layer[r]]}, ${table.unit[r]}`;
    const open = (/** @type {number} */ r) => () =>
      this.context.set({ inspect: [String(row), String(r)] });
    this.neighbours.show(
      [
        {
          label: "unit",
          value: name,
          show: (r) => textButton(name(r), open(r)),
        },
        quantityColumn(table, xName),
        quantityColumn(table, yName),
      ],
      near,
    );
  }

  /** @param {Shown} shown @param {import("../../numbers/types.js").Unit} unit */
  showPictures(shown, unit) {
    const wanted = shown.series?.meta.facts.model ?? "";
    const key = JSON.stringify([shown.series?.run, unit.layer, unit.unit]);
    const started = this.pictures.load(
      key,
      () => pictures(this.client, wanted, unit),
      (found) => {
        this.found = found;
        fill(this.lab, ...pictureElements(found, unit), this.labButton(found));
        this.showActivity(unit);
      },
      (error) => {
        const retry = () => this.showPictures(shown, unit);
        fill(
          this.lab,
          el("p", {}, error.message),
          button("Ask the lab again", retry),
        );
        this.showActivity(unit);
      },
    );
    if (!started) {
      this.showBecomes();
      return this.showActivity(unit);
    }
    this.found = null;
    this.activity.element.hidden = true;
    fill(this.lab, el("p", { class: "faint" }, "Asking the lab for images …"));
  }

  /** A link to the lab with this unit deleted too.
   * @param {import("./unit_images.js").Pictures | string} found */
  labButton(found) {
    if (typeof found === "string") return null;
    const go = () => this.context.set({ view: "lab", image: -1, ...this.becomes(found).changes });
    this.showBecomes();
    return el(
      "div",
      { class: "row to-lab" },
      button("Delete it in the lesion lab", go),
      this.joining,
    );
  }

  /** What becomes of the lesion in the lab. @param {import("./unit_images.js").Pictures} found */
  becomes({ model, sizes, place }) {
    const { state } = this.context.model();
    return deletedToo(state, model, sizes, place);
  }

  showBecomes() {
    const { found } = this;
    this.joining.textContent = found && typeof found !== "string" ? this.becomes(found).words : "";
  }

  /** The distribution of the unit's activation over images, for its favourite class and the others.
   * @param {import("../../numbers/types.js").Unit} unit */
  showActivity(unit) {
    const { found } = this;
    this.activity.element.hidden = !found || typeof found === "string";
    if (!found || typeof found === "string") return;
    const { theme } = this.context.model();
    const { edges, favourite } = found.unit;
    const others = found.classes.map((_, c) => c).filter((c) => c !== favourite);
    const groups = [
      together(found.unit, `class ${found.classes[favourite]}`, [favourite]),
      together(found.unit, "the other classes", others),
    ];
    const said = groups.map(({ name, still, n }) => `${percent(still / Math.max(1, n))} of ${name}`);
    this.activity.show({
      option: activityOption(edges, groups, this.activity.zoom, theme),
      count: groups.length,
      subtitle: `silent on ${said.join(" and ")}; the curves are of the images on which ${unit.layer}, unit ${unit.unit} is active`,
      rows: edges.slice(1).map((_, bin) => bin),
      columns: [
        ...binColumns(edges),
        ...groups.map(({ name, totals }) => numeric(`images of ${name}`, (bin) => totals[bin])),
      ],
    });
  }
}

/** Numbers of images of several classes: in each bin, silent, in total.
 * @param {import("../../numbers/types.js").LabUnit} unit @param {string} name
 * @param {number[]} classes */
function together({ edges, counts, silent }, name, classes) {
  const totals = edges.slice(1).map((_, bin) => sum(classes.map((c) => counts[c][bin])));
  const still = sum(classes.map((c) => silent[c]));
  return { name, totals, still, n: still + sum(totals) };
}

/** A drop of accuracy in images, null if either is not known.
 * @param {number | null | undefined} drop  fraction of a class @param {number | undefined} size  of it */
function imagesOf(drop, size) {
  return drop === null || drop === undefined || size === undefined ? null : Math.round(drop * size);
}

/** @param {number[]} values */
function sum(values) {
  return values.reduce((total, value) => total + value, 0);
}

/** @param {number} share */
function percent(share) {
  return `${Math.round(100 * share)} %`;
}

/** Columns for the place of each bin of a histogram; a row is the number of a bin.
 * @param {number[]} edges @returns {import("../../numbers/types.js").Column[]} */
function binColumns(edges) {
  return ["from", "to"].map((label, end) => numeric(label, (bin) => edges[bin + end], formatNumber));
}

/** A share of the layer as a number and as a place on a line. @param {number | null} below */
function percentile(below) {
  if (below === null) return el("span", { class: "number" }, "–");
  const place = `left:${(100 * below).toFixed(1)}%`;
  return el(
    "span",
    { class: "percentile" },
    el("span", { class: "track", "aria-hidden": "true" }, el("span", { style: place })),
    el("span", { class: "number" }, (100 * below).toFixed(0)),
  );
}
