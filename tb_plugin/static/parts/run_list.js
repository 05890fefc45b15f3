// The list of runs at the side: filter, tick (or choose one), colour, facts.

import { figureView } from "../numbers/figure_views.js";
import { EVERY_RUN, folderOf, groupRuns, groupTitles } from "../numbers/groups.js";
import { plural } from "../numbers/labels.js";
import { matcher } from "../numbers/runs.js";
import { el, fill, icon, textButton } from "./dom.js";

let nextId = 0;

/**
 * @typedef {object} Entry
 * @property {string} run
 * @property {string} label
 * @property {string} colour  "" for none
 * @property {string[]} [also]  further names that the filter matches
 */

export class RunList {
  /** @param {(changes: Partial<import("../page/state.js").State>) => void} set
   * @param {() => void} onPoint  another run is pointed at, or none */
  constructor(set, onPoint) {
    this.set = set;
    /** The run under the pointer or the keyboard's focus; "" for none. */
    this.pointed = "";
    this.onPoint = onPoint;
    this.soon = 0;
    this.filter = el("input", {
      type: "search",
      placeholder: "Filter runs",
      title: "A part of a name, or a regular expression such as fig1a|fig7a",
      "aria-label": "Filter runs by a part of their name or a regular expression",
      spellcheck: "false",
      on: { input: () => set({ filter: this.filter.value }) },
    });
    this.problem = el("p", { class: "problem", role: "status" });
    this.group = el("select", {
      "aria-label": "Folder of runs",
      on: { change: () => set({ group: this.group.value, zoom: [] }) },
    });
    /** Name for files of the folder of all runs in the list; "" for none or several. */
    this.folder = "";
    this.about = el("p", { class: "about" });
    this.grouping = el("div", { class: "grouping", hidden: true }, this.group, this.about);
    this.tools = el("div", { class: "run-tools" });
    this.list = el("ul", { class: "runs" });
    this.followPointer();
    this.others = el("div", { class: "others" });
    const id = `runs-${nextId++}`;
    this.chosen = el("span", {});
    // Where the window is narrow, the list stands above the chart and is folded.
    this.unfold = el(
      "button",
      { class: "unfold", type: "button", "aria-expanded": "false", "aria-controls": id, on: { click: () => this.fold() } },
      icon("more"),
      this.chosen,
    );
    this.body = el(
      "div",
      { class: "side-body", id },
      el("div", { class: "search" }, icon("search"), this.filter),
      this.problem,
      this.grouping,
      this.tools,
      this.list,
      this.others,
    );
    this.element = el("aside", { class: "side", "aria-label": "Runs" }, this.unfold, this.body);
  }

  /** Unfolds the list in a narrow window, or folds it. */
  fold() {
    const open = this.element.classList.toggle("open");
    this.unfold.setAttribute("aria-expanded", String(open));
  }

  /** Listens to the list as a whole, however many runs it has. */
  followPointer() {
    const runOf = (/** @type {Event} */ { target }) =>
      /** @type {HTMLElement} */ (target).closest("li")?.querySelector("input")?.dataset.run ?? "";
    const listen = (/** @type {string} */ type, /** @type {(event: any) => void} */ listener) =>
      this.list.addEventListener(type, listener);
    // A finger has no place above the list: it would leave the last touched run pointed at.
    listen("pointerover", (event) => event.pointerType !== "touch" && this.point(runOf(event)));
    listen("pointerleave", () => this.point(""));
    // A click focuses a box too, and the pointer then tells what is pointed at.
    listen("focusin", (event) => event.target.matches(":focus-visible") && this.point(runOf(event)));
    listen("focusout", () => this.point(""));
  }

  /** Once for each frame that the browser paints: a pointer that crosses the list passes many runs.
   * @param {string} run  "": none */
  point(run) {
    if (run === this.pointed) return;
    this.pointed = run;
    if (this.soon) return;
    this.soon = requestAnimationFrame(() => {
      this.soon = 0;
      this.onPoint();
    });
  }

  /** The items of the chosen group of runs; from then on the list offers this group.
   * @template {{run: string, description?: string, facts?: Record<string, string>,
   *     meta?: {facts: Record<string, string>}}} T
   * @param {T[]} items @param {import("../page/state.js").State} state @returns {T[]} */
  narrow(items, state) {
    const places = new Map(
      items.map(({ run, facts, meta }) => [run, figureView(facts ?? meta?.facts ?? {}, state.view)?.place]),
    );
    const { groups, chosen } = groupRuns([...places.keys()], state, (run) => places.get(run) ?? Infinity);
    this.grouping.hidden = !groups.length;
    const within = chosen === EVERY_RUN ? items : items.filter((i) => folderOf(i.run) === chosen);
    const all = groups.reduce((sum, { size }) => sum + size, 0);
    const option = (/** @type {string} */ value, /** @type {string} */ text) =>
      el("option", { value, title: value }, text);
    const titles = groupTitles(groups.map(({ name }) => name), items);
    fill(
      this.group,
      option(EVERY_RUN, `All folders (${plural(all, "run")})`),
      ...groups.map(({ name, size }, i) => option(name, `${titles[i]} (${plural(size, "run")})`)),
    );
    this.group.value = chosen;
    const folders = new Set(within.map(({ run }) => folderOf(run)));
    const [folder = ""] = folders;
    this.folder = folders.size === 1 && folder !== "." ? fileName(folder) : "";
    const described = [...new Set(within.map((item) => item.description ?? ""))];
    this.about.textContent = chosen !== EVERY_RUN && described.length === 1 ? described[0] : "";
    return within;
  }

  /** Check boxes for runs. @param {Entry[]} entries
   * @param {import("../page/state.js").State} state */
  showMany(entries, state) {
    const shown = this.filtered(entries, state);
    const off = new Set(state.off);
    const setAll = (/** @type {boolean} */ on) => () => {
      const names = new Set(shown.map((e) => e.run));
      const others = state.off.filter((run) => !names.has(run));
      this.set({ off: on ? others : [...others, ...names] });
    };
    const ticked = shown.filter((e) => !off.has(e.run)).length;
    const count = `${ticked} of ${plural(shown.length, "run")}`;
    this.chosen.textContent = `Runs: ${count}`;
    fill(
      this.tools,
      el("span", {}, count),
      textButton("All", setAll(true)),
      textButton("None", setAll(false)),
    );
    this.draw(
      shown,
      "checkbox",
      (e) => !off.has(e.run),
      (run, on) => this.set({ off: on ? state.off.filter((r) => r !== run) : [...state.off, run] }),
    );
  }

  /** Radio buttons for runs. @param {Entry[]} entries
   * @param {import("../page/state.js").State} state
   * @param {string} chosen */
  showOne(entries, state, chosen) {
    this.showChoices(entries, state, chosen, "run with a unit table", (run) =>
      this.set({ unitRun: run, unitTag: "", inspect: [], outline: "", outlined: "" }),
    );
  }

  /** Radio buttons for any items. @param {Entry[]} entries
   * @param {import("../page/state.js").State} state @param {string} chosen @param {string} what
   * @param {(run: string) => void} onChoose */
  showChoices(entries, state, chosen, what, onChoose) {
    const shown = this.filtered(entries, state);
    const label = entries.find(({ run }) => run === chosen)?.label ?? "none";
    this.chosen.textContent = `Chosen: ${label}`;
    fill(this.tools, el("span", {}, plural(shown.length, what, what.replace(/^\w+/, "$&s"))));
    this.draw(shown, "radio", (e) => e.run === chosen, onChoose);
  }

  /** Runs that are not in the list: runs without data for this view, and runs whose data were
   * measured with other settings. @param {string[]} without @param {string[]} [unlike] */
  showOthers(without, unlike = []) {
    const block = (/** @type {string[]} */ runs, /** @type {string} */ why) =>
      runs.length > 0 &&
      el(
        "details",
        {},
        el("summary", {}, `${plural(runs.length, "run")} ${why}`),
        el("ul", {}, ...runs.map((run) => el("li", {}, run))),
      );
    fill(
      this.others,
      block(unlike, "with other settings"),
      block(without, "without data for this view"),
    );
  }

  /** @param {Entry[]} entries @param {import("../page/state.js").State} state */
  filtered(entries, state) {
    if (document.activeElement !== this.filter) this.filter.value = state.filter;
    const matches = matcher(state.filter);
    this.filter.setAttribute("aria-invalid", String(!matches));
    this.problem.textContent = matches ? "" : "Not a regular expression; all runs are shown.";
    return matches ? entries.filter((e) => [e.run, e.label, ...(e.also ?? [])].some(matches)) : entries;
  }

  /** @param {Entry[]} entries @param {"checkbox" | "radio"} type
   * @param {(entry: Entry) => boolean} isOn @param {(run: string, on: boolean) => void} onChange */
  draw(entries, type, isOn, onChange) {
    const focused = /** @type {HTMLInputElement | null} */ (document.activeElement)?.dataset?.run;
    const items = entries.map((entry) => {
      const input = el("input", {
        type,
        name: "run",
        checked: isOn(entry),
        "data-run": entry.run,
        on: { change: () => onChange(entry.run, input.checked) },
      });
      const swatch =
        entry.colour && el("span", { class: "swatch", style: `background:${entry.colour}` });
      const names = el(
        "span",
        { class: "names" },
        el("span", { class: "label" }, entry.label),
        entry.label !== entry.run && el("span", { class: "path" }, entry.run),
      );
      return el("li", {}, el("label", { title: entry.run }, input, swatch, names));
    });
    fill(this.list, ...items);
    // A redraw must not move the keyboard's focus out of the list.
    if (focused)
      [...this.list.querySelectorAll("input")].find((i) => i.dataset.run === focused)?.focus();
  }
}

/** The last part of a folder's name, as any system takes it in the name of a file.
 * @param {string} folder */
function fileName(folder) {
  const last = folder.slice(folder.lastIndexOf("/") + 1);
  return last.replace(/[^\w.-]+/g, "_").replace(/^[._]+/, "").slice(0, 60);
}
