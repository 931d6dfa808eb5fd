// The automatic range of the loss axis, which an explosion cannot flatten. It shows the part of the
// curve a person chooses from: where it starts, how far it falls, and a bit of the rise.
import { ordered, type Range } from "./limits";
import { Numbers } from "./numbers";

/** The smoothing that the automatic range looks at, whatever the slider says: the axis stays put. */
const BETA = 0.8;
/** Of many values a sample tells enough, and sorting stays cheap while rows stream in. */
const SAMPLE = 1024;

export class AutoRange {
  /** Always finite, min < max. */
  range: Range = { min: 0, max: 1 };
  /** The largest loss so far. */
  most = -Infinity;
  /** The smallest loss above zero so far. */
  least = Infinity;
  private done = 0;
  private next = 0;
  private sweep = new SweepRange();
  // Of the sweeps before the one in hand.
  private low = Infinity;
  private high = -Infinity;

  /** Takes in further rows; `loss` and `starts` are the same as before and more. */
  extend(loss: Float64Array, starts: readonly number[]): void {
    if (this.done === loss.length) return;
    for (let i = this.done; i < loss.length; i++) {
      if (i === starts[this.next]) {
        this.next++;
        [this.low, this.high] = this.extremes();
        this.sweep = new SweepRange();
      }
      const value = loss[i]!;
      if (value > this.most) this.most = value;
      if (value > 0 && value < this.least) this.least = value;
      if (Number.isFinite(value)) this.sweep.push(value);
    }
    this.done = loss.length;
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
  private leastAverage = Infinity;
  /** Where the smoothed loss is lowest. */
  private bottom = 0;
  private least = Infinity;
  /** The lowest loss up to the bottom. */
  private low = Infinity;

  push(loss: number): void {
    this.losses.push(loss);
    this.average = BETA * this.average + (1 - BETA) * loss;
    this.weight *= BETA;
    const average = this.average / (1 - this.weight);
    const count = this.losses.length;
    if (count === 1) this.first = average;
    this.least = Math.min(this.least, loss);
    if (count > 1 && !(average < this.leastAverage)) return;
    this.leastAverage = average;
    this.bottom = count - 1;
    this.low = this.least;
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
  const least = Math.max(Math.abs(low), Math.abs(high)) * 1e-6 || 1e-6;
  const spread = Math.max(high - low, least);
  return ordered(low - 0.06 * spread, high + 0.3 * spread);
}

function quantile(values: Float64Array, q: number): number {
  const stride = Math.ceil(values.length / SAMPLE);
  const sample = new Float64Array(Math.ceil(values.length / stride));
  for (let i = 0; i < sample.length; i++) sample[i] = values[i * stride]!;
  sample.sort();
  return sample[Math.round(q * (sample.length - 1))]!;
}
