import { describe, expect, it } from "vitest";
import { inside } from "../../src/chart/place";

describe("a box over the chart", () => {
  it("is moved so that it stays within, as far as there is room", () => {
    expect(inside(20, 50, 100)).toBe(20);
    expect(inside(-5, 50, 100)).toBe(0);
    expect(inside(70, 50, 100)).toBe(50);
    expect(inside(70, 120, 100)).toBe(0);
  });
});
