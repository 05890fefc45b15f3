// The entry of a static copy of the tab: every page of the copy runs this script.

import { App } from "../app.js";
import { isDark } from "../page/host.js";
import { el } from "../parts/dom.js";
import * as echarts from "../vendor/echarts.js";

/** What `?embed` or `?embed=NAME` asks for: one chart alone; null without it. */
function embedded() {
  return new URLSearchParams(window.location.search).get("embed");
}

/** Marks the chart that an embedding page shows: the named one, else the first, or the whole lab;
 * site.css hides the rest. @param {HTMLElement} root @param {string} name */
function markChart(root, name) {
  const lab = !name && root.querySelector(".network") !== null;
  root.classList.toggle("whole", lab);
  const cards = [...root.querySelectorAll(".card:has(.chart)")];
  const names = cards.map((card) => card.querySelector(".chart")?.getAttribute("data-name"));
  const chosen = cards[Math.max(0, names.indexOf(name))];
  for (const card of cards) card.classList.toggle("shown-alone", card === chosen);
}

async function start() {
  document.documentElement.dataset.theme = isDark() ? "dark" : "light";
  const root = el("div", { id: "single-directions" });
  const name = embedded();
  if (name !== null) {
    document.documentElement.dataset.embed = "";
    new MutationObserver(() => markChart(root, name)).observe(root, { childList: true, subtree: true });
  }
  document.body.append(root);
  const app = new App(root, echarts);
  app.showLoading();
  await app.refresh();
}

start();
