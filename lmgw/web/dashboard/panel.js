// Everything about one request: where its time went, which tiers were tried and why, what the provider said.

import { Refused, get } from "./api.js";
import { byId, copy, el } from "./dom.js";
import * as format from "./format.js";

const WORDS = {
  body: "request read", auth: "key and limits", queued: "queued", counting: "tokens counted",
  classifying: "classified", retrying: "pause before retry", attempt: "attempt",
};

const pair = (name, value) => (value === null || value === undefined || value === "" ? [] : [el("dt", {}, name), el("dd", {}, value)]);

/** Open the panel on a request; `known` is its entry where the page has it already. */
export async function open(id, known, config) {
  const panel = byId("panel");
  panel.hidden = false;
  document.body.classList.add("with-panel");
  const opened = { id };
  panel.opened = opened;
  const fill = (...children) => panel.opened === opened && panel.replaceChildren(head(id), ...children);
  if (known) fill(...body(known, null, config));
  else fill(el("p", { class: "empty" }, "Looking …"));
  panel.focus({ preventScroll: true });
  try {
    const { request = null, ...entry } = await get(`/admin/traffic/${encodeURIComponent(id)}`);
    if (entry.timestamp) fill(...body(entry, request, config));
    else fill(...running(entry));
  } catch (error) {
    if (!known) fill(el("p", { class: "problem" }, error instanceof Refused && error.status === 404
      ? "This id is not known here any more (or never was). It may still be in flight, or in the exported log."
      : `It could not be read: ${error.message}`));
  }
}

export function close() {
  const panel = byId("panel");
  panel.hidden = true;
  panel.opened = null;
  panel.replaceChildren();
  document.body.classList.remove("with-panel");
}

function head(id) {
  return el("header", {},
    el("div", {}, el("p", { class: "eyebrow" }, "Request"), el("h2", { class: "mono" }, id)),
    el("button", { type: "button", class: "quiet", onclick: () => copy(location.href, "Link") }, "Copy link"),
    el("button", { type: "button", class: "quiet", "aria-label": "Close", onclick: () => (location.hash = "#/") }, "✕"));
}

function body(entry, request, config) {
  const ok = entry.success;
  return [
    el("p", { class: `outcome ${ok ? "ok" : entry.fault ?? "gone"}` },
      el("span", { class: "status" }, String(entry.status || "–")), outcome(entry)),
    entry.error && el("pre", { class: "words" }, entry.error),
    el("h3", {}, "Where the time went"),
    waterfall(entry),
    el("h3", {}, "Route, and why"),
    route(entry),
    el("h3", {}, "Facts"),
    el("dl", {},
      pair("received", `${format.moment(entry.timestamp)}  (${format.clock(entry.timestamp)})`),
      pair("client", entry.client), pair("user", entry.user), pair("asked for", entry.requested_model),
      pair("profile", entry.profile_chain.join(" → ")), pair("mode", entry.routing_mode), pair("class", entry.class_label),
      pair("priority", String(entry.priority)), pair("dialect", `${entry.dialect} ${entry.operation ?? ""}${entry.stream ? ", streamed" : ""}`),
      pair("first token", entry.ttft_ms === null ? null : format.ms(entry.ttft_ms)),
      pair("took", format.ms(entry.latency_ms)),
      pair("gateway's own time", entry.overhead_ms === undefined ? null : format.ms(entry.overhead_ms)),
      pair("tokens", tokens(entry.tokens)),
      pair("cost", entry.cost_usd === null ? "not known: the tier has no price" : format.usd(entry.cost_usd)),
      pair("not carried over", (entry.lossy ?? []).join(", ")),
      Object.entries(entry.attribution ?? {}).flatMap(([name, value]) => pair(name, value))),
    el("h3", {}, "Ask it again"),
    curl(entry, request, config),
  ].filter(Boolean);
}

function running(row) {
  return [el("p", { class: "outcome" }, `In flight: ${row.state}, for ${format.ms(row.age_ms)} now.`),
    el("dl", {}, Object.entries(row).filter(([name]) => !["id", "state", "age_ms"].includes(name))
      .flatMap(([name, value]) => pair(name.replaceAll("_", " "), value === null ? null : String(value)))),
    el("p", { class: "hint" }, "Its way is told when it has ended; open it again then.")];
}

function outcome(entry) {
  const gone = entry.end_reason === "client_gone";
  if (gone) return "The client went away before the end.";
  if (entry.success) return entry.escalated ? "Answered, after escalation." : entry.overflowed ? "Answered, by the overflow tier." : "Answered.";
  const whose = { caller: "the caller's doing", policy: "refused by policy", provider: "the provider's fault", gateway: "the gateway's fault" };
  return `Failed: ${whose[entry.fault] ?? entry.end_reason}.`;
}

function tokens(used) {
  const cached = used.cache_read || used.cache_write ? ` (cache: ${format.count(used.cache_read)} read, ${format.count(used.cache_write)} written)` : "";
  return `${format.count(used.input)} in${cached}, ${format.count(used.output)} out, ${used.source}`;
}

/** One bar a span; attempts carry what became of them. */
function waterfall(entry) {
  const spans = entry.timeline?.length ? entry.timeline : entry.attempts.map((attempt) =>
    ({ what: "attempt", tier: attempt.tier, start_ms: entry.queue_ms, end_ms: entry.queue_ms + attempt.latency_ms }));
  const whole = Math.max(entry.latency_ms, ...spans.map((span) => span.end_ms), 1);
  const attempts = [...entry.attempts];
  const rows = spans.map((span) => {
    const attempt = span.what === "attempt" ? attempts.shift() : null;
    return bar(WORDS[span.what] ?? span.what, span.tier, span.start_ms, span.end_ms, whole, attempt);
  });
  const last = spans.length ? spans[spans.length - 1].end_ms : 0;
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
    failed && el("p", { class: "problem" }, [attempt.status ? `status ${attempt.status}` : null, attempt.error].filter(Boolean).join(": ")));
}

function route(entry) {
  const reasons = entry.reasons ?? [];
  if (!reasons.length) return el("p", { class: "hint" }, entry.tier ? `${entry.tier} on ${entry.backend} (${entry.model})` : "It never came to a route.");
  return el("ol", { class: "reasons" }, reasons.map((reason) =>
    el("li", { class: reason.chosen ? "chosen" : "skipped" }, el("b", {}, reason.tier), ` ${reason.chosen ? "chosen" : "skipped"}: ${reason.why}`)));
}

const PATHS = { openai: "/v1/chat/completions", anthropic: "/v1/messages", ollama: "/api/chat" };

/** A command that asks the same; the body is the request's own where it was kept, else an outline of it. */
function curl(entry, request, config) {
  const port = config?.gateway?.client_port ?? 8080;
  const outline = { model: entry.requested_model ?? entry.tier, messages: [{ role: "user", content: "…" }], stream: entry.stream };
  if (entry.dialect === "anthropic") outline.max_tokens = 1024;
  const sent = request ?? JSON.stringify(outline);
  const key = config?.auth_required ? " \\\n  -H \"Authorization: Bearer $LMGW_KEY\"" : "";
  const command = `curl -N http://${location.hostname}:${port}${PATHS[entry.dialect] ?? PATHS.openai}${key} \\\n` +
    `  -H 'Content-Type: application/json' \\\n  -d '${sent.replaceAll("'", "'\\''")}'`;
  const hint = request === null ? "Prompts are not kept (traffic_log_debug is off): put yours in place of the dots." : "With the body that was sent.";
  return el("div", { class: "curl" }, el("pre", { tabindex: "0" }, command),
    el("p", { class: "hint" }, hint), el("button", { type: "button", onclick: () => copy(command, "Command") }, "Copy as curl"));
}
