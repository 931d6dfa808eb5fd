import { describe, expect, it } from "vitest";
import { limitAt, limitSpan, positionOf, shownRange } from "../src/limits";
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
