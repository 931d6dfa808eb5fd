import { describe, expect, it } from "vitest";
import {
  clampRate,
  fractionOf,
  partBetween,
  rateAt,
  zoomed,
  union,
  tidyRate,
} from "../../src/numeric/axis";
import { seeded } from "../random";

const whole = { low: 1e-6, high: 1 };

describe("partBetween", () => {
  it("accepts its ends in any order", () => {
    expect(partBetween(1e-2, 1e-4, whole)).toEqual({ low: 1e-4, high: 1e-2 });
  });
  it("stays inside the span", () => {
    expect(partBetween(1e-9, 1e-4, whole)).toEqual({ low: 1e-6, high: 1e-4 });
  });
  it("is null if the part is too narrow", () => {
    expect(partBetween(1e-3, 1.01e-3, whole)).toBeNull();
    expect(partBetween(2, 5, whole)).toBeNull();
  });
});

describe("zoomed", () => {
  const decades = ({ low, high }: { low: number; high: number }): number => Math.log10(high / low);

  it("halves the decades around a rate, which keeps its place", () => {
    const part = zoomed(whole, 0.5, 1e-2, whole);
    expect(decades(part)).toBeCloseTo(3, 10);
    expect(Math.log10(1e-2 / part.low) / 3).toBeCloseTo(4 / 6, 10);
  });
  it("returns to the exact ends", () => {
    const part = zoomed({ low: 1e-4, high: 1e-3 }, 0.5, 2e-4, whole);
    expect(zoomed(part, Infinity, 2e-4, whole)).toEqual(whole);
    expect(zoomed(zoomed(zoomed(part, 8, 1, whole), 8, 1, whole), 8, 1, whole)).toEqual(whole);
  });
  it("returns to the exact ends around any rate", () => {
    const random = seeded(1);
    for (let i = 0; i < 2000; i++) {
      const rate = 10 ** (-6 + 6 * random());
      expect(zoomed(zoomed(whole, 0.5, rate, whole), 2, rate, whole)).toEqual(whole);
    }
  });
  it.each(Array.from({ length: 100 }, (_, i) => i))(
    "stays inside the span and wide enough (seed %i)",
    (i) => {
      const random = seeded(i);
      const rate = (): number => 10 ** (-7 + 8 * random());
      let part = whole;
      for (let step = 0; step < 30; step++) {
        part = zoomed(part, 4 ** (random() - 0.6), rate(), whole);
        expect(part.low).toBeGreaterThanOrEqual(whole.low);
        expect(part.high).toBeLessThanOrEqual(whole.high);
        expect(part.high / part.low).toBeGreaterThan(1.049);
      }
    },
  );
});

describe("the axis of rates", () => {
  const span = { low: 1e-6, high: 1 };
  it("maps rates to fractions and back", () => {
    expect(fractionOf(1e-3, span)).toBeCloseTo(0.5, 12);
    expect(rateAt(0.5, span)).toBeCloseTo(1e-3, 12);
    expect(rateAt(0, span)).toBe(1e-6);
    expect(rateAt(1, span)).toBe(1);
    expect(rateAt(2, span)).toBe(1);
  });
  it("clamps to the ends", () => {
    expect(clampRate(2.7e5, span)).toBe(1);
    expect(clampRate(1e-9, span)).toBe(1e-6);
    expect(clampRate(3e-4, span)).toBe(3e-4);
  });
});

describe("union", () => {
  it("spans all of its arguments", () => {
    expect(union([{ low: 1e-5, high: 1 }])).toEqual({ low: 1e-5, high: 1 });
    expect(
      union([
        { low: 1e-5, high: 1 },
        { low: 1e-4, high: 10 },
      ]),
    ).toEqual({ low: 1e-5, high: 10 });
  });
});

describe("tidyRate", () => {
  it("keeps as many digits as a pointer can tell apart on this axis", () => {
    expect(tidyRate(0.00123456, { low: 1e-6, high: 1 })).toBe(0.00123);
    expect(tidyRate(1.00512345, { low: 1, high: 1.01 })).toBe(1.00512);
  });

  it("leaves the ends of the axis as they are, and goes no further", () => {
    const span = { low: 1.23456e-6, high: 1 };
    expect([1e-9, 1.23456e-6, 5].map((lr) => tidyRate(lr, span))).toEqual([
      1.23456e-6, 1.23456e-6, 1,
    ]);
  });
});
