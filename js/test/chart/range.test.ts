import { describe, expect, it } from "vitest";
import { movedEnd, rangeBelow } from "../../src/chart/range";

const shown = { low: 1e-6, high: 1 };

describe("rangeBelow", () => {
  it("is the decade up to the chosen rate", () => {
    expect(rangeBelow(1e-2, shown)).toEqual([1e-3, 1e-2]);
  });
  it("has two different ends even at the low end of the sweep, and without a chosen rate", () => {
    for (const lr of [1e-6, 2e-6, null]) {
      const [low, high] = rangeBelow(lr, shown);
      expect(low).toBeGreaterThanOrEqual(shown.low);
      expect(high).toBeGreaterThan(low);
    }
  });
});

describe("movedEnd", () => {
  it("moves one end by a fraction of the axis", () => {
    expect(movedEnd([1e-4, 1e-2], 0, 0.1, shown)).toEqual([3.98e-4, 1e-2]);
    expect(movedEnd([1e-4, 1e-2], 1, -0.1, shown)).toEqual([1e-4, 2.51e-3]);
  });
  it("reaches the exact ends of the axis", () => {
    expect(movedEnd([1e-4, 1e-2], 0, -Infinity, shown)).toEqual([1e-6, 1e-2]);
    expect(movedEnd([1e-4, 1e-2], 1, Infinity, shown)).toEqual([1e-4, 1]);
  });
  it("does not let one end pass the other", () => {
    expect(movedEnd([1e-4, 1.1e-4], 0, 0.1, shown)).toEqual([1e-4, 1.1e-4]);
    expect(movedEnd([1e-4, 1e-2], 1, -Infinity, shown)).toEqual([1e-4, 1e-2]);
  });
});
