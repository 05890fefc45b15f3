// Builds elements. Text from a log file enters the page only as a text node, so a run called "<img
// onerror=...>" is only an odd name.

/**
 * @param {string} tag
 * @param {Record<string, any>} [props]  attributes; `on` holds listeners; false and null: left out
 * @param {...(Node | string | null | undefined | false)} children
 * @returns {any} the element
 */
export function el(tag, props = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (name === "on") {
      for (const [type, listener] of Object.entries(value))
        element.addEventListener(type, listener);
    } else if (name === "value" || name === "checked" || name === "disabled") {
      /** @type {any} */ (element)[name] = value;
    } else if (value === true) {
      element.setAttribute(name, "");
    } else if (value !== false && value !== null && value !== undefined) {
      element.setAttribute(name, String(value));
    }
  }
  append(element, children);
  return element;
}

/** @param {Element} element @param {(Node | string | null | undefined | false)[]} children */
function append(element, children) {
  for (const child of children) {
    if (child !== null && child !== undefined && child !== false) element.append(child);
  }
}

/** @param {Element} element @param {...(Node | string | null | undefined | false)} children */
export function fill(element, ...children) {
  element.replaceChildren();
  append(element, children);
}

/** A button with a frame. @param {string} text @param {() => void} click @returns {HTMLButtonElement} */
export function button(text, click) {
  return el("button", { class: "button", type: "button", on: { click } }, text);
}

/** A button that looks like a link. @param {string} text @param {() => void} click
 * @returns {HTMLButtonElement} */
export function textButton(text, click) {
  return el("button", { class: "text-button", type: "button", on: { click } }, text);
}

/** A dab of colour. @param {string} colour */
export function swatch(colour) {
  return el("span", { class: "swatch", style: `background:${colour}` });
}

const ICONS = {
  reset: "M4 12a8 8 0 1 0 2.6-5.9M4 4v4.5h4.5",
  table: "M4 5h16v14H4zM4 10h16M4 14.5h16M10 10v9",
  download: "M12 4v11M7.5 10.5 12 15l4.5-4.5M5 19h14",
  search: "M10.5 4a6.5 6.5 0 1 1 0 13a6.5 6.5 0 0 1 0-13M15.3 15.3 20 20",
  chart: "M4 4v16h16M7 8c4 0 4 8 12 8",
  link: "M10 14a4 4 0 0 0 6 .4l2.6-2.6a4 4 0 0 0-5.6-5.6L11.6 7.6M14 10a4 4 0 0 0-6-.4l-2.6 2.6a4 4 0 0 0 5.6 5.6l1.4-1.4",
  copy: "M9 9h11v11H9zM5.5 15H4V4h11v1.5",
  more: "M9 6l6 6-6 6",
};

/** @param {keyof typeof ICONS} name @returns {SVGElement} */
export function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  path.setAttribute("d", ICONS[name]);
  svg.append(path);
  return svg;
}
