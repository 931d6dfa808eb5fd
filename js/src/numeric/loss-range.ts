// The range of the loss axis: the automatic one, which an explosion does not flatten, and one with an
// upper limit from the user, with the slider's scale for that limit. All rows stay in the data.
import { Numbers } from "./numbers";

export interface Range {
  min: number;
  max: number;
}

/** The range to show with an upper limit; null is automatic. */
export function visibleRange(auto: Range, limit: number | null): Range {
  if (limit === null || !Number.isFinite(limit)) return auto;
  if (limit > auto.min) return ordered(auto.min, limit);
  return ordered(limit - (auto.max - auto.min), limit);
}

/** The range in powers of ten, on a logarithmic axis. */
export function logRange({ max }: Range, minPositiveLoss: number, maxLoss: number): Range {
  // A limit below every positive loss would show nothing, and is ignored.
  const top = Math.log10(
    Math.min(max > minPositiveLoss ? max : Math.max(maxLoss, 2 * minPositiveLoss), 1e300),
  );
  const low = Math.log10(Math.max(minPositiveLoss, 1e-300));
  return ordered(low - 0.05 * (top - low), top);
}

/** A range whose ends are finite and differ, also for doubles at the limits of their precision. */
export function ordered(min: number, max: number): Range {
  const bound = 1e300;
  const low = Math.max(-bound, Math.min(min, bound));
  const high = Math.max(-bound, Math.min(max, bound));
  if (low < high) return { min: low, max: high };
  const step = Math.max(Math.abs(low) * 1e-9, 1e-9);
  return { min: low - step, max: low + step };
}

/**
 * The limits that the slider can reach: from just above the lowest loss to the largest loss, but at most
 * 100 times the automatic range, so that an explosion does not take up nearly all of the slider.
 */
export function limitSpan(auto: Range, maxLoss: number): Range {
  const span = auto.max - auto.min;
  const top = Math.max(maxLoss, auto.min + 4 * span);
  return ordered(auto.min + 0.05 * span, Math.min(top, auto.min + 100 * span));
}

/** The limit at a slider position of 0 to 1, logarithmic in the height above the lowest loss. */
export function limitAt(position: number, auto: Range, span: Range): number {
  const min = span.min - auto.min;
  const max = span.max - auto.min;
  return auto.min + min * (max / min) ** position;
}

/** The slider position, 0 to 1, of a limit. */
export function positionOf(limit: number, auto: Range, span: Range): number {
  const min = span.min - auto.min;
  const max = span.max - auto.min;
  const position = Math.log((limit - auto.min) / min) / Math.log(max / min);
  return Number.isFinite(position) ? Math.min(Math.max(position, 0), 1) : 0;
}

/** Smoothing for the automatic range; fixed, so that the smoothing slider does not move the axis. */
const BETA = 0.8;
/** Quantiles are taken from at most about this many values, so that sorting stays cheap. */
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
  // The extremes of the sweeps before the newest.
  private low = Infinity;
  private high = -Infinity;

  /** `loss` and `starts` hold what they held in the last call, and further entries. */
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

/** The range of losses to show of one sweep. */
class SweepRange {
  private readonly losses = new Numbers();
  private average = 0;
  private weight = 1;
  private first = NaN;
  private minAverage = Infinity;
  /** The index of the lowest smoothed loss. */
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

  /** Null without any loss. */
  range(): Range | null {
    const losses = this.losses.view;
    if (losses.length === 0) return null;
    const { low } = this;
    // Before the lowest smoothed loss nothing has exploded: show nearly all of it.
    const before = losses.subarray(0, this.bottom + 1);
    const high = Math.max(quantile(before, 0.98), this.first);
    // A curve that only rises has almost no such part, and one row has no height: show its lower half.
    const half = quantile(losses, 0.5);
    const rises = before.length < Math.max(losses.length / 10, 2) || half - low < 3 * (high - low);
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
