import { describe, expect, it } from "vitest";
import { type Quartiles, SweepQuartiles } from "../../src/numeric/quartiles";

const array = (...values: number[]): Float64Array => Float64Array.from(values);
const quartiles = (lr: Float64Array, values: Float64Array, starts: number[]): Quartiles =>
  new SweepQuartiles().extend(lr, values, starts);
const LADDER = [1e-3, 1e-2, 1e-1, 1];

describe("quartiles", () => {
  it("equal numpy's at each step over all sweeps", () => {
    // numpy.quantile(column, [.25, .5, .75], axis=0) of the three sweeps
    const values = array(3, 5, 1, 2, 1, 9, 4, 2, 8, 7, 2, 5);
    const all = quartiles(array(...LADDER, ...LADDER, ...LADDER), values, [0, 4, 8]);
    expect([...all.lr]).toEqual(LADDER);
    expect([...all.low]).toEqual([2, 6, 1.5, 2]);
    expect([...all.median]).toEqual([3, 7, 2, 2]);
    expect([...all.high]).toEqual([5.5, 8, 3, 3.5]);
    expect([...all.count]).toEqual([3, 3, 3, 3]);
  });

  it("interpolate between two sweeps", () => {
    const all = quartiles(array(1, 1), array(0, 1), [0, 1]);
    expect([all.low[0], all.median[0], all.high[0]]).toEqual([0.25, 0.5, 0.75]);
  });

  it("are the line itself for a single sweep", () => {
    const all = quartiles(array(...LADDER), array(3, 1, 2, 4), [0]);
    for (const line of [all.low, all.median, all.high]) expect([...line]).toEqual([3, 1, 2, 4]);
  });

  it("use only the sweeps that have reached a step", () => {
    // The second sweep diverged after two steps, the third one is in progress.
    const lr = array(...LADDER, 1e-3, 1e-2, 1e-3);
    const all = quartiles(lr, array(1, 2, 3, 4, 3, 6, 5), [0, 4, 6]);
    expect([...all.count]).toEqual([3, 2, 1, 1]);
    expect([...all.median]).toEqual([3, 4, 3, 4]);
    expect([...all.lr]).toEqual(LADDER);
  });

  it("reach as far as the longest sweep", () => {
    const all = quartiles(array(1e-3, ...LADDER), array(5, 1, 2, 3, 4), [0, 1]);
    expect([...all.lr]).toEqual(LADDER);
    expect([...all.median]).toEqual([3, 2, 3, 4]);
  });

  it("omit values that are not finite, and have a gap if none is finite", () => {
    const values = array(1, NaN, Infinity, 2, 3, NaN, 7, 4);
    const all = quartiles(array(...LADDER, ...LADDER), values, [0, 4]);
    expect([...all.count]).toEqual([2, 0, 1, 2]);
    expect([...all.median]).toEqual([2, NaN, 7, 3]);
    expect([...all.low]).toEqual([1.5, NaN, 7, 2.5]);
  });

  it("have a rate that one sweep still lacks", () => {
    const all = quartiles(array(NaN, 1e-2, 1e-3, 1e-2), array(NaN, 1, 2, 3), [0, 2]);
    expect([...all.lr]).toEqual([1e-3, 1e-2]);
    expect([...all.median]).toEqual([2, 2]);
  });

  it("accept no rows, and a sweep without rows", () => {
    expect(quartiles(array(), array(), [0]).median).toHaveLength(0);
    const all = quartiles(array(1e-3, 1e-2), array(1, 2), [0, 2]);
    expect([...all.median]).toEqual([1, 2]);
    expect([...all.count]).toEqual([1, 1]);
  });

  it("are ordered for any numbers", () => {
    let seed = 7;
    const random = (): number => (seed = (seed * 16807) % 2147483647) / 2147483647;
    for (let round = 0; round < 50; round++) {
      const sweeps = 1 + Math.floor(random() * 6);
      const starts = Array.from({ length: sweeps }, (_, i) => 10 * i);
      const values = Float64Array.from({ length: 10 * sweeps }, () => random() * 10 - 5);
      const all = quartiles(values.map(Math.abs), values, starts);
      all.median.forEach((median, step) => {
        const column = starts.map((start) => values[start + step]!);
        const below = column.filter((value) => value < median).length;
        const above = column.filter((value) => value > median).length;
        expect(Math.abs(below - above)).toBe(0);
        expect(all.low[step]!).toBeLessThanOrEqual(median);
        expect(all.high[step]!).toBeGreaterThanOrEqual(median);
        expect(all.low[step]!).toBeGreaterThanOrEqual(Math.min(...column));
        expect(all.high[step]!).toBeLessThanOrEqual(Math.max(...column));
      });
    }
  });
});
