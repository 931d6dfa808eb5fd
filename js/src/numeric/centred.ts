import { smoothed } from "./smoothing";

/** Losses whose sums and quotients are still numbers, and a spread that can divide them. */
const MAX_LOSS = 1e150;
const MIN_SPREAD = 1e-100;
/** Of a curve without any fall or noise: so much of its level counts as its spread. */
const SPREAD_SHARE = 1e-6;
/** Of many losses a sample tells enough. */
const SAMPLE = 1024;

/**
 * The loss curve of a sweep smoothed to both sides, which is what is drawn. At each finite loss a
 * straight line is fitted to all of them, weighted by beta**(2 * d) where d counts the finite losses
 * between: about as smooth as the average of the same beta, but it does not trail the loss, at the
 * newest one neither. An explosion would smear into what came before, so losses far above that part
 * count on a logarithmic scale. The Python package (centred.py) computes the same values; both are
 * held to tests/vectors/centred.json.
 *
 * @param loss raw losses; one that is not finite is a gap: NaN at its place, and nothing else sees it
 * @param beta how much is smoothed, 0 <= beta < 1; 0 gives the losses themselves
 */
export function centred(loss: Float64Array, beta: number): Float64Array<ArrayBuffer> {
  const result = Float64Array.from(loss, (value) => (Number.isFinite(value) ? value : NaN));
  const finite = result.filter((value) => !Number.isNaN(value));
  if (beta === 0 || finite.length < 3) return result;
  const values = finite.map((value) => Math.max(-MAX_LOSS, Math.min(value, MAX_LOSS)));
  const { highest, spread } = normal(values, smoothed(finite, beta));
  let low = Infinity;
  let high = -Infinity;
  // In units of the spread; above 0 they count on a logarithmic scale.
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
    // A slope that is steep at an end must not lead out of what there is.
    const height = Math.max(low, Math.min(line[next++]!, high));
    return highest + spread * ((height > 0 ? Math.expm1(height) : height) + 1);
  });
}

interface Normal {
  /** The highest loss before the curve's lowest. */
  highest: number;
  /** The spread of losses there. */
  spread: number;
}

/**
 * The part of a curve before its lowest. Medians of three, so that a single bad batch is not taken
 * for the height of the curve. Of a curve that only rises the lowest quarter tells the spread.
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

/** A local linear fit at each value, with weights keep**distance to both sides. */
function fitted(values: Float64Array, decay: number): Float64Array {
  const { length } = values;
  // Sums over the values behind, and over them times their distance; then the same ahead.
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

/** The sums of keep**d, of that times d, and of that times d squared, for d from 1 to each count. */
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

/** The drawn line of each sweep. Those that are done stay; the one in hand changes as rows come. */
export class Centred {
  private values = new Float64Array(256);
  private rowsDone = 0;

  /** @param beta how much is smoothed, 0 <= beta < 1 */
  constructor(readonly beta: number) {}

  /**
   * The line at every row. A view: read it, do not keep it.
   *
   * @param loss raw losses, the same as before and more
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
