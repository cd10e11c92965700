// What the page knows: requests that run and have ended, the history of the last hour, and what is filtered by.

/** Finished requests that are kept; at 1,000 a second that is five seconds, and the history has the rest. */
const KEPT = 5000;

export class Store {
  constructor() {
    this.entries = []; // oldest first
    this.ids = new Set();
    this.running = new Map();
    this.runningCount = 0;
    this.openCircuits = [];
    this.slots = new Map(); // of the history, by time
    this.marks = [];
    this.health = null;
    this.config = null;
    this.spend = null;
    this.backends = [];
    this.queues = {};
    this.connected = false;
    this.filter = { outcome: "all", text: "", tier: null, client: null, range: null };
  }

  /** Take entries, oldest first; those that are here already are left out. */
  finished(entries) {
    for (const entry of entries) {
      if (this.running.delete(entry.id)) this.runningCount -= 1;
      if (this.ids.has(entry.id)) continue;
      this.ids.add(entry.id);
      this.entries.push(entry);
    }
    if (this.entries.length > KEPT * 1.2)
      for (const entry of this.entries.splice(0, this.entries.length - KEPT)) this.ids.delete(entry.id);
  }

  /** Take a snapshot of what runs: all of it, or the oldest of it. */
  runs({ count, requests, queues, circuits }, now) {
    Object.assign(this, { queues, openCircuits: circuits, runningCount: count });
    this.running = new Map(requests.map((each) => [each.id, { ...each, since: now - each.age_ms / 1000 }]));
  }

  /** Put entries that were fetched behind what came live in their place. */
  order() {
    this.entries.sort((a, b) => a.timestamp + a.latency_ms / 1000 - b.timestamp - b.latency_ms / 1000);
  }

  history({ points, marks }, now) {
    for (const point of points) this.slots.set(point.at, point);
    for (const mark of marks) if (!this.marks.some((each) => each.at === mark.at)) this.marks.push(mark);
    this.marks = this.marks.filter((mark) => mark.at > now - 3700);
    for (const at of this.slots.keys()) if (at < now - 3700) this.slots.delete(at);
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
    return this.ids.has(id) ? this.entries.findLast((entry) => entry.id === id) : null;
  }

  /** Entries that the filters let through, newest first; `limit` of them at most are looked for. */
  filtered(limit) {
    const found = [];
    for (let i = this.entries.length - 1; i >= 0 && found.length < limit; i--)
      if (this.admits(this.entries[i])) found.push(this.entries[i]);
    return found;
  }

  admits(entry) {
    const { outcome, text, tier, client, range } = this.filter;
    if (range && (entry.timestamp + entry.latency_ms / 1000 < range[0] || entry.timestamp > range[1])) return false;
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
