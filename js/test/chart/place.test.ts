import { describe, expect, it } from "vitest";
import { inside, isOver } from "../../src/chart/place";

describe("a box over the chart", () => {
  it("is moved so that it stays within, as far as there is room", () => {
    expect(inside(20, 50, 100)).toBe(20);
    expect(inside(-5, 50, 100)).toBe(0);
    expect(inside(70, 50, 100)).toBe(50);
    expect(inside(70, 120, 100)).toBe(0);
  });
});

describe("isOver", () => {
  const place = { left: 40, right: 100, top: 10, bottom: 60 };
  it.each([
    [70, 30, true],
    [36, 10, true],
    [104, 60, true],
    [35, 30, false],
    [105, 30, false],
    [70, 9, false],
    [70, 61, false],
  ])("a pointer at %i, %i: %s", (x, y, over) => {
    expect(isOver(place, { x, y })).toBe(over);
  });
});
