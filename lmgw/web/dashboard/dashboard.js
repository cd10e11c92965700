// The page: reads what the gateway knows, keeps it up to date, and draws at most a few times a second whatever comes in.

import { Refused, get, login } from "./api.js";
import { config as showConfig } from "./config.js";
import { byId, choice, el, say } from "./dom.js";
import * as format from "./format.js";
import { ladder, loaded } from "./ladder.js";
import * as panel from "./panel.js";
import { playground } from "./playground.js";
import { Plots } from "./plots.js";
import { added, spend } from "./spend.js";
import { Store } from "./store.js";
import { Finished, Inflight } from "./tables.js";
import { FAULTS, LOOK_BACK_S, WHOSE, sums, verdict } from "./verdict.js";

const SPANS = [[300, "5 min"], [900, "15 min"], [3600, "1 h"]];
const phone = matchMedia("(max-width: 720px)");

const store = new Store();
const inflight = new Inflight(), finished = new Finished();
let span = 900, period = "last_hour", paused = false;

const now = () => Date.now() / 1000;
const plots = new Plots(byId("plot-grid"), (range) => narrow({ range }));

// -- drawing: each part is marked as changed, and drawn with the next frame, tables and plots no more often than this

const EVERY_MS = { tables: 200, plots: 500, ladder: 500, spend: 1000, banner: 500 };
const changed = new Set(), drawnAt = {};
let frame = 0, held = false;

function draw(...parts) {
  for (const part of parts) changed.add(part);
  frame ||= requestAnimationFrame(paint);
}

function paint(time) {
  frame = 0;
  if (held) return;
  for (const part of [...changed]) {
    if (time - (drawnAt[part] ?? -1e9) < EVERY_MS[part]) continue;
    changed.delete(part);
    drawnAt[part] = time;
    PARTS[part]();
  }
  if (changed.size && !document.hidden) frame = requestAnimationFrame(paint);
}

// Nothing is replaced under a pressed button: the click would be lost.
addEventListener("pointerdown", () => (held = true), true);
for (const kind of ["pointerup", "pointercancel"]) addEventListener(kind, () => ((held = false), setTimeout(draw)), true);
document.addEventListener("visibilitychange", () => document.hidden || draw(...Object.keys(EVERY_MS)));

const PARTS = {
  banner() {
    const recent = sums(store.slotsInOrder, now() - LOOK_BACK_S);
    const { level, sentence, notes } = verdict(store.health, recent, store.connected);
    if (store.health) say(byId("version"), `${store.health.version} · up ${format.seconds(store.health.uptime_secs)}`);
    byId("banner").dataset.level = level;
    say(byId("verdict"), sentence);
    byId("notes").replaceChildren(...notes.map((note) => el("li", {}, note)));
    for (const button of byId("faults").children) {
      const n = recent.errors[button.dataset.fault];
      say(button.lastChild, `${button.dataset.fault} ${format.count(n)}`);
      button.classList.toggle("some", n > 0);
      button.setAttribute("aria-pressed", String(store.filter.outcome === button.dataset.fault));
    }
    document.title = `${{ ok: "", wait: "", warn: "▲ ", bad: "■ " }[level]}lmgw`;
  },
  tables() {
    inflight.show([...store.running.values()], store.runningCount, now());
    if (paused) return;
    finished.show(store.filtered(2000), store.entries.length ? "Nothing that was kept fits these filters." : "No request yet.");
  },
  plots() {
    say(byId("span-label"), SPANS.find(([seconds]) => seconds === span)[1]);
    plots.show(store.slotsInOrder, store.marks, now(), span);
  },
  ladder() {
    if (!store.config) return;
    const figures = Object.fromEntries(store.config.tiers.map((tier) => [tier.name, figure(tier)]));
    ladder(store.config.tiers, figures, store.filter.tier, (name) => narrow({ tier: store.filter.tier === name ? null : name }));
    loaded(store.backends);
  },
  spend() {
    const rows = store.filter.range ? added(store.filtered(Infinity)) : store.spend?.[period] ?? [];
    spend(rows, (key, name) => narrow({ [key]: name }));
  },
};

/** What the ladder shows of a tier: its lamp, its load, and its requests of the last five minutes or the selection. */
function figure(tier) {
  const [since, until] = store.filter.range ?? [now() - LOOK_BACK_S, Infinity];
  const recent = { requests: 0, errors: 0, ttft: null }, firsts = [];
  for (let i = store.entries.length - 1; i >= 0 && store.entries[i].timestamp >= since - 60; i--) {
    const entry = store.entries[i];
    if (entry.tier !== tier.name || entry.timestamp < since || entry.timestamp > until) continue;
    recent.requests += 1;
    recent.errors += !entry.success;
    if (entry.ttft_ms !== null) firsts.push(entry.ttft_ms);
  }
  if (firsts.length) recent.ttft = firsts.sort((a, b) => a - b)[firsts.length >> 1];
  const running = [...store.running.values()].filter((each) => each.tier === tier.name);
  const queue = store.queues[tier.queue_id || tier.name];
  const waiting = queue?.waiting ?? running.filter((each) => each.state === "queued").length;
  return { recent, waiting, running: running.filter((each) => each.state !== "queued").length, limit: tier.max_concurrent, ...lamp(tier, recent) };
}

function lamp(tier, recent) {
  const settings = store.config.backends.find((backend) => backend.name === tier.backend);
  if (settings?.api_key_env && !settings.has_api_key) return { lamp: "keyless", why: `${settings.api_key_env} is not set` };
  for (const circuit of store.circuits(tier)) {
    if (circuit.state !== "closed") return { lamp: circuit.state === "open" ? "open" : "probing", why: circuit.reason };
  }
  return { lamp: recent.requests ? "closed" : "idle", why: "" };
}

// -- filters

/** Change what is filtered by, and draw everything with it. */
function narrow(change) {
  Object.assign(store.filter, change);
  const { range, tier, client, text } = store.filter;
  const chips = [
    range && [`${format.clock(range[0])} – ${format.clock(range[1])}`, () => ((plots.range = null), narrow({ range: null }))],
    tier !== null && [`tier ${tier || "none"}`, () => narrow({ tier: null })],
    client !== null && [`client ${client || "nobody"}`, () => narrow({ client: null })],
    text && [`“${text}”`, () => ((byId("needle").value = ""), narrow({ text: "" }))],
  ].filter(Boolean);
  byId("filters").replaceChildren(...chips.map(([words, drop]) =>
    el("li", {}, el("button", { type: "button", "aria-label": `Filter ${words}: drop it`, onclick: drop }, `${words}  ✕`))));
  showOutcome(store.filter.outcome);
  say(byId("finished-name"), store.filter.outcome === "all" ? "Finished" : "Failures");
  if (range || store.filter.outcome !== "all") older();
  draw("tables", "plots", "ladder", "spend", "banner");
}

/** Ask for what the page does not have any more, or never had: failures are kept longer than the rest. */
async function older() {
  const query = new URLSearchParams({ limit: 1000 });
  if (store.filter.range) query.set("since", store.filter.range[0]);
  if (store.filter.outcome !== "all") query.set("failures", 1);
  store.finished((await get(`/admin/traffic?${query}`)).entries.reverse());
  store.order();
  draw("tables", "ladder", "spend");
}

const outcomes = [["all", "All"], ["failed", "Failed"], ...FAULTS.map((fault) => [fault, fault])];
const showOutcome = choice(byId("outcomes"), outcomes, "all", (outcome) => narrow({ outcome }));
const showSpan = choice(byId("spans"), SPANS, span, (value) => ((span = value), draw("plots")));
choice(byId("periods"), [["last_hour", "Last hour"], ["today", "Today"]], period, (value) => ((period = value), draw("spend")));

byId("faults").append(...FAULTS.map((fault) => el("button", {
  type: "button", class: fault, "data-fault": fault, title: WHOSE[fault],
  onclick: () => narrow({ outcome: store.filter.outcome === fault ? "all" : fault }),
}, el("i"), el("span", {}, `${fault} 0`))));

byId("pause").addEventListener("click", () => {
  paused = !paused;
  byId("pause").setAttribute("aria-pressed", String(paused));
  say(byId("pause"), paused ? "Paused" : "Pause");
  draw("tables");
});

byId("needle").addEventListener("input", (event) => narrow({ text: event.target.value.trim().toLowerCase() }));
byId("search").addEventListener("submit", (event) => {
  event.preventDefault();
  const id = byId("needle").value.trim();
  if (!id || /\s/.test(id)) return;
  narrow({ text: "" });
  location.hash = `#/request/${encodeURIComponent(id)}`;
});

document.addEventListener("keydown", (event) => {
  const typing = event.target.closest("input, textarea, select");
  if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey) {
    event.preventDefault();
    byId("needle").focus();
  }
  if (event.key === "Escape" && !byId("panel").hidden && !typing) location.hash = "#/";
});

// -- theme: the system's, until a person chooses

const system = matchMedia("(prefers-color-scheme: dark)");
const theme = () => localStorage.getItem("lmgw-theme") ?? (system.matches ? "dark" : "light");
const dress = () => (document.documentElement.dataset.theme = theme());
dress();
system.addEventListener("change", dress);
byId("theme").addEventListener("click", () => {
  localStorage.setItem("lmgw-theme", theme() === "dark" ? "light" : "dark");
  dress();
});

// -- views: the address says which, so that it can be shared

function go() {
  const [, view, id] = /^#\/(request|playground|config)?(?:\/(.+))?$/.exec(location.hash) ?? [];
  const shown = view === "request" || !view ? "traffic" : view;
  document.body.dataset.view = shown;
  for (const section of document.querySelectorAll(".view")) section.hidden = section.id !== shown;
  for (const tab of document.querySelectorAll(".tab")) {
    if (tab.dataset.tab === shown) tab.setAttribute("aria-current", "page");
    else tab.removeAttribute("aria-current");
  }
  if (view === "request" && id) panel.open(decodeURIComponent(id), store.find(decodeURIComponent(id)), store.config);
  else panel.close();
  if (shown === "config") settings();
}
addEventListener("hashchange", go);

// -- reading

async function settings() {
  [store.health, store.config] = await Promise.all([get("/admin/health"), get("/admin/config")]);
  if (document.body.dataset.view === "config") showConfig(store.health, store.config, settings);
  playground(store.config);
  draw("banner", "ladder");
}

async function figures() {
  const since = Math.max(now() - 3600, ...store.slots.keys()) - 20;
  const [history, spent, health] = await Promise.all([
    get(`/admin/history?since=${Math.floor(since)}`), get("/admin/spend"), get("/admin/health")]);
  store.history(history, now());
  Object.assign(store, { spend: spent, health });
  draw("banner", "plots", "spend", "ladder");
}

async function backends() {
  store.backends = (await get("/admin/backends/health")).backends;
  draw("ladder");
}

/** Call again and again, as long as somebody looks; a failure means that the connection is gone. */
function repeat(work, every_s) {
  const again = async () => {
    if (!document.hidden) await attempt(work);
    setTimeout(again, every_s * 1000);
  };
  setTimeout(again, every_s * 1000);
}

async function attempt(work) {
  try {
    await work();
    connected(true);
  } catch (error) {
    connected(error instanceof Refused);
  }
}

function connected(is) {
  if (store.connected !== is) draw("banner");
  store.connected = is;
}

/** Fetch what ended before the events began, or while their connection was gone. */
async function caughtUp() {
  store.finished((await get("/admin/traffic?limit=1000")).entries.reverse());
  store.order();
  draw("tables", "ladder");
}

function listen() {
  const events = new EventSource("/admin/events");
  let arrived = [];
  const on = (kind, act) => events.addEventListener(kind, (event) => act(JSON.parse(event.data)));
  on("hello", () => attempt(caughtUp));
  on("entry", (entry) => {
    if (!arrived.length) queueMicrotask(() => (store.finished(arrived), (arrived = []), draw("tables", "ladder")));
    arrived.push(entry);
  });
  on("inflight", (snapshot) => (store.runs(snapshot, now()), draw("tables", "ladder")));
  on("mark", () => attempt(() => Promise.all([settings(), figures()])));
  events.onerror = () => {
    connected(false);
    if (events.readyState !== EventSource.CLOSED) return;
    events.close(); // the browser gives up on an error status: a session that has ended, most likely
    setTimeout(() => get("/admin/health").catch(() => null).then(listen), 2000);
  };
}

async function start() {
  if (phone.matches) store.filter.outcome = "failed";
  await settings();
  connected(true);
  if (store.health.uptime_secs < 600) showSpan((span = SPANS[0][0]));
  narrow({});
  go();
  listen();
  await attempt(figures);
  draw(...Object.keys(EVERY_MS));
  repeat(figures, 2);
  attempt(backends);
  repeat(backends, 60);
  setInterval(() => draw("tables", "plots"), 1000);
}

start().catch((error) => say(byId("verdict"), `The page could not be started: ${error.message}`));
