// Several sweeps of the same task as one curve: the median of their losses at each step, and the
// quartiles around it. All sweeps climb the same ladder, so a step is the same rate in each.

/** One entry for each step of the ladder. */
export interface Quartiles {
  /** The step's rate; NaN where no sweep has it. */
  lr: Float64Array<ArrayBuffer>;
  /** First quartile, median and third quartile; NaN where no sweep has a finite value. */
  low: Float64Array<ArrayBuffer>;
  median: Float64Array<ArrayBuffer>;
  high: Float64Array<ArrayBuffer>;
  /** How many sweeps have a finite value there. */
  count: Int32Array<ArrayBuffer>;
}

/**
 * The quartiles over those sweeps that have reached a step, interpolated as numpy does by default.
 *
 * @param lr rates of all rows
 * @param values what is compared, one for each row; one that is not finite is left out
 * @param starts offsets where each sweep begins; sweeps may end at any step
 */
export function quartiles(
  lr: Float64Array,
  values: Float64Array,
  starts: readonly number[],
): Quartiles {
  const ends = starts.map((_, i) => Math.min(starts[i + 1] ?? values.length, values.length));
  const steps = Math.max(0, ...starts.map((start, i) => ends[i]! - start));
  const empty = (): Float64Array<ArrayBuffer> => new Float64Array(steps).fill(NaN);
  const result: Quartiles = {
    lr: empty(),
    low: empty(),
    median: empty(),
    high: empty(),
    count: new Int32Array(steps),
  };
  for (let step = 0; step < steps; step++) {
    const reached: number[] = [];
    starts.forEach((start, i) => {
      const row = start + step;
      if (row >= ends[i]!) return;
      if (Number.isNaN(result.lr[step]!)) result.lr[step] = lr[row]!;
      if (Number.isFinite(values[row]!)) reached.push(values[row]!);
    });
    result.count[step] = reached.length;
    if (reached.length === 0) continue;
    reached.sort((a, b) => a - b);
    result.low[step] = quantile(reached, 0.25);
    result.median[step] = quantile(reached, 0.5);
    result.high[step] = quantile(reached, 0.75);
  }
  return result;
}

function quantile(sorted: readonly number[], q: number): number {
  const place = q * (sorted.length - 1);
  const below = Math.floor(place);
  const above = Math.min(below + 1, sorted.length - 1);
  return sorted[below]! + (place - below) * (sorted[above]! - sorted[below]!);
}
