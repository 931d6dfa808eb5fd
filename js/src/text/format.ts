// Numbers as people read them, and rates as people type them.

/** A rate with two (or more) significant digits: "1.2e-3", "1e-3"; from 1 on in plain notation. */
export function formatRate(lr: number, digits = 2): string {
  const rounded = Number(lr.toPrecision(digits));
  return rounded >= 1 && rounded < 1e4 ? String(rounded) : exponential(lr, digits);
}

function exponential(value: number, digits: number): string {
  const text = value.toExponential(digits - 1);
  return text.replace(/\.?0+e/, "e").replace("e+", "e");
}

/** A loss with four (or more) significant digits, in plain notation where that is short. */
export function formatLoss(loss: number, digits = 4): string {
  if (Number.isNaN(loss)) return "not a number";
  if (!Number.isFinite(loss)) return loss > 0 ? "infinite" : "minus infinite";
  const size = Math.abs(loss);
  if (size !== 0 && (size >= 1e5 || size < 1e-3)) return exponential(loss, digits - 1);
  return String(Number(loss.toPrecision(digits)));
}

/** The time left, in words; empty before the first step. */
export function formatTimeLeft(elapsed: number, step: number, steps: number): string {
  if (step < 1 || !(elapsed > 0) || steps <= step) return "";
  return `${formatDuration((elapsed / step) * (steps - step))} left`;
}

/** Seconds in words: "12 s", "3 min", "1 h 5 min". */
export function formatDuration(time: number): string {
  const seconds = Math.ceil(time);
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 60) return `${minutes} min`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

/** A count with commas between the thousands: "1,290". */
export function formatCount(count: number): string {
  return count.toLocaleString("en-US");
}

/** A size in bytes: "640 B", "12 kB", "3.4 MB". */
export function formatSize(bytes: number): string {
  const units = ["B", "kB", "MB", "GB"];
  const order = bytes < 1 ? 0 : Math.min(Math.floor(Math.log10(bytes) / 3), units.length - 1);
  return `${Number((bytes / 1000 ** order).toPrecision(2))} ${units[order]!}`;
}

/** The rate that the text means, or a sentence that says why it is none. */
export function parseRate(text: string): number | string {
  // In what is copied from a text, a minus may be a typographic one.
  const trimmed = text.trim().replace("−", "-");
  if (trimmed === "") return "Type a rate, for example 1e-3.";
  const value = /^\+?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(trimmed) ? Number(trimmed) : NaN;
  if (!Number.isFinite(value)) return `“${trimmed}” is not a rate; type one like 1e-3 or 0.001.`;
  if (value <= 0) return "A rate must be above 0.";
  return value;
}
