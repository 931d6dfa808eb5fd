import { describe, expect, it } from "vitest";
import { limitAt, limitSpan, logRange, positionOf, shownRange } from "../src/limits";
import { autoRange, rangeTest } from "./curves";

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
  const span = limitSpan(auto, Math.max(...loss));

  it("reaches everything that was seen", () => {
    expect(limitAt(1, auto, span)).toBeCloseTo(Math.max(...loss), 6);
    expect(limitAt(0, auto, span)).toBeLessThan(auto.max / 4);
  });

  it("keeps room for useful limits whatever the explosion", () => {
    const huge = rangeTest(100, 1e30);
    const shown = autoRange(huge);
    expect(positionOf(shown.max, shown, limitSpan(shown, Math.max(...huge)))).toBeGreaterThan(0.3);
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

describe("logRange", () => {
  it("ends at the same loss and begins below the lowest", () => {
    const { min, max } = logRange({ min: -0.2, max: 100 }, 0.01, 1e5);
    expect(max).toBe(2);
    expect(min).toBeCloseTo(-2.2, 12);
  });
  it("shows all where the limit would leave nothing", () => {
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
