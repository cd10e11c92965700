// Four small plots on one time axis. Dragging across one selects a piece of time; marks say what changed and when.

import { el, say, svg } from "./dom.js";
import * as format from "./format.js";
import { median } from "./verdict.js";

const WIDTH = 320, HEIGHT = 84, SLOT_S = 10;
const FAULTS = ["gateway", "provider", "policy", "caller"];

/** Seconds of a slot that have passed: the newest is still being filled. */
const passed = (slot, until) => Math.min(SLOT_S, Math.max(until - slot.at, 3));

const sum = (slot) => FAULTS.reduce((total, fault) => total + slot.errors[fault], 0);

/** What each plot shows: `lines` are drawn, the first is named by its last value. */
const PLOTS = [
  { key: "rate", name: "Requests a second", unit: (v) => `${format.short(v)}/s`, floor: 1,
    lines: [{ name: "requests", of: (s, until) => s.requests / passed(s, until), gap: 0, fill: true }] },
  { key: "errors", name: "Error share", unit: format.share, floor: 0.05, stack: true,
    lines: FAULTS.map((fault) => ({ name: fault, of: (s) => (s.requests ? s.errors[fault] / s.requests : 0), gap: 0 })) },
  { key: "ttft", name: "Time to first token", unit: format.ms, floor: 100,
    lines: [{ name: "p95", of: (s) => s.ttft_p95_ms, gap: null }, { name: "p50", of: (s) => s.ttft_p50_ms, gap: null }] },
  { key: "cost", name: "Cost an hour", unit: format.usd, floor: 0.001,
    lines: [{ name: "cost", of: (s, until) => (s.cost_usd * 3600) / passed(s, until), gap: 0, fill: true }] },
];

/** Draws into `parent`; `selected(range)` is told of [from, to] in seconds since the epoch, or null. */
export class Plots {
  constructor(parent, selected) {
    this.selected = selected;
    this.range = null;
    this.span = 900;
    this.figures = PLOTS.map((plot) => this.figure(plot));
    parent.replaceChildren(...this.figures.map((figure) => figure.root));
  }

  figure(plot) {
    const value = el("strong", {}), hover = el("span", { class: "hover" });
    const drawing = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", tabindex: "0", role: "img" });
    const root = el("figure", { class: `plot plot-${plot.key}` },
      el("figcaption", {}, el("span", {}, plot.name), value), el("div", { class: "canvas" }, drawing, hover),
      el("div", { class: "axis", "aria-hidden": "true" }));
    const figure = { plot, root, drawing, value, hover, axis: root.lastChild };
    this.brush(figure);
    return figure;
  }

  brush({ drawing, hover, plot }) {
    let from = null;
    const at = (event) => {
      const box = drawing.getBoundingClientRect();
      const share = Math.min(1, Math.max(0, (event.clientX - box.left) / box.width));
      return this.until - this.span * (1 - share);
    };
    drawing.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      from = at(event);
      drawing.setPointerCapture(event.pointerId);
    });
    drawing.addEventListener("pointermove", (event) => {
      const time = at(event);
      if (from !== null) this.select([Math.min(from, time), Math.max(from, time)], false);
      this.point(hover, plot, time);
    });
    drawing.addEventListener("pointerleave", () => hover.classList.remove("shown"));
    drawing.addEventListener("pointercancel", () => { // a finger that scrolls
      if (from !== null) this.select(null, true);
      from = null;
    });
    drawing.addEventListener("pointerup", (event) => {
      if (from === null) return;
      const time = at(event), wide = Math.abs(time - from) > this.span / 100;
      this.select(wide ? [Math.min(from, time), Math.max(from, time)] : null, true);
      from = null;
    });
    drawing.addEventListener("keydown", (event) => this.key(event));
  }

  /** Arrow keys move a selection of a tenth of the axis, Escape ends it. */
  key(event) {
    const step = this.span / 10;
    const [from, to] = this.range ?? [this.until, this.until + step];
    if (event.key === "ArrowLeft") this.select([from - step, to - step], true);
    else if (event.key === "ArrowRight" && this.range) this.select([from + step, to + step], true);
    else if (event.key === "Escape") this.select(null, true);
    else return;
    event.preventDefault();
  }

  select(range, done) {
    this.range = range;
    this.redraw();
    if (done) this.selected(range);
  }

  point(hover, plot, time) {
    const slot = this.slots.find((each) => each.at <= time && time < each.at + SLOT_S);
    const mark = this.marks.find((each) => Math.abs(each.at - time) < this.span / 60);
    const said = plot.lines.map((line) => [line.name, slot ? line.of(slot, this.until) : line.gap]);
    const figures = said.map(([name, v]) => `${name} ${v === null ? "–" : plot.unit(v)}`).join("  ");
    hover.textContent = `${format.clock(time)}  ${figures}${mark ? `  ◆ ${mark.text}` : ""}`;
    hover.classList.add("shown");
  }

  /** Take new figures: slots by time, marks `{at, kind, text}`; before `started` there was nothing to count. */
  show(slots, marks, now, span, started) {
    Object.assign(this, { slots, marks, span, started, until: now });
    this.redraw();
  }

  redraw() {
    if (!this.slots) return;
    const since = this.until - this.span;
    const seen = this.slots.filter((slot) => slot.at + SLOT_S > since);
    for (const figure of this.figures) this.draw(figure, seen, since);
  }

  draw({ plot, drawing, value, axis }, seen, since) {
    const x = (time) => ((time - since) / this.span) * WIDTH;
    const series = plot.stack ? stacked(plot, seen) : plot.lines.map((line) => ({ line, values: seen.map((slot) => line.of(slot, this.until)) }));
    const top = Math.max(plot.floor, ...series.flatMap((each) => each.values).filter((v) => v !== null)) * 1.12;
    const y = (v) => HEIGHT - (v / top) * HEIGHT;
    const parts = [0.25, 0.5, 0.75].map((share) => svg("line", { class: "grid", x1: 0, x2: WIDTH, y1: HEIGHT * share, y2: HEIGHT * share }));
    for (const { line, values, base } of series) {
      const points = path(seen, values, line.gap, x, y, since, this.until);
      if (plot.stack) {
        parts.push(svg("path", { class: `area ${line.name}`, d: band(points, path(seen, base, line.gap, x, y, since, this.until)) }));
        continue;
      }
      if (line.fill) parts.push(svg("path", { class: `area ${line.name}`, d: area(points) }));
      parts.push(svg("path", { class: `line ${line.name}`, d: points.map((run) => "M" + run.map((p) => p.join(",")).join("L")).join("") }));
    }
    for (const mark of this.marks) {
      if (mark.at < since) continue;
      parts.push(svg("line", { class: `mark ${mark.kind}`, x1: x(mark.at), x2: x(mark.at), y1: 0, y2: HEIGHT },
        svg("title", {}, `${format.clock(mark.at)} ${mark.text}`)));
    }
    if (this.range) {
      const [from, to] = this.range.map((time) => Math.max(0, Math.min(WIDTH, x(time))));
      parts.push(svg("rect", { class: "brush", x: from, y: 0, width: Math.max(to - from, 1), height: HEIGHT }));
    }
    drawing.replaceChildren(...parts);
    const words = this.latest(plot, seen);
    say(value, words);
    drawing.setAttribute("aria-label", `${plot.name}: ${words} now, at most ${plot.unit(top / 1.12)}. Arrow keys select a piece of time.`);
    const middle = format.clock(this.until - this.span / 2, false);
    axis.replaceChildren(el("span", {}, format.clock(since, false)), el("span", {}, middle), el("span", {}, "now"));
    axis.parentNode.dataset.top = plot.unit(top / 1.12);
  }

  /** The newest figures: of the last minute, or of the selection. */
  latest(plot, seen) {
    const [from, to] = this.range ?? [Math.max(this.until - 60, Math.min(this.started, this.until - SLOT_S)), this.until];
    const slots = seen.filter((slot) => slot.at + SLOT_S > from && slot.at < to);
    const requests = slots.reduce((total, slot) => total + slot.requests, 0);
    if (plot.key === "rate") return plot.unit(requests / Math.max(to - from, SLOT_S));
    if (plot.key === "errors") return plot.unit(requests ? slots.reduce((total, slot) => total + sum(slot), 0) / requests : 0);
    if (plot.key === "cost") return plot.unit((slots.reduce((total, slot) => total + slot.cost_usd, 0) * 3600) / Math.max(to - from, SLOT_S));
    const known = slots.filter((slot) => slot.ttft_p50_ms !== null);
    if (!known.length) return "–";
    return `${format.ms(median(known.map((slot) => slot.ttft_p50_ms)))} / ${format.ms(Math.max(...known.map((slot) => slot.ttft_p95_ms)))}`;
  }
}

/** Each line on the shoulders of those before it: what lies between `base` and `values` is its own. */
function stacked(plot, seen) {
  let values = seen.map(() => 0);
  return plot.lines.map((line) => {
    const base = values;
    values = seen.map((slot, i) => base[i] + line.of(slot));
    return { line, values, base };
  });
}

/** Runs of points; where slots are missing nothing ended: a line falls to `gap`, or breaks where that is null. */
function path(seen, values, gap, x, y, since, until) {
  const runs = [];
  let run = [], previous = since - SLOT_S;
  const fall = (from, to) => {
    if (gap === null) {
      if (run.length) runs.push(run);
      run = [];
    } else run.push([x(from), y(gap)], [x(to), y(gap)]);
  };
  seen.forEach((slot, i) => {
    if (slot.at - previous > SLOT_S * 1.5) fall(Math.max(previous + SLOT_S, since), slot.at);
    if (values[i] !== null) run.push([x(slot.at + SLOT_S / 2), y(values[i])].map((v) => Math.round(v * 10) / 10));
    previous = slot.at;
  });
  if (until - previous > SLOT_S * 2.5) fall(Math.max(previous + SLOT_S, since), until);
  if (run.length) runs.push(run.length === 1 ? [run[0], [run[0][0] + 1, run[0][1]]] : run);
  return runs;
}

function area(runs) {
  return runs.map((run) => `M${run[0][0]},${HEIGHT}L${run.map((p) => p.join(",")).join("L")}L${run[run.length - 1][0]},${HEIGHT}Z`).join("");
}

/** What lies between two lines of the same slots. */
function band(upper, lower) {
  return upper.map((run, i) => `M${run.map((p) => p.join(",")).join("L")}L${[...lower[i]].reverse().map((p) => p.join(",")).join("L")}Z`).join("");
}
