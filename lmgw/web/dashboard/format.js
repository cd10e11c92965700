// Figures as people read them: short, aligned, with their unit.

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const NONE = "–";

/** 1,234 */
export const count = (n) => (n === null || n === undefined ? NONE : whole.format(n));

/** 950, 1.2k, 34k, 1.2M */
export function short(n) {
  if (n === null || n === undefined) return NONE;
  if (n < 1000) return n < 10 && n % 1 ? n.toFixed(1) : whole.format(n);
  const [scaled, unit] = n < 1e6 ? [n / 1e3, "k"] : n < 1e9 ? [n / 1e6, "M"] : [n / 1e9, "G"];
  return (scaled < 10 ? scaled.toFixed(1) : whole.format(scaled)) + unit;
}

/** Milliseconds as 3.2 ms, 340 ms, 1.8 s, 2 min 5 s. */
export function ms(value) {
  if (value === null || value === undefined) return NONE;
  if (value < 10) return `${value.toFixed(1)} ms`;
  if (value < 1000) return `${Math.round(value)} ms`;
  return seconds(value / 1000);
}

/** Seconds as 1.8 s, 42 s, 2 min 5 s, 3 h 12 min, 4 d 3 h. */
export function seconds(value) {
  if (value < 10) return `${Number.isInteger(value) ? value : value.toFixed(1)} s`;
  if (value < 60) return `${Math.floor(value)} s`;
  if (value < 3600) return parts(value, 60, "min", "s");
  return value < 86400 ? parts(value / 60, 60, "h", "min") : parts(value / 3600, 24, "d", "h");
}

function parts(value, base, large, small) {
  const rest = Math.floor(value % base);
  return `${Math.floor(value / base)} ${large}` + (rest ? ` ${rest} ${small}` : "");
}

/** US dollars; null (a price is not known) is not zero. */
export function usd(value) {
  if (value === null || value === undefined) return NONE;
  if (value === 0) return "$0";
  if (value < 0.0001) return "<$0.0001";
  return `$${value < 0.1 ? value.toFixed(4) : value < 100 ? value.toFixed(2) : whole.format(value)}`;
}

/** 0 %, 0.4 %, 12 % */
export function share(value) {
  const percent = value * 100;
  return `${percent === 0 || percent >= 9.95 ? Math.round(percent) : percent < 0.1 ? "<0.1" : percent.toFixed(1)} %`;
}

const two = (n) => String(n).padStart(2, "0");

/** Seconds since the epoch as 14:02:07. */
export function clock(epoch, withSeconds = true) {
  const date = new Date(epoch * 1000);
  return `${two(date.getHours())}:${two(date.getMinutes())}${withSeconds ? `:${two(date.getSeconds())}` : ""}`;
}

/** 14:02 today, Nov 21 14:02 before. */
export function moment(epoch, withSeconds = false) {
  const date = new Date(epoch * 1000);
  const day = date.toLocaleDateString("en", { day: "numeric", month: "short" });
  const time = clock(epoch, withSeconds);
  return date.toDateString() === new Date().toDateString() ? time : `${day} ${time}`;
}

/** 1 request, 2 requests */
export const plural = (n, noun) => `${count(n)} ${noun}${n === 1 ? "" : "s"}`;
