// The ladder of tiers: the most capable on top, each with its lamp and its load.

import { byId, el, replace } from "./dom.js";
import * as format from "./format.js";

const LAMPS = { closed: "answers", probing: "being tried again", open: "kept away from", keyless: "its key is missing", idle: "not asked yet" };

/** Draw the ladder. `tiers` are the configuration's, `figures` by tier name `{lamp, why, running, waiting, limit, recent}`. */
export function ladder(tiers, figures, chosen, choose) {
  const busiest = Math.max(1, ...Object.values(figures).map((each) => each.recent.requests));
  replace(byId("rungs"), [...tiers].reverse().map((tier) => rung(tier, figures[tier.name], busiest, chosen === tier.name, choose)));
}

function rung(tier, figure, busiest, pressed, choose) {
  const { recent, running, waiting, limit, lamp, why } = figure;
  const load = limit ? running / limit : recent.requests / busiest;
  const bar = el("span", { class: "load" }, el("span", { class: load >= 1 && limit ? "full" : "" }));
  bar.firstChild.style.width = `${Math.min(1, load) * 100}%`;
  const now = [`${running}${limit ? `/${limit}` : ""} running`, waiting ? `${waiting} waiting` : null];
  const lately = recent.requests
    ? [format.plural(recent.requests, "request"), recent.errors ? `${format.share(recent.errors / recent.requests)} failed` : null,
       recent.ttft === null ? null : `first token ${format.ms(recent.ttft)}`]
    : ["not asked lately"];
  return el("li", {}, el("button", { type: "button", class: "rung", "data-key": tier.name, "aria-pressed": String(pressed), onclick: () => choose(tier.name) },
    el("span", { class: `lamp ${lamp}`, role: "img", "aria-label": LAMPS[lamp], title: why || LAMPS[lamp] }),
    el("span", { class: "name" }, tier.name), el("span", { class: "running" }, now.filter(Boolean).join(", ")),
    el("span", { class: "model" }, `${tier.model} on ${tier.backend}`), bar,
    el("span", { class: "lately" }, lately.filter(Boolean).join(" · ")),
    why && el("span", { class: "why" }, why)));
}

/** List the models that Ollama holds in memory. */
export function loaded(backends) {
  const rows = backends.flatMap((backend) => (backend.loaded_models ?? []).map((model) => {
    const name = typeof model === "string" ? model : model.name;
    const size = model.size_vram ?? model.size;
    return el("li", {}, el("b", {}, name), ` on ${backend.name}`, size ? ` · ${format.short(size)}B` : "");
  }));
  byId("loaded").replaceChildren(...(rows.length ? [el("h3", {}, "Loaded models"), el("ul", {}, rows)] : []));
}
