// Numbers, times and sizes as people read them; the same forms as in `holdfast status`.

export const whole = new Intl.NumberFormat("en-US");
export const few = new Intl.NumberFormat("en-US", { maximumFractionDigits: 1 });
export const number = (n) => (n < 0 ? "−" : "") + whole.format(Math.abs(n));
export const rate = (n) => (n < 10 ? few : whole).format(n < 10 ? n : Math.round(n));
export const count = (n, noun) => `${number(n)} ${n === 1 ? noun : noun.endsWith("y") ? noun.slice(0, -1) + "ies" : noun + "s"}`;
export const clock = (ms) => new Date(ms).toLocaleTimeString([], { hour12: false });

/** A length of time in its two largest units, as `holdfast status` writes it. */
export function span(ms) {
  const s = Math.max(0, Math.floor(ms / 1000));
  const two = (a, x, b, y) => (b ? `${a}${x} ${b}${y}` : `${a}${x}`);
  if (s < 60) return `${s}s`;
  if (s < 3600) return two(Math.floor(s / 60), "m", s % 60, "s");
  if (s < 86400) return two(Math.floor(s / 3600), "h", Math.floor((s % 3600) / 60), "m");
  return two(Math.floor(s / 86400), "d", Math.floor((s % 86400) / 3600), "h");
}

export function size(bytes) {
  let unit = 0;
  while (bytes >= 1024 && unit < 4) { bytes /= 1024; unit += 1; }
  return `${unit ? bytes.toFixed(1) : bytes} ${["B", "KiB", "MiB", "GiB", "TiB"][unit]}`;
}
