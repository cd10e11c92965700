// The page: reads what the gateway knows, keeps it up to date, and draws at most a few times a second whatever comes in.

import { Refused, get, login } from "./api.js";
import { backendRows, config as showConfig } from "./config.js";
import { byId, choice, el, replace, say, toast } from "./dom.js";
import * as format from "./format.js";
import { ladder, loaded, tierFigures } from "./ladder.js";
import * as panel from "./panel.js";
import { playground } from "./playground.js";
import { Plots } from "./plots.js";
import { added, spend } from "./spend.js";
import { Store, ended } from "./store.js";
import { Finished, Inflight } from "./tables.js";
import { FAULTS, LOOK_BACK_S, WHOSE, sums, verdict } from "./verdict.js";

const SPANS = [[300, "5 min"], [900, "15 min"], [3600, "1 h"]];
/** Changes that are named below the plots. */
const MARKS = 3;
const phone = matchMedia("(max-width: 720px)");

const store = new Store();
const inflight = new Inflight(), finished = new Finished();
let span = 900, period = "last_hour";

const plots = new Plots(byId("plot-grid"), (range) => narrow({ range }));

// -- drawing: each part is marked as changed, and drawn with the next frame, tables and plots no more often than this

const EVERY_MS = { tables: 400, plots: 500, ladder: 500, spend: 1000, banner: 500 };
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
    if (store.connected && !store.counted) return; // "nobody has asked anything" would be a guess
    const recent = sums(store.slotsInOrder, store.now() - LOOK_BACK_S);
    const { level, sentence, brief, notes } = verdict(store.health, store.config, recent, store.connected);
    byId("banner").dataset.level = level;
    say(byId("verdict"), sentence);
    say(byId("announced"), brief); // to those who listen to the page: not again whenever a figure changes
    byId("notes").replaceChildren(...notes.map((note) => el("li", {}, note)));
    if (store.health) {
      const { version, uptime_secs, missing, missing_clients, warnings } = store.health;
      say(byId("version"), `${version} · up ${format.seconds(uptime_secs)}`);
      const doubts = missing.length + missing_clients.length + warnings.length;
      say(byId("doubts"), doubts ? String(doubts) : "");
    }
    for (const button of byId("faults").children) {
      const n = recent.errors[button.dataset.fault];
      say(button.lastChild, `${button.dataset.fault} ${format.count(n)}`);
      button.classList.toggle("some", n > 0);
      button.setAttribute("aria-pressed", String(store.filter.outcome === button.dataset.fault));
    }
    document.title = `${{ ok: "", wait: "", warn: "▲ ", bad: "■ " }[level]}lmgw`;
  },
  tables() {
    inflight.show([...store.running.values()], store.runningCount, store.now());
    finished.show(store.filtered(), store.missed, store.entries.length ? "Nothing that was kept fits these filters." : "No request yet.");
  },
  plots() {
    say(byId("span-label"), SPANS.find(([seconds]) => seconds === span)[1]);
    plots.show(store.slotsInOrder, store.marks, store.now(), span, store.health?.started_at ?? 0);
    const since = store.now() - span;
    replace(byId("marks"), store.marks.filter((mark) => mark.at >= since).sort((a, b) => b.at - a.at).slice(0, MARKS).map((mark) =>
      el("li", { class: mark.kind, title: mark.text }, el("b", {}, format.clock(mark.at)), ` ${mark.text}`)));
  },
  ladder() {
    if (!store.config) return;
    ladder(store.config.tiers, tierFigures(store, LOOK_BACK_S), store.filter.tier, (name) => narrow({ tier: store.filter.tier === name ? null : name }));
    loaded(store.backends);
  },
  spend() {
    const { range } = store.filter;
    const chosen = range ? store.filtered() : [];
    spend(range ? added(chosen) : store.spend?.[period] ?? [], (key, name) => narrow({ [key]: name }));
    byId("periods").hidden = range !== null;
    say(byId("spend-of"), range ? `added up from the ${format.plural(chosen.length, "request")} of the selection that are kept` : "");
  },
};

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
  if (range || tier !== null || client !== null || store.filter.outcome !== "all") attempt(older);
  for (const part of Object.keys(EVERY_MS)) delete drawnAt[part]; // a person waits for it
  draw(...Object.keys(EVERY_MS));
}

/** Ask for what the page does not have any more, or never had: failures are kept longer than the rest. */
async function older() {
  const { range, tier, client, outcome } = store.filter;
  const query = new URLSearchParams({ limit: 1000 });
  if (range) query.set("since", range[0] - LOOK_BACK_S); // it may have been received before, and have ended in it
  if (range) query.set("until", range[1]);
  if (tier !== null) query.set("tier", tier);
  if (client !== null) query.set("client", client);
  if (outcome !== "all") query.set("failures", 1);
  if (FAULTS.includes(outcome)) query.set("fault", outcome);
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
  const paused = store.until === Infinity;
  store.until = paused ? Math.max(store.now(), ...store.entries.slice(-1).map(ended)) : Infinity;
  byId("pause").setAttribute("aria-pressed", String(paused));
  say(byId("pause"), paused ? "Paused" : "Pause");
  draw("tables", "spend");
});

byId("needle").addEventListener("input", (event) => narrow({ text: event.target.value.trim().toLowerCase() }));
byId("search").addEventListener("submit", (event) => {
  event.preventDefault();
  const id = byId("needle").value.trim();
  if (id && !/\s/.test(id)) attempt(() => seek(id));
});

/** Open the request of this id; text that is none, and that something was found by, stays a filter. */
async function seek(id) {
  const ask = async (more) => (await get(`/admin/traffic?limit=1&id=${encodeURIComponent(id)}${more}`)).entries.length > 0;
  const known = store.find(id) !== null || store.running.has(id) || (await ask("")) || (await ask("&failures=1"));
  if (!known && !id.startsWith("req_") && store.filtered().length) {
    toast("No request has this id: filtered by these words");
    return;
  }
  byId("needle").value = "";
  narrow({ text: "" });
  location.hash = `#/request/${encodeURIComponent(id)}`;
}

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
const chosen = localStorage.getItem("lmgw-theme");
if (chosen) document.documentElement.dataset.theme = chosen;
byId("theme").addEventListener("click", () => {
  const other = theme() === "dark" ? "light" : "dark";
  localStorage.setItem("lmgw-theme", other);
  document.documentElement.dataset.theme = other;
});

// -- views: the address says which, so that it can be shared

function go() {
  const [, view, written] = /^#\/(request|playground|config)?(?:\/(.+))?$/.exec(location.hash) ?? [];
  const id = decoded(written);
  const shown = view === "request" || !view ? "traffic" : view;
  document.body.dataset.view = shown;
  for (const section of document.querySelectorAll(".view")) section.hidden = section.id !== shown;
  for (const tab of document.querySelectorAll(".tab")) {
    if (tab.dataset.tab === shown) tab.setAttribute("aria-current", "page");
    else tab.removeAttribute("aria-current");
  }
  if (view === "request" && id) panel.open(id, store.find(id), store);
  else panel.close();
  if (shown === "config") attempt(() => Promise.all([settings(), backends()]));
}
addEventListener("hashchange", go);

function decoded(text) {
  try {
    return decodeURIComponent(text ?? "");
  } catch {
    return text; // a lone percent sign: somebody typed it
  }
}

// -- reading

async function settings() {
  const [health, config] = await Promise.all([get("/admin/health"), get("/admin/config")]);
  store.stands(health);
  store.config = config;
  playground(config);
  if (document.body.dataset.view === "config") showConfig(store, settings);
  draw("banner", "ladder");
}

async function figures() {
  const since = Math.max(store.now() - 3600, ...store.slots.keys()) - 20;
  const [history, health] = await Promise.all([get(`/admin/history?since=${Math.floor(since)}`), get("/admin/health")]);
  store.stands(health);
  store.history(history);
  draw("banner", "plots", "ladder");
  if (health.config.hash !== store.config.fingerprint) await settings();
}

async function spent() {
  store.spend = await get("/admin/spend");
  draw("spend", "ladder");
}

async function backends() {
  store.backends = (await get("/admin/backends/health")).backends;
  if (document.body.dataset.view === "config") backendRows(store);
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
  on("hello", () => attempt(() => Promise.all([settings(), caughtUp()]))); // it may be another one than before
  on("entry", (entry) => {
    if (!arrived.length) queueMicrotask(() => (store.finished(arrived), (arrived = []), draw("tables", "ladder")));
    arrived.push(entry);
  });
  on("missed", ({ count }) => ((store.missed += count), draw("tables")));
  on("inflight", (snapshot) => (store.runs(snapshot), draw("tables", "ladder")));
  on("mark", ({ kind }) => attempt(() => Promise.all([figures(), kind === "reload" && settings()])));
  events.onerror = () => {
    connected(false);
    if (events.readyState !== EventSource.CLOSED) return;
    events.close(); // the browser gives up on an error status: a session that has ended, most likely
    setTimeout(() => get("/admin/health").catch(() => null).then(listen), 2000);
  };
}

async function start() {
  connected(true);
  if (store.health.uptime_secs < 600) showSpan((span = SPANS[0][0]));
  await attempt(() => Promise.all([figures(), spent()]));
  narrow({});
  go();
  listen();
  repeat(figures, 2);
  repeat(spent, 5);
  attempt(backends);
  repeat(backends, 60);
  setInterval(() => draw("tables", "plots"), 1000);
}

/** Begin as soon as the gateway answers. */
async function begin() {
  try {
    await settings();
  } catch (error) {
    say(byId("verdict"), `The gateway does not answer: ${error.message}`);
    setTimeout(begin, 3000);
    return;
  }
  start();
}

if (phone.matches) store.filter.outcome = "failed";
begin();
