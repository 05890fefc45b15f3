// Small controls: styled native inputs, so that keyboard and screen readers work.

import { el, fill } from "./dom.js";

let nextName = 0;

/** A row of exclusive choices.
 * @param {string} label @param {[string, string][]} choices  value and text
 * @param {(value: string) => void} onChange
 * @returns {{element: HTMLElement, set: (value: string) => void}} */
export function segmented(label, choices, onChange) {
  const name = `choice-${nextName++}`;
  const inputs = choices.map(([value]) =>
    el("input", { type: "radio", name, value, on: { change: () => onChange(value) } }),
  );
  const buttons = choices.map(([, text], i) =>
    el("label", { class: "segment" }, inputs[i], el("span", {}, text)),
  );
  const element = el(
    "fieldset",
    { class: "control" },
    el("legend", {}, label),
    el("div", { class: "segments" }, ...buttons),
  );
  return {
    element,
    set: (value) => inputs.forEach((input) => (input.checked = input.value === value)),
  };
}

/** A drop-down list.
 * @param {string} label @param {(value: string) => void} onChange */
export function dropDown(label, onChange) {
  const select = el("select", { on: { change: () => onChange(select.value) } });
  const caption = el("span", { class: "control-label" }, label);
  const element = el("label", { class: "control" }, caption, select);
  return {
    element,
    /** @param {string} text */
    label(text) {
      caption.textContent = text;
    },
    /** @param {[string, string][]} choices @param {string} value */
    set(choices, value) {
      fill(select, ...choices.map(([v, text]) => el("option", { value: v }, text)));
      select.value = value;
    },
  };
}

/** A slider over stored steps; hidden where there is one step only.
 * @param {(step: number) => void} onChange  -1 at the last step, which then follows new data */
export function stepSlider(onChange) {
  let steps = /** @type {number[]} */ ([]);
  const shown = el("output", {});
  const input = el("input", {
    type: "range",
    min: 0,
    step: 1,
    on: {
      input: () => {
        const index = Number(input.value);
        shown.textContent = steps[index].toLocaleString("en");
        onChange(index === steps.length - 1 ? -1 : steps[index]);
      },
    },
  });
  const element = el(
    "label",
    { class: "control", hidden: true },
    el("span", { class: "control-label" }, "Training step"),
    el("span", { class: "slider" }, input, shown),
  );
  return {
    element,
    /** @param {number[]} available  sorted @param {number} step */
    set(available, step) {
      steps = available;
      element.hidden = steps.length < 2;
      if (element.hidden) return;
      const after = step < 0 ? -1 : steps.findIndex((s) => s > step);
      const index = after < 0 ? steps.length - 1 : Math.max(0, after - 1);
      input.max = String(steps.length - 1);
      input.value = String(index);
      input.setAttribute("aria-valuetext", String(steps[index]));
      shown.textContent = steps[index].toLocaleString("en");
    },
  };
}
