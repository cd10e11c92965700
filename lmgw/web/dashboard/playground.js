// A chat through a profile or a tier: the answer as it streams, the route it took, and a dry run of the same.

import { post, readEvents, refusal, send } from "./api.js";
import { byId, el } from "./dom.js";
import * as format from "./format.js";

let running = null;

/** Draw the view once; later calls only bring its list of names up to date. */
export function playground(config) {
  const view = byId("playground");
  if (!view.firstChild) view.append(...page());
  const names = byId("play-model"), before = names.value;
  const group = (label, kind, of) => el("optgroup", { label, "data-kind": kind }, of.map((name) => el("option", { value: name }, name)));
  names.replaceChildren(group("Profiles", "profile", Object.keys(config.profiles)), group("Tiers", "tier", config.tiers.map((tier) => tier.name)));
  if ([...names.options].some((option) => option.value === before)) names.value = before;
}

function page() {
  const form = el("form", { id: "play", onsubmit: (event) => (event.preventDefault(), running ? running.abort() : ask()) },
    el("label", { for: "play-model" }, "Through"), el("select", { id: "play-model" }),
    el("label", { for: "play-system" }, "System prompt"), el("input", { id: "play-system", placeholder: "none", autocomplete: "off" }),
    el("label", { for: "play-prompt" }, "Message"),
    el("textarea", { id: "play-prompt", rows: "5", required: true, placeholder: "Ask something.   Ctrl+Enter sends.", onkeydown: (event) => {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit();
    } }),
    el("div", { class: "tools" }, el("button", { type: "submit", id: "play-send", class: "primary" }, "Send"),
      el("button", { type: "button", id: "play-explain", onclick: explain }, "Explain without sending")));
  return [form, el("section", { class: "answer", "aria-label": "Answer" },
    el("div", { id: "play-route", role: "status" }, el("p", { class: "hint" }, "The route and the answer appear here. It is a request like any other: it is metered, limited and recorded.")),
    el("div", { id: "play-thinking" }), el("div", { id: "play-answer", "aria-live": "polite" }), el("p", { id: "play-figures", class: "hint" }))];
}

function body() {
  const messages = [{ role: "user", content: byId("play-prompt").value }];
  const system = byId("play-system").value.trim();
  if (system) messages.unshift({ role: "system", content: system });
  return { messages, stream: true, stream_options: { include_usage: true } };
}

/** What is chosen: ["profile" or "tier", its name]. */
function chosen() {
  const names = byId("play-model");
  return [names.selectedOptions[0].parentNode.dataset.kind, names.value];
}

function clear() {
  for (const id of ["play-route", "play-thinking", "play-answer", "play-figures"]) byId(id).replaceChildren();
}

async function ask() {
  clear();
  running = new AbortController();
  byId("play-send").textContent = "Stop";
  const since = performance.now();
  const heard = { first: null, usage: null };
  try {
    const [kind, name] = chosen();
    const response = await send("POST", "/admin/playground", { [kind]: name, ...body() }, running.signal);
    if (!response.ok) route(Object.fromEntries(response.headers));
    if (!response.ok) throw refusal(response, await response.json().catch(() => null));
    await readEvents(response, (name, data) => piece(name, data, heard, since));
  } catch (error) {
    if (error.name !== "AbortError") byId("play-answer").append(el("p", { class: "problem" }, error.message));
    else byId("play-answer").append(el("p", { class: "hint" }, "Stopped."));
  } finally {
    running = null;
    byId("play-send").textContent = "Send";
    figures(heard, performance.now() - since);
  }
}

function piece(name, data, heard, since) {
  if (data === "[DONE]") return;
  const event = JSON.parse(data);
  if (name === "head") {
    route(event.headers);
    return;
  }
  if (event.error) {
    byId("play-answer").append(el("p", { class: "problem" }, event.error.message ?? String(event.error)));
    return;
  }
  heard.usage = event.usage ?? heard.usage;
  const delta = event.choices?.[0]?.delta ?? {};
  const thought = delta.reasoning_content ?? delta.reasoning;
  if (thought) byId("play-thinking").append(thought);
  if (delta.content) {
    heard.first ??= performance.now() - since;
    byId("play-answer").append(delta.content);
  }
}

/** Show the headers of routing as a line of steps. */
function route(headers) {
  const lower = Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]));
  const said = (name) => lower[`x-lmg-${name.toLowerCase()}`];
  const id = lower["x-request-id"];
  const steps = [["profile", said("Profile")], ["class", said("Class")], ["tier", said("Tier")], ["backend", said("Backend")],
    ["model", said("Model")], ["attempts", said("Attempts")], ["escalated", said("Escalated")], ["overflowed", said("Overflowed")],
    ["fallback", said("Fallback")], ["overhead", said("Overhead-Ms") && `${said("Overhead-Ms")} ms`]];
  byId("play-route").replaceChildren(
    el("ol", { class: "steps" }, steps.filter(([, value]) => value).map(([name, value]) => el("li", {}, el("span", {}, name), el("b", {}, value)))),
    el("p", { class: "hint" }, id && el("a", { href: `#/request/${encodeURIComponent(id)}` }, `Everything about ${id}`)));
}

function figures({ first, usage }, took) {
  const said = [first === null ? null : `first token ${format.ms(first)}`, `${format.ms(took)} in all`,
    usage && `${format.count(usage.prompt_tokens)} tokens in, ${format.count(usage.completion_tokens)} out`];
  byId("play-figures").textContent = said.filter(Boolean).join(" · ");
}

async function explain() {
  clear();
  try {
    const [kind, name] = chosen();
    const plan = kind === "profile"
      ? await post(`/admin/explain?profile=${encodeURIComponent(name)}`, body())
      : await post("/admin/explain?expert=1", { model: name, ...body() });
    byId("play-route").replaceChildren(el("h3", {}, "What would be done"), facts(plan));
  } catch (error) {
    byId("play-route").replaceChildren(el("p", { class: "problem" }, error.message));
  }
}

function facts(plan) {
  const { reasons = [], ...rest } = plan;
  return el("div", {},
    el("dl", {}, Object.entries(rest).filter(([, value]) => value !== null && value !== "" && value !== false && !(Array.isArray(value) && !value.length))
      .flatMap(([name, value]) => [el("dt", {}, name.replaceAll("_", " ")), el("dd", {}, words(value))])),
    reasons.length > 0 && el("ol", { class: "reasons" }, reasons.map((reason) =>
      el("li", { class: reason.chosen ? "chosen" : "skipped" }, el("b", {}, reason.tier), ` ${reason.chosen ? "chosen" : "skipped"}: ${reason.why}`))));
}

function words(value) {
  if (Array.isArray(value)) return value.map(words).join(" → ");
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}
