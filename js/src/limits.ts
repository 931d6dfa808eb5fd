// The range of the loss axis: an automatic one that the explosion cannot flatten, and the way a
// slider stands for an upper limit. Clipping is a zoom; no row is dropped.
import { smoothed } from "./smoothing";

export interface Range {
  min: number;
  max: number;
}

/** The smoothing that the automatic range looks at, whatever the slider says: the axis stays put. */
const BETA = 0.8;
const EMPTY: Range = { min: 0, max: 1 };

/**
 * A range that shows the part of the curve a person chooses from: where it starts, how far it falls,
 * and a bit of the rise. Always finite, min < max.
 */
export function autoRange(loss: Float64Array, starts: readonly number[] = [0]): Range {
  let low = Infinity;
  let high = -Infinity;
  starts.forEach((start, i) => {
    const range = tellingRange(loss.subarray(start, starts[i + 1] ?? loss.length));
    if (!range) return;
    low = Math.min(low, range.min);
    high = Math.max(high, range.max);
  });
  return low <= high ? padded(low, high) : EMPTY;
}

/** Lowest and highest loss worth seeing in one sweep; null where no loss is finite. */
function tellingRange(loss: Float64Array): Range | null {
  const finite = loss.filter((value) => Number.isFinite(value));
  if (finite.length === 0) return null;
  const average = smoothed(finite, BETA);
  const bottom = average.indexOf(average.reduce((least, value) => Math.min(least, value)));
  // Until the smoothed loss is lowest nothing has exploded: noise there is worth seeing whole.
  const before = finite.subarray(0, bottom + 1);
  const low = before.reduce((least, value) => Math.min(least, value));
  const high = Math.max(quantile(before, 0.98), average[0]!);
  // A curve that only rises has next to no "before": show its lower half.
  const half = quantile(finite, 0.5);
  const rises = before.length < finite.length / 10 || half - low < 3 * (high - low);
  return { min: low, max: rises ? Math.max(high, half) : high };
}

function padded(low: number, high: number): Range {
  const least = Math.max(Math.abs(low), Math.abs(high)) * 1e-6 || 1e-6;
  const spread = Math.max(high - low, least);
  return ordered(low - 0.06 * spread, high + 0.3 * spread);
}

/** The range to show for an upper limit that somebody chose; null stands for automatic. */
export function shownRange(auto: Range, limit: number | null): Range {
  if (limit === null || !Number.isFinite(limit)) return auto;
  if (limit > auto.min) return ordered(auto.min, limit);
  return ordered(limit - (auto.max - auto.min), limit);
}

/** Finite and apart, also where doubles are so large or so close that arithmetic gives up. */
function ordered(min: number, max: number): Range {
  const bound = 1e300;
  const low = Math.max(-bound, Math.min(min, bound));
  const high = Math.max(-bound, Math.min(max, bound));
  if (low < high) return { min: low, max: high };
  const step = Math.max(Math.abs(low) * 1e-9, 1e-9);
  return { min: low - step, max: low + step };
}

/**
 * What the slider can reach: from a sliver above the lowest loss to all that was seen, but not so far
 * into the explosion that the useful limits shrink to a corner of the slider.
 */
export function limitSpan(auto: Range, loss: Float64Array): Range {
  const span = auto.max - auto.min;
  let most = auto.min + 4 * span;
  for (const value of loss) if (value > most) most = value;
  return ordered(auto.min + 0.05 * span, Math.min(most, auto.min + 100 * span));
}

/** The limit at a slider position of 0 to 1: equal steps multiply the height above the lowest loss. */
export function limitAt(position: number, auto: Range, span: Range): number {
  const least = span.min - auto.min;
  const most = span.max - auto.min;
  return auto.min + least * (most / least) ** position;
}

/** The slider position of 0 to 1 that stands for a limit. */
export function positionOf(limit: number, auto: Range, span: Range): number {
  const least = span.min - auto.min;
  const most = span.max - auto.min;
  const position = Math.log((limit - auto.min) / least) / Math.log(most / least);
  return Number.isFinite(position) ? Math.min(Math.max(position, 0), 1) : 0;
}

/** Of many values a sample tells enough, and sorting stays cheap while rows stream in. */
const SAMPLE = 4096;

function quantile(values: Float64Array, q: number): number {
  const stride = Math.ceil(values.length / SAMPLE);
  const sorted = values.filter((_, i) => i % stride === 0).sort();
  return sorted[Math.round(q * (sorted.length - 1))]!;
}
