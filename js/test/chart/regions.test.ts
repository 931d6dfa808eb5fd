import { describe, expect, it } from "vitest";
import { describeRegion, regionsOf } from "../../src/chart/regions";
import type { Landmarks } from "../../src/stream/protocol";

const SPAN = { low: 1e-6, high: 1 };
const bounds = (landmarks: Landmarks): (string | number)[][] =>
  regionsOf(landmarks, SPAN).map(({ name, low, high }) => [name, low, high]);

describe("regionsOf", () => {
  it("has three regions for a curve that falls and explodes", () => {
    expect(bounds({ falls_at: 1e-4, minimum: 1e-2, explodes_at: 0.3 })).toEqual([
      ["flat", 1e-6, 1e-4],
      ["falling", 1e-4, 1e-2],
      ["exploding", 0.3, 1],
    ]);
  });

  it("has no exploding region if the loss never exploded", () => {
    const names = bounds({ falls_at: 1e-4, minimum: 1e-2, explodes_at: null });
    expect(names.map(([name]) => name)).toEqual(["flat", "falling"]);
  });

  it("is flat up to the climb if the loss never fell, and says so", () => {
    const landmarks = { falls_at: null, minimum: null, explodes_at: 0.1 };
    expect(bounds(landmarks)).toEqual([
      ["flat", 1e-6, 0.1],
      ["exploding", 0.1, 1],
    ]);
    expect(regionsOf(landmarks, SPAN)[1]!.meaning).toContain("climbs out of its noise");
  });

  it("has no regions without landmarks", () => {
    expect(bounds({ falls_at: null, minimum: null, explodes_at: null })).toEqual([]);
    expect(regionsOf({}, SPAN)).toEqual([]);
    expect(regionsOf(undefined, SPAN)).toEqual([]);
  });

  it("omits regions without width and outside of the sweep", () => {
    expect(bounds({ falls_at: 1e-6, minimum: 1e-3, explodes_at: 1 })).toEqual([
      ["falling", 1e-6, 1e-3],
    ]);
    expect(bounds({ falls_at: 1e-7, minimum: 1e-3, explodes_at: 5 })).toEqual([
      ["falling", 1e-6, 1e-3],
    ]);
  });
});

describe("describeRegion", () => {
  it("contains the region's ends and meaning", () => {
    const [, falling] = regionsOf({ falls_at: 2e-4, minimum: 2e-2 }, SPAN);
    expect(describeRegion(falling!)).toBe("2e-4 to 2e-2: the loss falls: the model learns");
  });
});
