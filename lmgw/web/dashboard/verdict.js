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
  const total = { requests: 0, errors: { caller: 0, policy: 0, provider: 0, gateway: 0 }, ttft: null };
  for (const slot of slots) {
    if (slot.at < since) continue;
    total.requests += slot.requests;
    for (const fault of FAULTS) total.errors[fault] += slot.errors[fault];
    total.ttft = slot.ttft_p50_ms ?? total.ttft;
  }
  return total;
}

/** Return {level: "ok" | "warn" | "bad", sentence, notes}; the worst comes first, the rest are notes. */
export function verdict(health, recent, connected) {
  if (!connected) return { level: "bad", sentence: "No connection to the gateway: what is shown here is old.", notes: [] };
  if (!health) return { level: "wait", sentence: "Connecting …", notes: [] };
  const found = [...problems(health, recent)];
  const [worst, ...others] = found;
  if (worst) return { level: worst.level, sentence: worst.sentence, notes: others.map((each) => each.sentence) };
  return { level: "ok", sentence: well(recent), notes: [] };
}

function* problems(health, recent) {
  const bad = (sentence) => ({ level: "bad", sentence }), warn = (sentence) => ({ level: "warn", sentence });
  if (health.status === "draining") yield bad("Stopping: no new requests are taken, those in flight are finished.");
  if (health.missing.length)
    yield bad(`Not ready: ${list(health.missing)} ${health.missing.length > 1 ? "are" : "is"} not set; what needs ` +
      `${health.missing.length > 1 ? "them" : "it"} is skipped.`);
  const troubles = [...health.troubles].sort((a, b) => (a.scope < b.scope ? -1 : a.scope > b.scope ? 1 : b.attempts - a.attempts));
  for (const { scope, words, since, attempts } of troubles)
    yield (scope === "backend" ? bad : warn)(`Degraded: ${words}; since ${format.moment(since)}, ${format.plural(attempts, "attempt")} failed.`);
  const { provider, gateway } = recent.errors;
  for (const [fault, n] of [["gateway", gateway], ["provider", provider]]) {
    if (troubles.length && fault === "provider") continue;
    if (n > 1 && n / recent.requests > TOO_MANY)
      yield warn(`Degraded: ${format.share(n / recent.requests)} of the last ${format.plural(recent.requests, "request")} ` +
        (fault === "provider" ? "failed at the providers." : "failed in the gateway itself."));
  }
  if (health.last_reload && !health.last_reload.ok)
    yield warn(`The old configuration is in force: the reload at ${format.moment(Date.parse(health.last_reload.at) / 1000)} failed (see Config).`);
  if (health.missing_clients?.length) yield warn(`No key for ${list(health.missing_clients)}: these clients cannot come in.`);
}

function well({ requests, errors, ttft }) {
  if (!requests) return "All well: nobody has asked anything in the last five minutes.";
  const theirs = errors.caller + errors.policy;
  const failed = errors.provider + errors.gateway;
  return `All well: ${format.plural(requests, "request")} in the last five minutes, ` +
    `${failed ? format.share(failed / requests) : "none"} failed` +
    `${theirs ? `, ${format.count(theirs)} refused for the callers' own mistakes` : ""}` +
    `${ttft === null ? "." : `; first token after ${format.ms(ttft)}.`}`;
}

const list = (names) => (names.length < 2 ? names.join() : `${names.slice(0, -1).join(", ")} and ${names[names.length - 1]}`);
