// Everything about one request: where its time went, which tiers were tried and why, what the provider said.

import { Refused, get } from "./api.js";
import { BODY_KEPT, curl } from "./curl.js";
import { byId, copy, el } from "./dom.js";
import * as format from "./format.js";

const WORDS = {
  body: "request read", auth: "key and limits", queued: "queued", counting: "tokens counted",
  classifying: "classified", retrying: "pause before retry", attempt: "attempt",
};

const pair = (name, value) => (value === null || value === undefined || value === "" ? [] : [el("dt", {}, name), el("dd", {}, value)]);

/** Milliseconds between two looks at a request that still runs. */
const LOOK_MS = 1000;

/** Open the panel on a request; `known` is its entry where the page has it already. */
export async function open(id, known, store) {
  const panel = byId("panel");
  if (panel.hidden) panel.before = document.activeElement;
  panel.hidden = false;
  document.body.classList.add("with-panel");
  const opened = { id };
  panel.opened = opened;
  const fill = (...children) => {
    if (panel.opened !== opened) return;
    if (panel.firstChild?.dataset.id !== id) panel.replaceChildren(head(id), el("div", {}));
    panel.lastChild.replaceChildren(...children);
  };
  if (known) fill(...body(known, null, store));
  else fill(el("p", { class: "empty" }, "Looking …"));
  panel.focus({ preventScroll: true });
  try {
    for (;;) {
      const { request = null, ...entry } = await get(`/admin/traffic/${encodeURIComponent(id)}`);
      if (entry.timestamp) return fill(...body(entry, request, store));
      if (panel.opened !== opened) return;
      fill(...running(entry));
      await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
    }
  } catch (error) {
    if (!known) fill(el("p", { class: "problem" }, error instanceof Refused && error.status === 404
      ? "This id is not known here (any more). If a traffic log is written (traffic_log_path), look there."
      : `It could not be read: ${error.message}`));
  }
}

/** Close it; who opened it by keyboard is back where they were. */
export function close() {
  const panel = byId("panel");
  if (panel.hidden) return;
  const inside = panel.contains(document.activeElement);
  panel.hidden = true;
  panel.opened = null;
  panel.replaceChildren();
  document.body.classList.remove("with-panel");
  if (inside && panel.before?.isConnected) panel.before.focus({ preventScroll: true });
}

function head(id) {
  return el("header", { "data-id": id },
    el("div", {}, el("p", { class: "eyebrow" }, "Request"), el("h2", { class: "mono" }, id)),
    el("button", { type: "button", class: "quiet", onclick: () => copy(location.href, "Link") }, "Copy link"),
    el("button", { type: "button", class: "quiet", "aria-label": "Close", onclick: () => (location.hash = "#/") }, "✕"));
}

function body(entry, request, store) {
  const kind = entry.end_reason === "client_gone" ? "gone" : entry.success ? "ok" : entry.fault ?? "gateway";
  return [
    el("p", { class: "outcome" }, el("span", { class: `status ${kind}` }, String(entry.status || "–")), outcome(entry)),
    entry.error && el("pre", { class: "words" }, entry.error),
    el("h3", {}, "Where the time went"),
    waterfall(entry),
    el("h3", {}, "Route, and why"),
    route(entry),
    el("h3", {}, "Facts"),
    el("dl", {},
      pair("received", format.moment(entry.timestamp, true)),
      pair("client", entry.client), pair("user", entry.user), pair("asked for", entry.requested_model),
      pair("profile", entry.profile_chain.join(" → ")), pair("mode", entry.routing_mode), pair("class", entry.class_label),
      pair("priority", String(entry.priority)), pair("dialect", `${entry.dialect} ${entry.operation ?? ""}${entry.stream ? ", streamed" : ""}`),
      pair("first token", entry.ttft_ms === null ? null : format.ms(entry.ttft_ms)),
      pair("took", format.ms(entry.latency_ms)),
      pair("gateway's own time", format.ms(entry.overhead_ms)),
      pair("tokens", tokens(entry.tokens)),
      pair("cost", cost(entry)),
      spent("answers not used", entry.discarded), spent("classifiers", entry.classifying),
      pair("not carried over", entry.lossy.join(", ")),
      Object.entries(entry.attribution).flatMap(([name, value]) => pair(name, value))),
    el("h3", {}, "Ask it again"),
    ask(entry, request, store),
  ].filter(Boolean);
}

function running(row) {
  const said = { ...row, age_ms: null, id: null, state: null, ttft_ms: row.ttft_ms === null ? null : format.ms(row.ttft_ms) };
  return [el("p", { class: "outcome" }, `In flight: ${row.state}, for ${format.ms(row.age_ms)} now.`),
    el("dl", {}, Object.entries(said).flatMap(([name, value]) =>
      pair({ ttft_ms: "first token", tokens_per_s: "tokens/s" }[name] ?? name.replaceAll("_", " "), value === null ? null : String(value)))),
    el("p", { class: "hint" }, "The whole of it is told here as soon as it has ended.")];
}

function outcome(entry) {
  const gone = entry.end_reason === "client_gone";
  if (gone) return "The client went away before the end.";
  if (entry.success) return entry.escalated ? "Answered, after escalation." : entry.overflowed ? "Answered, by the overflow tier." : "Answered.";
  const whose = { caller: "the caller's doing", policy: "refused on purpose", provider: "the provider's fault", gateway: "the gateway's own fault" };
  return `Failed: ${whose[entry.fault] ?? entry.end_reason}.`;
}

function cost(entry) {
  if (entry.cost_usd !== null) return format.usd(entry.cost_usd);
  return entry.tier && entry.tokens.output ? "not known: the tier has no price" : null;
}

/** What was paid for beside the answer that was sent. */
function spent(name, answers) {
  return answers.flatMap((each) => pair(name, `${each.tier}: ${tokens(each.tokens)}${each.cost_usd === null ? "" : `, ${format.usd(each.cost_usd)}`}`));
}

function tokens(used) {
  if (!used.input && !used.output && !used.cache_read && !used.cache_write) return "none";
  const cached = used.cache_read || used.cache_write ? ` (cache: ${format.count(used.cache_read)} read, ${format.count(used.cache_write)} written)` : "";
  return `${format.count(used.input)} in${cached}, ${format.count(used.output)} out, ${used.source}`;
}

/** One bar a span; attempts carry what became of them. */
function waterfall(entry) {
  const spans = entry.timeline;
  if (!spans.length) return el("p", { class: "hint" }, "It was refused at once.");
  const whole = Math.max(entry.latency_ms, ...spans.map((span) => span.end_ms), 1);
  const attempts = [...entry.attempts];
  const rows = spans.map((span) => {
    const attempt = span.what === "attempt" ? attempts.shift() : null;
    return bar(WORDS[span.what] ?? span.what, span.tier, span.start_ms, span.end_ms, whole, attempt);
  });
  const last = spans[spans.length - 1].end_ms;
  if (entry.ttft_ms !== null && entry.latency_ms - Math.max(last, entry.ttft_ms) > whole / 200)
    rows.push(bar("answer", entry.tier, Math.max(last, entry.ttft_ms), entry.latency_ms, whole, null, "answer"));
  const first = entry.ttft_ms === null ? null
    : el("p", { class: "hint" }, `first token after ${format.ms(entry.ttft_ms)}, the last after ${format.ms(entry.latency_ms)}`);
  return el("div", { class: "waterfall" }, el("ol", {}, rows), first);
}

function bar(name, tier, start, end, whole, attempt, kind) {
  const failed = attempt?.error || attempt?.status >= 400;
  const piece = el("span", { class: `piece ${kind ?? (attempt ? (failed ? "failed" : "answered") : "waited")}` });
  piece.style.left = `${(start / whole) * 100}%`;
  piece.style.width = `max(3px, ${((end - start) / whole) * 100}%)`;
  return el("li", {},
    el("span", { class: "what" }, name, tier && el("em", {}, ` ${tier}`)),
    el("span", { class: "track" }, piece), el("span", { class: "num" }, format.ms(end - start)),
    failed && el("p", { class: "problem" }, attempt.error ?? `status ${attempt.status}`));
}

function route(entry) {
  const { reasons } = entry;
  if (!reasons.length) return el("p", { class: "hint" }, entry.tier ? `${entry.tier} on ${entry.backend} (${entry.model})` : "It never came to a route.");
  return el("ol", { class: "reasons" }, reasons.map((reason) =>
    el("li", { class: reason.chosen ? "chosen" : "skipped" }, el("b", {}, reason.tier), ` ${reason.chosen ? "chosen" : "skipped"}: ${reason.why}`)));
}

/** The command that asks the same, to be copied. */
function ask(entry, request, store) {
  const command = curl(entry, request, store);
  const hint = request === null ? "Prompts are not kept (traffic_log_debug is off): put yours in place of the dots."
    : request.length < BODY_KEPT ? "With the body that was sent." : "With the first 64 KiB of the body that was sent: no more is kept.";
  return el("div", { class: "curl" }, el("pre", { tabindex: "0" }, command), el("p", { class: "hint" }, hint),
    el("button", { type: "button", onclick: () => copy(command, "Command") }, "Copy as curl"));
}
