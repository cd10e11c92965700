// What the page knows: requests that run and have ended, the history of the last hour, and what is filtered by.

/** Finished requests that are kept; at 1,000 a second that is five seconds, and the history has the rest. */
const KEPT = 5000;

/** When a request ended, in seconds since the epoch. */
export const ended = (entry) => entry.timestamp + entry.latency_ms / 1000;

/** Callers may choose ids, and use them twice. */
const key = (entry) => `${entry.timestamp} ${entry.id}`;

export class Store {
  constructor() {
    this.entries = []; // oldest first
    this.keys = new Set();
    this.missed = 0; // entries that came too fast to be told
    this.until = Infinity; // where the list is held: nothing that ended later is shown
    this.ahead = 0; // seconds that the gateway's clock is ahead of the browser's
    this.running = new Map();
    this.runningCount = 0;
    this.runningAt = {}; // how many, by tier
    this.openCircuits = [];
    this.slots = new Map(); // of the history, by time
    this.counted = false; // whether the history has come
    this.marks = [];
    this.health = null;
    this.config = null;
    this.spend = null;
    this.backends = [];
    this.queues = {};
    this.connected = false;
    this.filter = { outcome: "all", text: "", tier: null, client: null, range: null };
  }

  /** Seconds since the epoch, by the gateway's clock. */
  now() {
    return Date.now() / 1000 + this.ahead;
  }

  /** Take how the gateway stands, and set the clock by its own. */
  stands(health) {
    this.health = health;
    const ahead = health.now - Date.now() / 1000;
    if (Math.abs(ahead - this.ahead) > 0.5) this.ahead = ahead;
  }

  /** Take entries, oldest first; those that are here already are left out. */
  finished(entries) {
    for (const entry of entries) {
      if (this.running.delete(entry.id)) this.runningCount -= 1;
      if (this.keys.has(key(entry))) continue;
      this.keys.add(key(entry));
      this.entries.push(entry);
    }
    if (this.entries.length > KEPT * 1.2)
      for (const entry of this.entries.splice(0, this.entries.length - KEPT)) this.keys.delete(key(entry));
  }

  /** Take a snapshot of what runs: all of it, or the oldest of it. */
  runs({ count, tiers, requests, queues, circuits }) {
    const now = this.now();
    Object.assign(this, { queues, openCircuits: circuits, runningCount: count, runningAt: tiers });
    this.running = new Map(requests.map((each) => [each.id, { ...each, since: now - each.age_ms / 1000 }]));
  }

  /** Put entries that were fetched behind what came live in their place. */
  order() {
    this.entries.sort((a, b) => ended(a) - ended(b));
  }

  history({ points, marks }) {
    const oldest = this.now() - 3700;
    this.counted = true;
    for (const point of points) this.slots.set(point.at, point);
    for (const mark of marks)
      if (!this.marks.some((each) => each.at === mark.at && each.text === mark.text)) this.marks.push(mark);
    this.marks = this.marks.filter((mark) => mark.at > oldest);
    for (const at of this.slots.keys()) if (at < oldest) this.slots.delete(at);
  }

  get slotsInOrder() {
    return [...this.slots.values()].sort((a, b) => a.at - b.at);
  }

  /** The circuits in front of a tier, those that are not closed. */
  circuits(tier) {
    const own = { backend: tier.backend, tier: tier.name };
    return this.openCircuits.filter((each) => own[each.scope] === each.name);
  }

  find(id) {
    return this.entries.findLast((entry) => entry.id === id) ?? null;
  }

  /** Entries that the filters let through, newest first. */
  filtered() {
    return this.entries.filter((entry) => this.admits(entry)).reverse();
  }

  admits(entry) {
    const { outcome, text, tier, client, range } = this.filter;
    if (ended(entry) > this.until) return false;
    if (range && (ended(entry) < range[0] || entry.timestamp > range[1])) return false;
    if (tier !== null && entry.tier !== tier) return false;
    if (client !== null && entry.client !== client) return false;
    if (outcome === "failed" ? entry.success : outcome !== "all" && entry.fault !== outcome) return false;
    return text === "" || matches(entry, text);
  }
}

function matches(entry, text) {
  const said = [entry.id, entry.client, entry.user, entry.profile, entry.requested_model, entry.tier, entry.backend,
    entry.model, entry.error, entry.class_label, String(entry.status), entry.end_reason];
  return said.some((each) => each && each.toLowerCase().includes(text));
}
