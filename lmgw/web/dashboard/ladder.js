// The ladder of tiers: the most capable on top, each with its lamp and its load.

import { byId, el, replace } from "./dom.js";
import * as format from "./format.js";
import { ended } from "./store.js";
import { median } from "./verdict.js";

const LAMPS = {
  closed: "answers", failing: "fails more often than not", probing: "being tried again", open: "kept away from",
  keyless: "its key is missing", idle: "not asked lately",
};

/** Draw the ladder. `tiers` are the configuration's, `figures` by tier name
 * `{lamp, why, running, waiting, limit, asked, period, failed, ttft}`. */
export function ladder(tiers, figures, chosen, choose) {
  const busiest = Math.max(1, ...Object.values(figures).map((each) => each.asked));
  replace(byId("rungs"), [...tiers].reverse().map((tier) => rung(tier, figures[tier.name], busiest, chosen === tier.name, choose)));
}

function rung(tier, { asked, period, failed, ttft, running, waiting, limit, lamp, why }, busiest, pressed, choose) {
  const load = limit ? running / limit : asked / busiest;
  const bar = el("span", { class: "load" }, el("span", { class: load >= 1 && limit ? "full" : "" }));
  bar.firstChild.style.width = `${Math.min(1, load) * 100}%`;
  const now = [`${running}${limit ? `/${limit}` : ""} running`, waiting ? `${waiting} waiting` : null];
  const lately = asked
    ? [`${format.count(asked)} ${period}`, failed ? `${format.share(failed)} failed` : null, ttft === null ? null : `first token ${format.ms(ttft)}`]
    : [running || waiting ? "nothing has ended yet" : "not asked lately"];
  return el("li", {}, el("button", { type: "button", class: "rung", "data-key": tier.name, "aria-pressed": String(pressed), onclick: () => choose(tier.name) },
    el("span", { class: `lamp ${lamp}`, role: "img", "aria-label": LAMPS[lamp], title: why || LAMPS[lamp] }),
    el("span", { class: "name" }, tier.name), el("span", { class: "running" }, now.filter(Boolean).join(", ")),
    el("span", { class: "model" }, `${tier.model} on ${tier.backend}`), bar,
    el("span", { class: "lately" }, lately.filter(Boolean).join(" · ")),
    why && el("span", { class: "why", title: why }, why)));
}

/** List the models that Ollama holds in memory. */
export function loaded(backends) {
  const rows = backends.flatMap((backend) => (backend.loaded_models ?? []).map((model) => {
    const size = model.size_vram || model.size;
    return el("li", {}, el("b", {}, model.name), ` on ${backend.name}`, size ? ` · ${format.short(size)}B` : "");
  }));
  byId("loaded").replaceChildren(...(rows.length ? [el("h3", {}, "Loaded by Ollama"), el("ul", {}, rows)] : []));
}

/** What the ladder shows, by tier: its lamp and its load; how many requests it had in the last hour or the selection;
 * of those of the last `lately_s` seconds, as far as the page has kept them, the share that failed by no fault of the
 * caller's and the median time to the first token. */
export function tierFigures(store, lately_s) {
  const { tiers } = store.config, { range } = store.filter;
  const [since, until] = range ?? [store.now() - lately_s, Infinity];
  const found = new Map(tiers.map((tier) => [tier.name, { requests: 0, errors: 0, firsts: [], hour: 0, queued: 0 }]));
  for (let i = store.entries.length - 1; i >= 0 && ended(store.entries[i]) >= since; i--) {
    const entry = store.entries[i], sums = found.get(entry.tier);
    if (!sums || entry.timestamp > until) continue;
    sums.requests += 1;
    sums.errors += entry.fault === "provider" || entry.fault === "gateway";
    if (entry.ttft_ms !== null) sums.firsts.push(entry.ttft_ms);
  }
  for (const row of store.spend?.last_hour ?? []) if (found.has(row.tier)) found.get(row.tier).hour += row.requests;
  for (const each of store.running.values()) if (each.state === "queued" && found.has(each.tier)) found.get(each.tier).queued += 1;
  return Object.fromEntries(tiers.map((tier) => [tier.name, figure(tier, found.get(tier.name), store)]));
}

function figure(tier, { requests, errors, firsts, hour, queued }, store) {
  const { range } = store.filter, failed = requests ? errors / requests : 0;
  return {
    asked: range ? requests : Math.max(hour, requests), period: range ? "selected" : "in 1 h", failed, ttft: median(firsts),
    waiting: tier.queue_id && tier.queue_id !== tier.name ? queued : store.queues[tier.name]?.waiting ?? queued,
    running: Math.max(0, (store.runningAt[tier.name] ?? 0) - queued), limit: tier.max_concurrent, ...lamp(tier, requests || hour, failed, store),
  };
}

function lamp(tier, asked, failed, store) {
  const settings = store.config.backends.find((backend) => backend.name === tier.backend);
  if (settings?.api_key_env && !settings.has_api_key) return { lamp: "keyless", why: `${settings.api_key_env} is not set` };
  for (const circuit of store.circuits(tier))
    return { lamp: circuit.state === "open" ? "open" : "probing", why: circuit.reason };
  return { lamp: failed > 0.5 ? "failing" : asked ? "closed" : "idle", why: "" };
}
