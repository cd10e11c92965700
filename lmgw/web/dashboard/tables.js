// What runs now, above what has finished: rows that are made once and changed in place.

import { byId, el, say } from "./dom.js";
import * as format from "./format.js";
import { ended } from "./store.js";

/** Rows on the page at most; the store keeps more. */
const ROWS = 100;

/** Show in-flight requests; rows stay while their request runs. */
export class Inflight {
  constructor() {
    this.rows = new Map();
  }

  show(running, total, now) {
    const body = byId("inflight-rows");
    const shown = running.slice(0, ROWS); // the oldest
    const ids = new Set(shown.map((each) => each.id));
    for (const [id, row] of this.rows) {
      if (ids.has(id)) continue;
      row.remove();
      this.rows.delete(id);
    }
    for (const each of shown) {
      let row = this.rows.get(each.id);
      if (!row) {
        row = this.row(each);
        this.rows.set(each.id, row);
        body.prepend(row);
      }
      this.update(row, each, now);
    }
    say(byId("inflight-count"), total > ROWS ? `oldest ${ROWS} of ${format.count(total)}` : total ? format.count(total) : "");
    byId("inflight-empty").hidden = running.length > 0;
    body.parentNode.hidden = running.length === 0;
  }

  row(each) {
    const state = el("span", { class: "state" });
    return el("tr", {}, el("td", {}, el("a", { href: `#/request/${encodeURIComponent(each.id)}`, title: each.id }, state)),
      el("td", {}), el("td", {}), el("td", {}), el("td", { class: "num" }), el("td", { class: "num" }));
  }

  update(row, each, now) {
    const state = row.querySelector(".state");
    state.dataset.state = each.state;
    say(state, each.state === "queued" && each.position ? `queued, ${ordinal(each.position)}` : each.state);
    const [, client, profile, tier, rate, age] = row.children;
    say(client, each.client || "–");
    say(profile, each.profile || "–");
    say(tier, each.tier || "–");
    say(rate, each.tokens_per_s ? format.short(each.tokens_per_s) : "–");
    say(age, format.seconds(Math.max(0, now - each.since)));
  }
}

const ordinal = (n) => n + (n % 100 > 10 && n % 100 < 14 ? "th" : ({ 1: "st", 2: "nd", 3: "rd" }[n % 10] ?? "th"));

/** The route in one cell: profile → tier. */
const route = (entry) => [...entry.profile_chain, entry.tier].filter(Boolean).join(" → ") || entry.requested_model || "–";

function happened(entry) {
  const tried = entry.attempts.length > 1 ? `${entry.attempts.length} attempts` : null;
  const said = entry.end_reason === "client_gone" ? "client went away" : entry.error;
  const tags = [entry.escalated && "escalated", entry.overflowed && "overflowed", entry.class_label && `class ${entry.class_label}`];
  return [said, ...tags, tried].filter(Boolean).join(" · ");
}

function finishedRow(entry) {
  const outcome = entry.end_reason === "client_gone" ? "gone" : entry.success ? "ok" : entry.fault ?? "gateway";
  const tokens = entry.tokens.input + entry.tokens.cache_read + entry.tokens.cache_write;
  const href = `#/request/${encodeURIComponent(entry.id)}`;
  const open = (event) => {
    if (!event.target.closest("a") && getSelection().isCollapsed) location.hash = href;
  };
  return el("tr", { class: outcome, onclick: open },
    el("td", { class: "time" }, el("a", { href, title: entry.id }, format.clock(ended(entry)))),
    el("td", {}, el("span", { class: `status ${outcome}` }, String(entry.status || "–"))),
    el("td", {}, entry.client || "–"),
    el("td", { class: "route", title: `${entry.requested_model ?? ""} → ${entry.model}` }, route(entry)),
    el("td", { class: "num" }, `${format.short(tokens)} / ${format.short(entry.tokens.output)}`),
    el("td", { class: "num" }, format.ms(entry.ttft_ms)),
    el("td", { class: "num" }, format.ms(entry.latency_ms)),
    el("td", { class: "num" }, format.usd(entry.cost_usd)),
    el("td", { class: "happened", title: entry.error ?? "" },
      el("div", {}, entry.fault && el("b", { class: `whose ${entry.fault}` }, entry.fault), happened(entry))));
}

/** Show finished requests, newest first. */
export class Finished {
  constructor() {
    this.shown = new Map();
  }

  /** `entries` are newest first, and already filtered; `missed` is how many came too fast to be told. */
  show(entries, missed, words) {
    const wanted = entries.slice(0, ROWS), rows = new Map(), body = byId("finished-rows");
    for (const entry of wanted) rows.set(entry, this.shown.get(entry) ?? finishedRow(entry));
    for (const [entry, row] of this.shown) if (!rows.has(entry)) row.remove();
    let before = body.firstChild;
    for (const row of rows.values()) {
      if (row === before) before = before.nextSibling;
      else body.insertBefore(row, before);
    }
    this.shown = rows;
    const shown = entries.length > ROWS ? `newest ${ROWS} of ${format.count(entries.length)}` : entries.length ? format.count(entries.length) : "";
    say(byId("finished-count"), [shown, missed && `${format.count(missed)} more came too fast to be listed`].filter(Boolean).join(" · "));
    byId("finished-empty").hidden = entries.length > 0;
    byId("finished-empty").textContent = words;
    body.parentNode.hidden = entries.length === 0;
  }
}
