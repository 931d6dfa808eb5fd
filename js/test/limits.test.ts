import { describe, expect, it } from "vitest";
import { autoRange, limitAt, limitSpan, positionOf, shownRange } from "../src/limits";
import { below, seeded } from "./random";

/** Flat at 2.3, a fall to 0.4, then an explosion: the shape of a range test. */
function rangeTest(steps: number, explosion: number, noise = 0): Float64Array {
  const random = seeded(steps);
  return Float64Array.from({ length: steps }, (_, i) => {
    const t = i / steps;
    const fall = 1.9 / (1 + Math.exp(-25 * (t - 0.5)));
    return 2.3 - fall + (t > 0.85 ? explosion * (t - 0.85) : 0) + noise * (random() - 0.5);
  });
}

describe("autoRange", () => {
  it.each([10, 1e3, 1e12, 1e300])("is not flattened by an explosion to %d", (explosion) => {
    const { min, max } = autoRange(rangeTest(100, explosion));
    expect(min).toBeLessThan(0.45);
    expect(max).toBeGreaterThan(2.3);
    expect(max).toBeLessThan(4);
  });

  it("shows the noise of the part before the minimum", () => {
    const { max } = autoRange(rangeTest(200, 50, 1));
    expect(max).toBeGreaterThan(2.7);
  });

  it("shows the lower half of a curve that only rises", () => {
    const loss = Float64Array.from({ length: 100 }, (_, i) => 1 + i);
    const { min, max } = autoRange(loss);
    expect(min).toBeLessThanOrEqual(1);
    expect(max).toBeGreaterThan(50);
  });

  it("spans all sweeps of a run", () => {
    const first = rangeTest(100, 1e6);
    const second = first.map((x) => x - 1);
    const both = Float64Array.of(...first, ...second);
    const { min, max } = autoRange(both, [0, 100]);
    expect(min).toBeLessThan(-0.5);
    expect(max).toBeGreaterThan(2.3);
    expect(max).toBeLessThan(4.5);
  });

  it.each(Array.from({ length: 200 }, (_, seed) => seed))(
    "is finite and not empty for any numbers (seed %i)",
    (seed) => {
      const random = seeded(seed);
      const pool = [0, 1, -1, NaN, Infinity, -Infinity, 1e308, -1e308, 5e-324, 2.3, 2.3, 1e-12];
      const loss = Float64Array.from({ length: below(random, 12) }, () => pool[below(random, 12)]!);
      const auto = autoRange(loss);
      const limit = random() < 0.5 ? null : pool[below(random, 12)]!;
      for (const { min, max } of [auto, shownRange(auto, limit), limitSpan(auto, loss)]) {
        expect(Number.isFinite(min)).toBe(true);
        expect(Number.isFinite(max)).toBe(true);
        expect(min).toBeLessThan(max);
      }
    },
  );
});

describe("shownRange", () => {
  const auto = { min: 0, max: 3 };
  it("is the automatic range without a limit", () => {
    expect(shownRange(auto, null)).toEqual(auto);
  });
  it("ends at the limit", () => {
    expect(shownRange(auto, 1.5)).toEqual({ min: 0, max: 1.5 });
    expect(shownRange(auto, 50)).toEqual({ min: 0, max: 50 });
  });
  it("makes room below a limit that lies under the curve", () => {
    expect(shownRange(auto, -1)).toEqual({ min: -4, max: -1 });
  });
});

describe("the loss limit slider", () => {
  const loss = rangeTest(100, 300);
  const auto = autoRange(loss);
  const span = limitSpan(auto, loss);

  it("reaches everything that was seen", () => {
    expect(limitAt(1, auto, span)).toBeCloseTo(Math.max(...loss), 6);
    expect(limitAt(0, auto, span)).toBeLessThan(auto.max / 4);
  });

  it("keeps room for useful limits whatever the explosion", () => {
    const huge = rangeTest(100, 1e30);
    const shown = autoRange(huge);
    expect(positionOf(shown.max, shown, limitSpan(shown, huge))).toBeGreaterThan(0.3);
  });

  it("goes up with the position and comes back to it", () => {
    for (let position = 0; position < 1; position += 0.05) {
      const limit = limitAt(position, auto, span);
      expect(limitAt(position + 0.01, auto, span)).toBeGreaterThan(limit);
      expect(positionOf(limit, auto, span)).toBeCloseTo(position, 9);
    }
  });

  it("stays at its ends for limits out of reach", () => {
    expect(positionOf(-100, auto, span)).toBe(0);
    expect(positionOf(1e30, auto, span)).toBe(1);
  });
});
