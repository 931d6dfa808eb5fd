// The range of the loss axis: the automatic one, which an explosion cannot flatten, and that of a limit
// that somebody chose, with the way a slider stands for such a limit. Clipping is a zoom; no row is dropped.
import { Numbers } from "./numbers";

export interface Range {
  min: number;
  max: number;
}

/** The range to show for an upper limit that somebody chose; null stands for automatic. */
export function visibleRange(auto: Range, limit: number | null): Range {
  if (limit === null || !Number.isFinite(limit)) return auto;
  if (limit > auto.min) return ordered(auto.min, limit);
  return ordered(limit - (auto.max - auto.min), limit);
}

/**
 * The range in powers of ten, on a logarithmic axis.
 *
 * @param minPositiveLoss the smallest loss above zero
 * @param maxLoss the largest loss
 */
export function logRange({ max }: Range, minPositiveLoss: number, maxLoss: number): Range {
  // A limit that leaves nothing to see on this axis counts as none.
  const top = Math.log10(
    Math.min(max > minPositiveLoss ? max : Math.max(maxLoss, 2 * minPositiveLoss), 1e300),
  );
  const low = Math.log10(Math.max(minPositiveLoss, 1e-300));
  return ordered(low - 0.05 * (top - low), top);
}

/** Finite and apart, also where doubles are so large or so close that arithmetic gives up. */
export function ordered(min: number, max: number): Range {
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
 *
 * @param maxLoss the largest loss that was seen
 */
export function limitSpan(auto: Range, maxLoss: number): Range {
  const span = auto.max - auto.min;
  const top = Math.max(maxLoss, auto.min + 4 * span);
  return ordered(auto.min + 0.05 * span, Math.min(top, auto.min + 100 * span));
}

/** The limit at a slider position of 0 to 1: equal steps multiply the height above the lowest loss. */
export function limitAt(position: number, auto: Range, span: Range): number {
  const min = span.min - auto.min;
  const max = span.max - auto.min;
  return auto.min + min * (max / min) ** position;
}

/** The slider position of 0 to 1 that stands for a limit. */
export function positionOf(limit: number, auto: Range, span: Range): number {
  const min = span.min - auto.min;
  const max = span.max - auto.min;
  const position = Math.log((limit - auto.min) / min) / Math.log(max / min);
  return Number.isFinite(position) ? Math.min(Math.max(position, 0), 1) : 0;
}

/** The smoothing that the automatic range looks at, whatever the slider says: the axis stays put. */
const BETA = 0.8;
/** Of many values a sample tells enough, and sorting stays cheap while rows stream in. */
const SAMPLE = 1024;

export class AutoRange {
  /** Always finite, min < max. */
  range: Range = { min: 0, max: 1 };
  /** The largest loss so far. */
  maxLoss = -Infinity;
  /** The smallest loss above zero so far. */
  minPositiveLoss = Infinity;
  private rowsDone = 0;
  private nextStart = 0;
  private sweep = new SweepRange();
  // Of the sweeps before the one in hand.
  private low = Infinity;
  private high = -Infinity;

  /** Takes in further rows; `loss` and `starts` are the same as before and more. */
  extend(loss: Float64Array, starts: readonly number[]): void {
    if (this.rowsDone === loss.length) return;
    for (let i = this.rowsDone; i < loss.length; i++) {
      if (i === starts[this.nextStart]) {
        this.nextStart++;
        [this.low, this.high] = this.extremes();
        this.sweep = new SweepRange();
      }
      const value = loss[i]!;
      if (value > this.maxLoss) this.maxLoss = value;
      if (value > 0 && value < this.minPositiveLoss) this.minPositiveLoss = value;
      if (Number.isFinite(value)) this.sweep.push(value);
    }
    this.rowsDone = loss.length;
    const [low, high] = this.extremes();
    if (low <= high) this.range = padded(low, high);
  }

  private extremes(): [number, number] {
    const range = this.sweep.range();
    if (!range) return [this.low, this.high];
    return [Math.min(this.low, range.min), Math.max(this.high, range.max)];
  }
}

/** Lowest and highest loss worth seeing in one sweep. */
class SweepRange {
  private readonly losses = new Numbers();
  private average = 0;
  private weight = 1;
  private first = NaN;
  private minAverage = Infinity;
  /** Where the smoothed loss is lowest. */
  private bottom = 0;
  private min = Infinity;
  /** The lowest loss up to the bottom. */
  private low = Infinity;

  push(loss: number): void {
    this.losses.push(loss);
    this.average = BETA * this.average + (1 - BETA) * loss;
    this.weight *= BETA;
    const average = this.average / (1 - this.weight);
    const count = this.losses.length;
    if (count === 1) this.first = average;
    this.min = Math.min(this.min, loss);
    if (count > 1 && !(average < this.minAverage)) return;
    this.minAverage = average;
    this.bottom = count - 1;
    this.low = this.min;
  }

  /** Null before there is a loss. */
  range(): Range | null {
    const losses = this.losses.view;
    if (losses.length === 0) return null;
    const { low } = this;
    // Until the smoothed loss is lowest nothing has exploded: noise there is worth seeing whole.
    const before = losses.subarray(0, this.bottom + 1);
    const high = Math.max(quantile(before, 0.98), this.first);
    // A curve that only rises has next to no "before": show its lower half.
    const half = quantile(losses, 0.5);
    const rises = before.length < losses.length / 10 || half - low < 3 * (high - low);
    return { min: low, max: rises ? Math.max(high, half) : high };
  }
}

function padded(low: number, high: number): Range {
  const minSpread = Math.max(Math.abs(low), Math.abs(high)) * 1e-6 || 1e-6;
  const spread = Math.max(high - low, minSpread);
  return ordered(low - 0.06 * spread, high + 0.3 * spread);
}

function quantile(values: Float64Array, q: number): number {
  const stride = Math.ceil(values.length / SAMPLE);
  const sample = new Float64Array(Math.ceil(values.length / stride));
  for (let i = 0; i < sample.length; i++) sample[i] = values[i * stride]!;
  sample.sort();
  return sample[Math.round(q * (sample.length - 1))]!;
}
