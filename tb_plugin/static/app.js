// Puts the page together: one state, the views, TensorBoard's reload and theme.

import { fetchIndex } from "./page/api.js";
import {
  Host,
  isDark,
  onAddressChange,
  onThemeChange,
  readAddress,
  windowStorage,
  writeAddress,
} from "./page/host.js";
import { isMark, LongValues } from "./page/long_values.js";
import { DEFAULTS, encodeValue, readState } from "./page/state.js";
import { DARK, LIGHT } from "./page/theme.js";
import { button, el, fill } from "./parts/dom.js";
import { Hint } from "./parts/hint.js";
import { RunList } from "./parts/run_list.js";
import { CurvesView } from "./views/curves/curves_view.js";
import { ABLATION, NOISE } from "./views/curves/subjects.js";
import { DistributionsView } from "./views/distributions/distributions_view.js";
import { GuideView } from "./views/guide_view.js";
import { LabView } from "./views/lab/lab_view.js";
import { TrainingView } from "./views/training/training_view.js";
import { UnitView } from "./views/unit/unit_view.js";
import { UnitsView } from "./views/units/units_view.js";

/**
 * @typedef {object} View
 * @property {HTMLElement} element
 * @property {(model: import("./page/model.js").Model) => void} update
 * @property {() => void} [point]  another run of the list is pointed at, or none: in views where runs
 *     are lines or dots
 */

/** Name in the address, title, and what makes the view when it is first opened.
 * @type {[string, string, (context: import("./parts/chart_frame.js").Context) => View][]} */
const VIEWS = [
  ["curves", "Ablation curves", (context) => new CurvesView(context, ABLATION)],
  ["units", "Selectivity vs importance", (context) => new UnitsView(context)],
  ["unit", "Unit inspector", (context) => new UnitView(context)],
  ["noise", "Noise", (context) => new CurvesView(context, NOISE)],
  ["distributions", "Distributions", (context) => new DistributionsView(context)],
  ["training", "Training", (context) => new TrainingView(context)],
  ["lab", "Lesion lab", (context) => new LabView(context)],
  ["guide", "Guide", (context) => new GuideView(context)],
];
// Names of the choices that may be too long for the address.
const LONG = /** @type {Record<string, string>} */ ({
  lesions: "the deleted units",
  outline: "the outline of the selection",
  off: "which runs are not ticked",
  filter: "the filter",
});
// Views that need no data in the log directory.
const ALWAYS = ["lab", "guide"];
// TensorBoard may still be reading the log directory: after an empty answer the page asks again, at
// growing intervals.
const FIRST_WAIT_MS = 1500;
const LONGEST_WAIT_MS = 30_000;

export class App {
  /** @param {HTMLElement} root @param {any} echarts */
  constructor(root, echarts) {
    this.host = new Host();
    this.titled = document.title !== ""; // a page of a static copy brings its own
    this.long = new LongValues(windowStorage());
    this.state = this.readAddress();
    this.index = /** @type {import("./numbers/types.js").Index | null} */ (null);
    this.allRuns = /** @type {string[]} */ ([]);
    this.version = 0;
    this.dirty = false;
    this.wait = FIRST_WAIT_MS;
    this.again = 0;
    const set = (/** @type {Partial<import("./page/state.js").State>} */ changes) => this.set(changes);
    this.runList = new RunList(set, () => this.views[this.state.view]?.point?.());
    /** @type {import("./parts/chart_frame.js").Context} */
    this.context = {
      echarts,
      set,
      runList: this.runList,
      model: () => /** @type {import("./page/model.js").Model} */ (this.model),
      inTheme: (theme, read) => this.inTheme(theme, read),
    };
    this.model = /** @type {import("./page/model.js").Model | null} */ (null);
    this.views = /** @type {Record<string, View>} */ ({});
    this.tabs = VIEWS.map(([view, title]) => this.tab(view, title));
    this.main = el("div", { id: "view", class: "view", role: "tabpanel", tabindex: -1 });
    this.banner = el("div", { class: "banner", role: "status", hidden: true });
    this.unlinked = el("p", { class: "banner", role: "status", hidden: true });
    this.hint = new Hint(() => this.set({ view: "guide" }));
    this.blank = el("div", { class: "blank", role: "status" });
    this.page = this.build();
    fill(root, this.blank, this.page);
    this.follow();
  }

  /** @param {string} view @param {string} title */
  tab(view, title) {
    const choose = () => this.set({ view });
    const id = `tab-${view}`;
    return el(
      "button",
      { class: "tab", role: "tab", id, "aria-controls": "view", on: { click: choose } },
      title,
    );
  }

  build() {
    const keydown = (/** @type {KeyboardEvent} */ event) => this.moveTab(event);
    const bar = el(
      "div",
      { class: "tabs", role: "tablist", "aria-label": "Views", on: { keydown } },
      ...this.tabs,
    );
    const content = el("main", { class: "content" }, this.banner, this.unlinked, this.hint.element, this.main);
    const views = el("nav", { class: "views", "aria-label": "Views" }, bar, this.hint.opener);
    const skip = el(
      "button",
      { class: "skip", type: "button", on: { click: () => this.main.focus() } },
      "Skip to the chart",
    );
    const name = el("h1", { class: "unseen" }, "Single Directions");
    return el("div", { class: "page" }, name, skip, views, this.runList.element, content);
  }

  /** Listens to TensorBoard: reload, theme, address, and whether this plugin's tab is shown. */
  follow() {
    this.host.on("experimental.DataReloaded", () => this.refreshWhenSeen());
    onThemeChange(() => this.render());
    onAddressChange(() => {
      this.state = this.readAddress();
      this.render();
    });
    new ResizeObserver(() => this.dirty && this.seen() && this.refresh()).observe(
      document.documentElement,
    );
  }

  /** The state from the address, with the choices that are too long for it. */
  readAddress() {
    return readState((key) => this.long.get(readAddress(key)));
  }

  /** Tells which choices the address cannot hold: of this window, or of the link that opened it. */
  sayUnlinked() {
    const marked = Object.keys(DEFAULTS).filter((key) => isMark(readAddress(key)));
    const lost = marked.filter((key) => this.long.get(readAddress(key)) === null);
    const words = (/** @type {string[]} */ keys) => keys.map((key) => LONG[key] ?? key).join(" and ");
    this.unlinked.hidden = !marked.length;
    this.unlinked.textContent = lost.length
      ? `This link was too long to hold all that its sender saw: it lacks ${words(lost)}.`
      : `Too many to link: the address of this page cannot hold ${words(marked)}. They stay in this window, but a copied link lacks them.`;
  }

  /** A hidden tab's frame has no height. */
  seen() {
    return document.documentElement.clientHeight > 0;
  }

  refreshWhenSeen() {
    this.dirty = true;
    if (this.seen()) this.refresh();
  }

  async refresh() {
    this.dirty = false;
    clearTimeout(this.again);
    const slow = setTimeout(
      () => this.index || this.showLoading("TensorBoard may still be reading the log directory."),
      3000,
    );
    try {
      const [index, runs] = await Promise.all([fetchIndex(), this.host.runs()]);
      this.index = index;
      this.allRuns = runs ?? index.runs;
      this.version++;
      this.banner.hidden = true;
      this.render();
    } catch (error) {
      this.showError(/** @type {Error} */ (error).message);
    } finally {
      clearTimeout(slow);
    }
  }

  /** @param {Partial<import("./page/state.js").State>} changes */
  set(changes) {
    const turnsPage = changes.view !== undefined && changes.view !== this.state.view;
    Object.assign(this.state, changes);
    // Back leads to the former view as it was; changes within a view do not enter the history.
    if (turnsPage) writeAddress("view", encodeValue("view", changes.view), true);
    for (const [key, value] of Object.entries(changes))
      writeAddress(key, this.long.put(encodeValue(key, value)));
    this.render();
  }

  render() {
    document.documentElement.dataset.theme = isDark() ? "dark" : "light";
    if (!this.index) return;
    if (!this.index.series.length && !ALWAYS.includes(this.state.view))
      return this.showEmpty(this.index);
    this.wait = FIRST_WAIT_MS;
    this.blank.hidden = true;
    this.page.hidden = false;
    const { view } = this.state;
    for (const [i, [name]] of VIEWS.entries()) {
      const chosen = name === view;
      // Where the window is too narrow for all tabs, the chosen one is in sight.
      if (chosen && this.tabs[i].getAttribute("aria-selected") !== "true") bringIntoSight(this.tabs[i]);
      this.tabs[i].setAttribute("aria-selected", String(chosen));
      this.tabs[i].setAttribute("tabindex", chosen ? "0" : "-1");
    }
    this.main.setAttribute("aria-labelledby", `tab-${view}`);
    if (!this.titled) document.title = `${VIEWS.find(([name]) => name === view)?.[1] ?? "Data"} · Single Directions`;
    this.model = {
      index: this.index,
      state: this.state,
      theme: isDark() ? DARK : LIGHT,
      allRuns: this.allRuns,
      version: this.version,
    };
    const opened = this.view(view);
    this.page.classList.toggle("wide", view === "guide");
    this.hint.show(view);
    this.sayUnlinked();
    if (this.main.firstChild !== opened.element) fill(this.main, opened.element);
    opened.update(this.model);
  }

  /** Draws the open view in a theme, reads something of it, and draws it again as it was; the
   * browser shows none of it.
   * @template T @param {import("./page/theme.js").Theme} theme @param {() => T} read @returns {T} */
  inTheme(theme, read) {
    const { model } = this;
    if (!model || model.theme === theme) return read();
    const open = this.view(model.state.view);
    this.model = { ...model, theme };
    try {
      open.update(this.model);
      return read();
    } finally {
      this.model = model;
      open.update(model);
    }
  }

  /** @param {string} name @returns {View} */
  view(name) {
    const [, , make] = VIEWS.find(([view]) => view === name) ?? VIEWS[0];
    this.views[name] ??= make(this.context);
    return this.views[name];
  }

  /** @param {KeyboardEvent} event */
  moveTab(event) {
    const at = VIEWS.findIndex(([view]) => view === this.state.view);
    const aims = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: VIEWS.length - 1 };
    const aim = /** @type {Record<string, number>} */ (aims)[event.key];
    if (aim === undefined) return;
    event.preventDefault();
    const next = (aim + VIEWS.length) % VIEWS.length;
    this.set({ view: VIEWS[next][0] });
    this.tabs[next].focus();
  }

  /** @param {string} [hint] */
  showLoading(hint = "") {
    this.showBlank(
      el("div", { class: "spinner", "aria-hidden": "true" }),
      el("h2", {}, "Loading ablation data"),
      el("p", {}, hint),
    );
  }

  /** @param {import("./numbers/types.js").Index} index */
  showEmpty(index) {
    const newer = index.skipped.filter((s) => s.reason === "newer").length;
    const skipped = index.skipped.length - newer;
    const parts = [];
    if (newer)
      parts.push(
        el(
          "p",
          { class: "note" },
          `${newer} series were written by a newer version of this plugin. Upgrade it to see them.`,
        ),
      );
    if (skipped)
      parts.push(
        el(
          "p",
          { class: "note" },
          `${skipped} series carry this plugin's name, but cannot be read: ${index.skipped.filter((s) => s.reason !== "newer")[0].reason}.`,
        ),
      );
    this.showBlank(
      el("h2", {}, "No ablation data in this log directory"),
      el(
        "p",
        {},
        "This tab shows how the accuracy of a network falls as its units are ablated, and which single units matter. Write data with:",
      ),
      el("pre", {}, EXAMPLE),
      el(
        "p",
        {},
        "or run ",
        el("code", {}, "./run_all.sh"),
        ", or try ",
        el("code", {}, "python -m tb_plugin.demo DIR"),
        ".",
      ),
      ...parts,
      el(
        "div",
        { class: "row" },
        button("Look again", () => this.refresh()),
        button("Guide", () => this.set({ view: "guide" })),
        button("Lesion lab", () => this.set({ view: "lab" })),
      ),
    );
    clearTimeout(this.again);
    this.again = setTimeout(() => this.refreshWhenSeen(), this.wait);
    this.wait = Math.min(2 * this.wait, LONGEST_WAIT_MS);
  }

  /** @param {string} message */
  showError(message) {
    const retry = () => button("Retry", () => this.refresh());
    if (this.index?.series.length) {
      this.banner.hidden = false;
      fill(this.banner, el("span", {}, `Not up to date: ${message}`), retry());
      return;
    }
    this.showBlank(
      el("h2", {}, "The ablation data could not be loaded"),
      el("p", {}, message),
      retry(),
    );
  }

  /** @param {...Node} content */
  showBlank(...content) {
    this.page.hidden = true;
    this.blank.hidden = false;
    fill(this.blank, el("div", { class: "blank-box" }, ...content));
  }
}

/** Scrolls the strip of tabs, and nothing around it. @param {HTMLElement} tab */
function bringIntoSight(tab) {
  const strip = /** @type {HTMLElement} */ (tab.parentElement);
  strip.scrollLeft = tab.offsetLeft - (strip.clientWidth - tab.offsetWidth) / 2;
}

const EXAMPLE = `from tb_plugin import summary

with summary.Writer("runs/tb/my_network") as writer:
    writer.add(summary.ablation_curve(
        "curve/all/random", ablated_units, accuracy, n_units=1024))
    writer.add(summary.unit_table(
        "units/all", layers, units,
        {"class_selectivity": selectivity, "importance": importance}))`;
