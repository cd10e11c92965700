// The configuration in force: what is missing, what is doubtful, and everything else without secrets.

import { post } from "./api.js";
import { byId, el, toast } from "./dom.js";
import * as format from "./format.js";

/** Draw the view; `reloaded` is called after a reload, whatever came of it. */
export function config(store, reloaded) {
  const { health, config: settings } = store;
  const everything = byId("config").querySelector("details")?.open;
  byId("config").replaceChildren(
    el("div", { class: "config-head" }, el("h2", {}, "Configuration"),
      el("p", { class: "hint" }, `${settings.path ?? "no file"} · ${settings.fingerprint}`),
      el("button", { type: "button", id: "reload", class: "primary", onclick: (event) => reload(event.currentTarget, reloaded) }, "Reload")),
    el("div", { id: "reload-result", role: "status" }, last(health)),
    el("div", { class: "cards" }, missing(health, settings), warnings(health)),
    el("h3", {}, "Backends"), el("div", { id: "backend-rows", class: "scroll" }),
    el("h3", {}, "Tiers"), table(["Name", "Backend", "Model", "Context", "At once", "Failover", "$/M in", "$/M out"], settings.tiers.map((tier) => [
      tier.name, tier.backend, tier.model, format.count(tier.max_context_tokens), tier.max_concurrent || "–",
      tier.failover.join(", ") || "–", tier.input_price ?? "–", tier.output_price ?? "–"]), [3, 4, 6, 7]),
    el("h3", {}, "Profiles"), table(["Name", "Mode", "Classifier", "Answers"], Object.entries(settings.profiles).map(([name, profile]) => [
      name, profile.mode, profile.classifier ?? "–", profile.reply_message ?? "–"])),
    el("h3", {}, "Clients"), settings.clients.length
      ? table(["Name", "Key", "Profile"], settings.clients.map((client) => [
        client.name, chip(client.has_key, `${client.key_env ?? "sha256"} is ${client.has_key ? "set" : "missing"}`), client.profile ?? "–"]))
      : el("p", { class: "empty" }, settings.auth_required ? "No clients." : "Everybody may ask: no clients are configured."),
    el("details", { open: everything }, el("summary", {}, "Everything, as JSON"), el("pre", { tabindex: "0" }, JSON.stringify(settings, null, 2))));
  backendRows(store);
}

/** Draw the backends: their keys, and what came of asking each for what costs nothing. */
export function backendRows(store) {
  const probed = new Map(store.backends.map((each) => [each.name, each]));
  byId("backend-rows").replaceChildren(...table(["Name", "Provider", "Address", "Key", "Circuit", "Connections", "Asked just now"],
    store.config.backends.map((backend) => {
      const found = probed.get(backend.name);
      return [backend.name, backend.provider, backend.base_url || "–",
        backend.api_key_env ? chip(backend.has_api_key, `${backend.api_key_env} is ${backend.has_api_key ? "set" : "missing"}`) : "no key needed",
        found ? chip(found.circuit.state === "closed", found.circuit.state) : "–",
        found?.connections ? `${found.connections.open} open, ${found.connections.idle} idle` : "–",
        found ? el("span", {}, chip(found.ok, found.ok ? "well" : "not well"), ` ${found.words}${found.latency_ms >= 0.1 ? `, ${format.ms(found.latency_ms)}` : ""}`) : "…"];
    })).childNodes);
}

function chip(well, words) {
  return el("span", { class: `chip ${well ? "ok" : "bad"}` }, words);
}

/** `numbers` are the columns that hold figures. */
function table(heads, rows, numbers = []) {
  const kind = (i) => (numbers.includes(i) ? "num" : null);
  return el("div", { class: "scroll" }, el("table", {}, el("thead", {}, el("tr", {}, heads.map((each, i) => el("th", { class: kind(i) }, each)))),
    el("tbody", {}, rows.map((row) => el("tr", {}, row.map((cell, i) => el("td", { class: kind(i) }, cell instanceof Node ? cell : String(cell))))))));
}

function missing(health, settings) {
  const needed = (variable) => settings.backends.filter((backend) => backend.api_key_env === variable).map((backend) => backend.name).join(", ");
  const rows = [
    ...health.missing.map((variable) => el("li", {}, el("b", { class: "mono" }, variable), ` for ${needed(variable) || "a backend"}`)),
    ...(health.missing_clients ?? []).map((name) => el("li", {}, `the key of client `, el("b", {}, name))),
  ];
  return el("section", { class: `card ${rows.length ? "bad" : "ok"}` }, el("h3", {}, "Missing keys"),
    rows.length ? el("ul", {}, rows) : el("p", {}, "None: every backend has what it needs."),
    rows.length > 0 && el("p", { class: "hint" }, "Set it where the gateway reads its environment, then restart the gateway."));
}

function warnings(health) {
  const rows = (health.warnings ?? []).map((each) => el("li", {}, each));
  return el("section", { class: `card ${rows.length ? "warn" : "ok"}` }, el("h3", {}, "Warnings"),
    rows.length ? el("ul", {}, rows) : el("p", {}, "None."));
}

function last(health) {
  const reload = health.last_reload;
  if (!reload) return el("p", { class: "hint" }, `In force since the start, ${format.seconds(health.uptime_secs)} ago.`);
  const at = format.moment(Date.parse(reload.at) / 1000);
  return outcome(reload.ok, `${at}: ${reload.summary}`, reload.problems ?? []);
}

function outcome(ok, summary, lines) {
  return el("div", { class: `card ${ok ? "ok" : "bad"}` }, el("p", {}, summary), lines.length > 0 && el("ul", {}, lines.map((line) => el("li", {}, line))));
}

async function reload(button, reloaded) {
  button.disabled = true;
  try {
    const answer = await post("/admin/reload");
    await reloaded();
    byId("reload-result").replaceChildren(outcome(true, answer.summary, answer.changes ?? []));
    toast("Reloaded");
  } catch (error) {
    await reloaded();
    byId("reload-result").replaceChildren(outcome(false, error.message, error.body?.problems ?? []));
    toast("The reload failed: nothing has changed");
  } finally {
    button.disabled = false;
    byId("reload").focus();
  }
}
