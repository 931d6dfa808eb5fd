// Several sweeps as one curve: median and quartiles of their losses at each step. All sweeps have the
// same ladder of rates, so a step has the same rate in each.
import { Numbers } from "./numbers";

/** One entry for each step of the ladder. Views, valid until the next call. */
export interface Quartiles {
  /** The rate of the step; NaN if no sweep has reached it. */
  lr: Float64Array<ArrayBuffer>;
  /** First quartile, median and third quartile; NaN if no sweep has a finite value. */
  low: Float64Array<ArrayBuffer>;
  median: Float64Array<ArrayBuffer>;
  high: Float64Array<ArrayBuffer>;
  /** How many sweeps have a finite value at the step. */
  count: Float64Array<ArrayBuffer>;
}

/** The quartiles of the sweeps that have reached a step, interpolated as by `numpy.quantile`. */
export class SweepQuartiles {
  private readonly columns = {
    lr: new Numbers(),
    low: new Numbers(),
    median: new Numbers(),
    high: new Numbers(),
    count: new Numbers(),
  };
  private rowsDone = 0;

  /**
   * Takes in further rows; computes only the steps of the sweeps that they belong to.
   *
   * @param lr rates of all rows: those of the last call, and further ones
   * @param values one per row; a value that is not finite is left out. The values of a sweep may
   *   change when rows are added to it.
   * @param starts offsets where each sweep begins; sweeps may end at any step
   */
  extend(lr: Float64Array, values: Float64Array, starts: readonly number[]): Quartiles {
    const { columns, rowsDone } = this;
    const ends = starts.map((_, i) => Math.min(starts[i + 1] ?? values.length, values.length));
    let changed = 0;
    starts.forEach((start, i) => {
      if (ends[i]! <= rowsDone) return;
      changed = Math.max(changed, ends[i]! - start);
    });
    while (columns.lr.length < changed) {
      for (const column of Object.values(columns)) column.push(NaN);
    }
    for (let step = 0; step < changed; step++) this.computeStep(step, lr, values, starts, ends);
    this.rowsDone = values.length;
    return {
      lr: columns.lr.view,
      low: columns.low.view,
      median: columns.median.view,
      high: columns.high.view,
      count: columns.count.view,
    };
  }

  private computeStep(
    step: number,
    lr: Float64Array,
    values: Float64Array,
    starts: readonly number[],
    ends: readonly number[],
  ): void {
    const { columns } = this;
    const reached: number[] = [];
    for (let i = 0; i < starts.length; i++) {
      const row = starts[i]! + step;
      if (row >= ends[i]!) continue;
      if (Number.isNaN(columns.lr.view[step]!)) columns.lr.set(step, lr[row]!);
      const value = values[row]!;
      if (Number.isFinite(value)) reached.push(value);
    }
    reached.sort((a, b) => a - b);
    columns.count.set(step, reached.length);
    columns.low.set(step, quantile(reached, 0.25));
    columns.median.set(step, quantile(reached, 0.5));
    columns.high.set(step, quantile(reached, 0.75));
  }
}

/** NaN of an empty list. */
function quantile(sorted: readonly number[], q: number): number {
  const place = q * (sorted.length - 1);
  const below = Math.floor(place);
  const above = Math.min(below + 1, sorted.length - 1);
  return sorted[below]! + (place - below) * (sorted[above]! - sorted[below]!);
}
