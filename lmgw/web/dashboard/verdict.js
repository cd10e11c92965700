// The banner: one sentence that says whether the gateway is well, and whose fault it is if not.

import * as format from "./format.js";

export const FAULTS = ["caller", "policy", "provider", "gateway"];
export const WHOSE = {
  caller: "malformed, unknown model: the callers' own",
  policy: "key, permission or rate: refused on purpose",
  provider: "a provider failed or refused",
  gateway: "the gateway's own: a missing key, no room, a bug, a shutdown",
};

/** Minutes that the banner looks back, in seconds; below this share of failures nobody is disturbed. */
export const LOOK_BACK_S = 300;
const TOO_MANY = 0.05;

/** Add up slots of the history since a time. */
export function sums(slots, since) {
  const total = { requests: 0, errors: { caller: 0, policy: 0, provider: 0, gateway: 0 } }, firsts = [];
  for (const slot of slots) {
    if (slot.at < since) continue;
    total.requests += slot.requests;
    for (const fault of FAULTS) total.errors[fault] += slot.errors[fault];
    if (slot.ttft_p50_ms !== null) firsts.push(slot.ttft_p50_ms);
  }
  return { ...total, ttft: median(firsts) };
}

/** The middle one of some figures; null where there is none. */
export const median = (figures) => (figures.length ? figures.sort((a, b) => a - b)[figures.length >> 1] : null);

/** Notes at most; there may be as many troubles as tiers. */
const NOTES = 4;

/** Return {level: "ok" | "warn" | "bad" | "wait", sentence, brief, notes}: the worst in one sentence, its details and
 * the rest as notes; `brief` stays the same while only figures change. */
export function verdict(health, config, recent, connected) {
  if (!health) return { level: "wait", sentence: "Connecting …", brief: "Connecting", notes: [] };
  const found = [...problems(health, config, recent, connected)];
  if (!found.length) return { level: "ok", sentence: well(recent), brief: "All well", notes: [] };
  const [worst, ...others] = found;
  const notes = [worst.detail, ...others.map(({ sentence, detail }) => (detail ? `${sentence} ${detail}` : sentence))].filter(Boolean);
  const more = notes.length - NOTES;
  if (more > 0) notes.splice(NOTES, more, `… and ${more} more: GET /admin/health has them all.`);
  return { ...worst, notes };
}

const problem = (level) => (brief, rest = ".", detail = "") => ({ level, brief, sentence: brief + rest, detail });
const bad = problem("bad"), warn = problem("warn");

function* problems(health, config, recent, connected) {
  if (!connected) yield bad("No connection to the gateway: what is shown here is old");
  if (health.status === "draining") yield bad("Stopping: no new requests are taken, those in flight are finished");
  if (health.missing.length) {
    const off = (config?.backends ?? []).filter((backend) => backend.api_key_env && !backend.has_api_key).map((backend) => backend.name);
    yield bad(`Not ready: ${list(health.missing)} ${health.missing.length > 1 ? "are" : "is"} not set`,
      off.length ? `, so ${list(off)} ${off.length > 1 ? "are" : "is"} skipped.` : ".", "Set it where the gateway is started, then restart.");
  }
  const { troubles } = health;
  for (const { scope, brief, words, since, requests } of troubles)
    yield (scope === "backend" ? bad : warn)(`Degraded: ${brief}`,
      ` since ${format.moment(since)}, ${format.plural(requests, "request")}.`, words);
  if (health.losing) yield warn("The traffic log loses lines", ".", health.losing);
  const { provider, gateway } = recent.errors;
  for (const [fault, n] of [["gateway", gateway], ["provider", provider]]) {
    if (troubles.length && fault === "provider") continue;
    if (n > 1 && n / recent.requests > TOO_MANY)
      yield warn(`Degraded: requests fail ${fault === "provider" ? "at the providers" : "in the gateway itself"}`,
        `, ${format.share(n / recent.requests)} of the last ${format.count(recent.requests)}.`);
  }
  if (health.last_reload && !health.last_reload.ok)
    yield warn("The old configuration is in force", `: the reload at ${format.moment(Date.parse(health.last_reload.at) / 1000)} failed (see Config).`);
  if (health.missing_clients.length) yield warn(`No key for ${list(health.missing_clients)}`, ": these clients cannot come in.");
}

function well({ requests, errors, ttft }) {
  if (!requests) return "All well: nobody has asked anything in the last five minutes.";
  const theirs = errors.caller + errors.policy;
  const failed = errors.provider + errors.gateway;
  return `All well: ${format.plural(requests, "request")} in the last five minutes, ` +
    `${failed ? format.share(failed / requests) : "none"} failed` +
    `${theirs ? `, ${format.count(theirs)} refused` : ""}` +
    `${ttft === null ? "." : `; first token after ${format.ms(ttft)}.`}`;
}

const list = (names) => (names.length < 2 ? names.join() : `${names.slice(0, -1).join(", ")} and ${names[names.length - 1]}`);
