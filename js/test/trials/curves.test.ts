import { describe, expect, it } from "vitest";
import {
  curveEnd,
  curvePath,
  curvesRange,
  dashOf,
  LINE_HEIGHT,
  place,
  spreadLabels,
  trialCurves,
} from "../../src/trials/curves";
import { smoothed } from "../../src/numeric/smoothing";
import { seeded } from "../random";

const FRAME = { left: 10, top: 20, width: 200, height: 100 };
const RANGE = { min: 0, max: 2 };

function points(path: string): [number, number][] {
  return path
    .split(/[ML]/)
    .slice(1)
    .map((pair) => pair.split(" ").map(Number) as [number, number]);
}

describe("trialCurves", () => {
  it("smooths each trial by itself", () => {
    const loss = Float64Array.of(4, 2, 3, 1, 9);
    const curves = trialCurves(loss, [0, 2, 4], 0.5);
    const expected = [[4, 2], [3, 1], [9]].map((part) => smoothed(Float64Array.from(part), 0.5));
    expect(curves).toEqual(expected);
  });

  it("has an empty curve for a trial without rows, even if its rows have not arrived yet", () => {
    const lengths = trialCurves(Float64Array.of(1, 2), [0, 2, 2, 5], 0.9).map((c) => c.length);
    expect(lengths).toEqual([2, 0, 0, 0]);
  });
});

describe("curvesRange", () => {
  it("is not flattened by a curve that explodes", () => {
    const steps = Array.from({ length: 50 }, (_, i) => i);
    const falling = Float64Array.from(steps, (i) => 2 - i / 50);
    const exploding = Float64Array.from(steps, (i) => 2 + 1.9 ** i);
    const { min, max } = curvesRange([falling, exploding]);
    expect(min).toBeLessThan(1.02);
    expect(max).toBeLessThan(4);
    expect(max).toBeGreaterThan(2);
  });

  it("is a valid range without losses", () => {
    for (const curves of [
      [],
      [new Float64Array(0)],
      [Float64Array.of(NaN, Infinity)],
      [Float64Array.of(3, 3)],
    ]) {
      const { min, max } = curvesRange(curves);
      expect(min).toBeLessThan(max);
    }
  });
});

describe("curvePath", () => {
  it("runs from the left to the right edge, higher for larger losses", () => {
    const path = curvePath(Float64Array.of(2, 1, 0), 3, RANGE, FRAME);
    expect(path).toBe("M10.0 20.0L110.0 70.0L210.0 120.0");
    expect(place(0, 2, 3, RANGE, FRAME)).toEqual({ x: 10, y: 20 });
  });

  it("has a gap at a loss that is not finite", () => {
    const path = curvePath(Float64Array.of(2, NaN, 0), 3, RANGE, FRAME);
    expect(path).toBe("M10.0 20.0M210.0 120.0");
  });

  it("limits coordinates that renderers cannot draw", () => {
    const path = curvePath(Float64Array.of(1, 1e300), 2, RANGE, FRAME);
    for (const [, y] of points(path)) expect(Math.abs(y)).toBeLessThan(2000);
  });

  it("has at most one point per pixel, and always the last point", () => {
    const random = seeded(7);
    const curve = Float64Array.from({ length: 12_345 }, () => random());
    const drawn = points(curvePath(curve, 20_000, RANGE, FRAME));
    expect(drawn.length).toBeLessThanOrEqual(FRAME.width + 1);
    const end = curveEnd(curve, 20_000, RANGE, FRAME)!;
    expect(drawn.at(-1)![0]).toBeCloseTo(end.x, 1);
    expect(drawn.at(-1)![1]).toBeCloseTo(end.y, 1);
  });

  it("draws a single step", () => {
    expect(curvePath(Float64Array.of(1), 1, RANGE, FRAME)).toBe("M10.0 70.0");
  });
});

describe("curveEnd", () => {
  it("is at the last finite loss, within the frame", () => {
    const end = curveEnd(Float64Array.of(1, 50, NaN), 3, RANGE, FRAME);
    expect(end).toEqual({ x: 110, y: FRAME.top });
    expect(curveEnd(Float64Array.of(NaN), 3, RANGE, FRAME)).toBeNull();
  });

  it("is at the first loss of a curve that was never within the frame", () => {
    expect(curveEnd(Float64Array.of(50, 60), 2, RANGE, FRAME)).toEqual({ x: 10, y: FRAME.top });
  });

  it("is where the curve has left the frame for good", () => {
    const gone = curveEnd(Float64Array.of(1, 50, 60, 70, 80), 5, RANGE, FRAME);
    expect(gone).toEqual({ x: 60, y: FRAME.top });
    const back = curveEnd(Float64Array.of(1, 50, 60, 70, 1), 5, RANGE, FRAME);
    expect(back).toEqual({ x: 210, y: 70 });
  });
});

describe("spreadLabels", () => {
  const apart = (heights: number[]): number =>
    Math.min(
      ...[...heights]
        .sort((a, b) => a - b)
        .slice(1)
        .map((height, i) => height - [...heights].sort((a, b) => a - b)[i]!),
    );

  it("keeps labels that do not overlap", () => {
    const wanted = [
      { x: 100, y: 90 },
      { x: 100, y: 30 },
      { x: 0, y: 32 },
    ];
    expect(spreadLabels(wanted, 60, 0, 100)).toEqual([90, 30, 32]);
  });

  it.each([0, 50, 100])("moves overlapping labels apart, within the frame, at %d", (y) => {
    const wanted = [1, 2, 3, 4].map(() => ({ x: 100, y }));
    const heights = spreadLabels(wanted, 60, 0, 100);
    expect(apart(heights)).toBeGreaterThanOrEqual(LINE_HEIGHT);
    expect(Math.min(...heights)).toBeGreaterThanOrEqual(0);
    expect(Math.max(...heights)).toBeLessThanOrEqual(100);
  });

  it("keeps the order of the curves", () => {
    const wanted = [40, 42, 44].map((y) => ({ x: 100, y }));
    const heights = spreadLabels(wanted, 60, 0, 100);
    expect([...heights].sort((a, b) => a - b)).toEqual(heights);
  });
});

it("dashes differ between neighbouring curves", () => {
  const dashes = [0, 1, 2, 3, 4, 5].map(dashOf);
  expect(new Set(dashes).size).toBe(6);
  expect(dashOf(6)).toBe(dashes[0]);
});
