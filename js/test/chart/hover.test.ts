import { describe, expect, it } from "vitest";
import { describeRow, describeSweeps, nearest } from "../../src/chart/hover";
import { RunTable } from "../../src/stream/rows";

describe("the text about a row", () => {
  const table = new RunTable(1);
  table.write(0, Float64Array.of(1e-3, 2.5, 2.34567e-3, 0.123456, 1e-2, Infinity));

  it("has its step, its rate, its raw and its smoothed loss", () => {
    expect(describeRow(table, Float64Array.of(2.5, 1.25, NaN), 1)).toEqual([
      "step 2",
      "lr 2.35e-3",
      "loss 0.1235",
      "smoothed 1.25",
    ]);
  });
  it("has no smoothed loss if there is none", () => {
    expect(describeRow(table, Float64Array.of(2.5, 1.25, NaN), 2)).toEqual([
      "step 3",
      "lr 1e-2",
      "loss infinite",
    ]);
  });
  it("has the median and quartiles of several sweeps where several have values", () => {
    const all = {
      lr: Float64Array.of(1e-3, 1e-2),
      low: Float64Array.of(1, 4),
      median: Float64Array.of(2, 4),
      high: Float64Array.of(3, 4),
      count: Float64Array.of(3, 1),
    };
    expect(describeSweeps(all, 0)).toEqual([
      "step 1",
      "lr 1e-3",
      "median of 3 2",
      "quartiles 1 to 3",
    ]);
    expect(describeSweeps(all, 1)).toEqual(["step 2", "lr 1e-2", "smoothed 4"]);
  });
});

describe("the nearest row", () => {
  it("is the nearest on the logarithmic axis", () => {
    const rates = Float64Array.of(1e-3, 1e-2, 1e-1);
    expect(nearest(rates, 4e-3)).toBe(1);
    expect(nearest(rates, 3e-3)).toBe(0);
    expect(nearest(rates, 9)).toBe(2);
  });
  it("is never a row that has not arrived", () => {
    expect(nearest(Float64Array.of(NaN, NaN, 1), 1e-5)).toBe(2);
  });
});
