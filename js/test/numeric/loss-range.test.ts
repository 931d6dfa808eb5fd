import { describe, expect, it } from "vitest";
import { curvesRange } from "../../src/trials/curves";
import {
  AutoRange,
  limitAt,
  limitSpan,
  logRange,
  positionOf,
  visibleRange,
} from "../../src/numeric/loss-range";
import { autoRange, rangeTest } from "../curves";
import { below, seeded } from "../random";
import { type VectorLoss, casesOf } from "../vectors";

interface Case {
  name: string;
  sweeps: VectorLoss[][];
  range: [number, number];
  trials: [number, number];
}

const cases = casesOf<Case>("lossrange.json");

describe("the ranges of Python's pictures", () => {
  it.each(cases.map((c) => [c.name, c] as const))("equal the page's: %s", (_, c) => {
    const sweeps = c.sweeps.map((sweep) => Float64Array.from(sweep, Number));
    const lengths = sweeps.map((sweep) => sweep.length);
    const starts = lengths.map((_, i) => lengths.slice(0, i).reduce((sum, n) => sum + n, 0));
    const all = Float64Array.from(sweeps.flatMap((sweep) => [...sweep]));
    const shown = [autoRange(all, starts), curvesRange(sweeps)];
    [c.range, c.trials].forEach(([low, high], i) => {
      const tolerance = 1e-12 * Math.max(Math.abs(low), Math.abs(high));
      expect(Math.abs(shown[i]!.min - low)).toBeLessThanOrEqual(tolerance);
      expect(Math.abs(shown[i]!.max - high)).toBeLessThanOrEqual(tolerance);
    });
  });
});

describe("visibleRange", () => {
  const auto = { min: 0, max: 3 };
  it("is the automatic range without a limit", () => {
    expect(visibleRange(auto, null)).toEqual(auto);
  });
  it("ends at the limit", () => {
    expect(visibleRange(auto, 1.5)).toEqual({ min: 0, max: 1.5 });
    expect(visibleRange(auto, 50)).toEqual({ min: 0, max: 50 });
  });
  it("has room below a limit that is under the curve", () => {
    expect(visibleRange(auto, -1)).toEqual({ min: -4, max: -1 });
  });
});

describe("the loss limit slider", () => {
  const loss = rangeTest(100, 300);
  const auto = autoRange(loss);
  const span = limitSpan(auto, Math.max(...loss));

  it("reaches all losses", () => {
    expect(limitAt(1, auto, span)).toBeCloseTo(Math.max(...loss), 6);
    expect(limitAt(0, auto, span)).toBeLessThan(auto.max / 4);
  });

  it("goes up to four times the automatic range where no loss is as high", () => {
    expect(limitSpan({ min: 1, max: 3 }, 2).max).toBe(9);
    expect(limitSpan({ min: 1, max: 3 }, 20).max).toBe(20);
  });
  it("keeps useful limits reachable after any explosion", () => {
    const huge = rangeTest(100, 1e30);
    const shown = autoRange(huge);
    expect(positionOf(shown.max, shown, limitSpan(shown, Math.max(...huge)))).toBeGreaterThan(0.3);
  });

  it("rises with the position and can be inverted", () => {
    for (let position = 0; position < 1; position += 0.05) {
      const limit = limitAt(position, auto, span);
      expect(limitAt(position + 0.01, auto, span)).toBeGreaterThan(limit);
      expect(positionOf(limit, auto, span)).toBeCloseTo(position, 9);
    }
  });

  it("stays at its ends for limits beyond them", () => {
    expect(positionOf(-100, auto, span)).toBe(0);
    expect(positionOf(1e30, auto, span)).toBe(1);
  });
});

describe("logRange", () => {
  it("has the same upper end and begins below the lowest loss", () => {
    const { min, max } = logRange({ min: -0.2, max: 100 }, 0.01, 1e5);
    expect(max).toBe(2);
    expect(min).toBeCloseTo(-2.2, 12);
  });
  it("ignores a limit below all losses", () => {
    for (const max of [0.5, 0, -3]) {
      expect(logRange({ min: -5, max }, 1, 1000).max).toBe(3);
    }
  });
  it.each([
    [5e-324, Infinity],
    [1e308, 1e308],
    [2, 2],
  ])("is finite and ordered from %d to %d", (least, most) => {
    const { min, max } = logRange({ min: 0, max: most }, least, most);
    expect(min).toBeGreaterThan(-400);
    expect(max).toBeLessThan(400);
    expect(min).toBeLessThan(max);
  });
});

describe("autoRange", () => {
  it.each([10, 1e3, 1e12, 1e300])("is not flattened by an explosion to %d", (explosion) => {
    const { min, max } = autoRange(rangeTest(100, explosion));
    expect(min).toBeLessThan(0.45);
    expect(max).toBeGreaterThan(2.3);
    expect(max).toBeLessThan(4);
  });

  it("shows the first loss, however soon the curve falls", () => {
    const { max } = autoRange(Float64Array.from({ length: 200 }, (_, i) => (i ? 1 : 9)));
    expect(max).toBeGreaterThan(9);
  });

  it("knows the largest and the smallest loss that a logarithmic axis can show", () => {
    const auto = new AutoRange();
    expect([auto.maxLoss, auto.minPositiveLoss]).toEqual([-Infinity, Infinity]);
    auto.extend(Float64Array.of(1, 0.25, -3, 0, 0.5, 2, NaN), [0]);
    expect([auto.maxLoss, auto.minPositiveLoss]).toEqual([2, 0.25]);
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

  it("shows the lower half of a curve that explodes from its first row on", () => {
    const loss = Float64Array.of(4.7e4, 8e8, 2e13, 1e18, 5e22, 2.5e27, 1.5e32, Infinity);
    const { min, max } = autoRange(loss);
    expect(min).toBeLessThan(4.7e4);
    expect(max).toBeGreaterThan(1e18);
    expect(max).toBeLessThan(1e24);
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
      const most = Math.max(...loss.filter((value) => !Number.isNaN(value)));
      const limit = random() < 0.5 ? null : pool[below(random, 12)]!;
      for (const { min, max } of [auto, visibleRange(auto, limit), limitSpan(auto, most)]) {
        expect(Number.isFinite(min)).toBe(true);
        expect(Number.isFinite(max)).toBe(true);
        expect(min).toBeLessThan(max);
      }
    },
  );
});
