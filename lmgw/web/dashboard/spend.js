// Who spends, who floods: client × tier, the largest first.

import { byId, el, replace } from "./dom.js";
import * as format from "./format.js";

/** Draw the table; `rows` are the gateway's sums. */
export function spend(rows, choose) {
  const cost = rows.reduce((total, row) => total + row.cost_usd, 0);
  const asked = rows.reduce((total, row) => total + row.requests, 0);
  replace(byId("spend-rows"), rows.slice(0, 200).map((row) => {
    const bar = el("span", { class: "load" }, el("span"));
    bar.firstChild.style.width = `${(cost ? row.cost_usd / cost : row.requests / asked) * 100}%`;
    return el("tr", {},
      el("td", {}, el("button", { type: "button", class: "link", "data-key": `${row.client} client ${row.tier}`, onclick: () => choose("client", row.client) }, row.client || "(nobody)")),
      el("td", {}, el("button", { type: "button", class: "link", "data-key": `${row.client} tier ${row.tier}`, onclick: () => choose("tier", row.tier) }, row.tier || "(none reached)")),
      el("td", { class: "num" }, format.count(row.requests)),
      el("td", { class: "num" }, format.short(row.input + row.cache_read + row.cache_write)),
      el("td", { class: "num" }, format.short(row.cache_read)), el("td", { class: "num" }, format.short(row.output)),
      el("td", { class: row.limited ? "num flood" : "num" }, format.count(row.limited)),
      el("td", { class: "num" }, row.unpriced && !row.cost_usd ? "no price" : format.usd(row.cost_usd)),
      el("td", { class: "bar" }, bar));
  }));
  byId("spend-empty").hidden = rows.length > 0;
  byId("spend-rows").parentNode.hidden = rows.length === 0;
}

/** Add up entries as the gateway adds up its own: for a selected piece of time. */
export function added(entries) {
  const rows = new Map();
  for (const { client, tier, tokens, cost_usd, status } of entries) {
    const key = JSON.stringify([client, tier]);
    const row = rows.get(key) ?? { client, tier, requests: 0, limited: 0, input: 0, output: 0, cache_read: 0, cache_write: 0, cost_usd: 0, unpriced: 0 };
    rows.set(key, row);
    row.requests += 1;
    row.limited += status === 429;
    row.input += tokens.input;
    row.output += tokens.output;
    row.cache_read += tokens.cache_read;
    row.cache_write += tokens.cache_write;
    row.cost_usd += cost_usd ?? 0;
    row.unpriced += cost_usd === null && tokens.output > 0;
  }
  return [...rows.values()].sort((a, b) => b.cost_usd - a.cost_usd || b.requests - a.requests);
}
