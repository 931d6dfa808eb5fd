import { smoothed } from "./smoothing";

/** Bounds that keep sums and quotients of losses finite. */
const MAX_LOSS = 1e150;
const MIN_SPREAD = 1e-100;
/** The spread of a constant curve, as a share of its level. */
const SPREAD_SHARE = 1e-6;
/** Quantiles are taken from at most about this many losses. */
const SAMPLE = 1024;

/**
 * The loss curve of a sweep smoothed to both sides, as it is drawn. At each finite loss a straight line
 * is fitted to all finite losses, weighted by beta**(2 * d) where d counts the finite losses between.
 * This is about as smooth as the exponential average with the same beta, but does not lag, not even at
 * the newest loss. An explosion would distort the losses before it, so losses far above those count on
 * a logarithmic scale. The Python package (centred.py) computes the same values; both are
 * tested against tests/vectors/centred.json.
 *
 * @param loss raw losses; one that is not finite gives NaN and has no weight elsewhere
 * @param beta amount of smoothing, 0 <= beta < 1; 0 gives the losses themselves
 */
export function centred(loss: Float64Array, beta: number): Float64Array<ArrayBuffer> {
  const result = Float64Array.from(loss, (value) => (Number.isFinite(value) ? value : NaN));
  const finite = result.filter((value) => !Number.isNaN(value));
  if (beta === 0 || finite.length < 3) return result;
  const values = finite.map((value) => Math.max(-MAX_LOSS, Math.min(value, MAX_LOSS)));
  const { highest, spread } = normal(values, smoothed(finite, beta));
  let low = Infinity;
  let high = -Infinity;
  // In units of the spread; logarithmic above 0.
  const heights = values.map((value) => {
    const linear = (value - highest) / spread - 1;
    const height = linear > 0 ? Math.log1p(linear) : linear;
    low = Math.min(low, height);
    high = Math.max(high, height);
    return height;
  });
  const line = fitted(heights, beta * beta);
  let next = 0;
  return result.map((value) => {
    if (Number.isNaN(value)) return NaN;
    // Keeps a steep slope at either end within the range of the losses.
    const height = Math.max(low, Math.min(line[next++]!, high));
    return highest + spread * ((height > 0 ? Math.expm1(height) : height) + 1);
  });
}

interface Normal {
  /** The highest loss before the curve's lowest point. */
  highest: number;
  /** The spread of losses there. */
  spread: number;
}

/**
 * The height and spread of a curve before its lowest point, from medians of three so that a single bad
 * batch does not count. If the curve only rises, the lowest quarter of its losses gives the spread.
 */
function normal(values: Float64Array, average: Float64Array): Normal {
  let bottom = 0;
  for (let i = 1; i < average.length; i++) if (average[i]! < average[bottom]!) bottom = i;
  let highest = -Infinity;
  let lowest = Infinity;
  for (let i = 0; i <= bottom; i++) {
    const middle = median(values[Math.max(i - 1, 0)]!, values[i]!, values[i + 1] ?? values[i]!);
    highest = Math.max(highest, middle);
    lowest = Math.min(lowest, middle);
  }
  const stride = Math.ceil(values.length / SAMPLE);
  const sample = values.filter((_, i) => i % stride === 0).sort();
  const quarter = sample[Math.floor((sample.length - 1) / 4)]!;
  const minSpread = Math.max(SPREAD_SHARE * Math.abs(highest), MIN_SPREAD);
  return { highest, spread: Math.max(highest - lowest, quarter - lowest, minSpread) };
}

function median(a: number, b: number, c: number): number {
  return Math.max(Math.min(a, b), Math.min(Math.max(a, b), c));
}

/** A local linear fit at each value, with weights decay**distance to both sides. */
function fitted(values: Float64Array, decay: number): Float64Array {
  const { length } = values;
  // Weighted sums of the values behind, and of these times their distance; the loop below sums ahead.
  const behind = new Float64Array(length);
  const behindByDistance = new Float64Array(length);
  for (let i = 1; i < length; i++) {
    behind[i] = decay * (behind[i - 1]! + values[i - 1]!);
    behindByDistance[i] = decay * behindByDistance[i - 1]! + behind[i]!;
  }
  const weights = weightsOf(length, decay);
  const result = new Float64Array(length);
  let ahead = 0;
  let aheadByDistance = 0;
  for (let i = length - 1; i >= 0; i--) {
    const [left, right] = [i, length - 1 - i];
    const s0 = 1 + weights.sum[left]! + weights.sum[right]!;
    const s1 = weights.byDistance[right]! - weights.byDistance[left]!;
    const s2 = weights.bySquare[left]! + weights.bySquare[right]!;
    const t0 = values[i]! + behind[i]! + ahead;
    const t1 = aheadByDistance - behindByDistance[i]!;
    result[i] = (s2 * t0 - s1 * t1) / (s0 * s2 - s1 * s1);
    ahead = decay * (ahead + values[i]!);
    aheadByDistance = decay * aheadByDistance + ahead;
  }
  return result;
}

/** The sums of decay**d, of decay**d * d and of decay**d * d**2, for d from 1 to each count. */
function weightsOf(
  length: number,
  decay: number,
): { sum: Float64Array; byDistance: Float64Array; bySquare: Float64Array } {
  const sum = new Float64Array(length);
  const byDistance = new Float64Array(length);
  const bySquare = new Float64Array(length);
  let weight = 1;
  for (let d = 1; d < length; d++) {
    weight *= decay;
    sum[d] = sum[d - 1]! + weight;
    byDistance[d] = byDistance[d - 1]! + weight * d;
    bySquare[d] = bySquare[d - 1]! + weight * d * d;
  }
  return { sum, byDistance, bySquare };
}

/** The smoothed line of each sweep. Only the newest sweep is computed again when rows are added. */
export class Centred {
  private values = new Float64Array(256);
  private rowsDone = 0;

  /** @param beta amount of smoothing, 0 <= beta < 1 */
  constructor(readonly beta: number) {}

  /**
   * The smoothed loss of every row. A view, valid until the next call.
   *
   * @param loss raw losses: those of the last call, and further ones
   * @param starts offsets where each sweep begins
   */
  extend(loss: Float64Array, starts: readonly number[]): Float64Array<ArrayBuffer> {
    if (loss.length > this.values.length) {
      const larger = new Float64Array(2 * loss.length);
      larger.set(this.values);
      this.values = larger;
    }
    if (loss.length > this.rowsDone) {
      starts.forEach((start, i) => {
        const end = Math.min(starts[i + 1] ?? loss.length, loss.length);
        if (end > this.rowsDone)
          this.values.set(centred(loss.subarray(start, end), this.beta), start);
      });
      this.rowsDone = loss.length;
    }
    return this.values.subarray(0, loss.length);
  }
}
