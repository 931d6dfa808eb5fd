import { describe, expect, it } from "vitest";
import { across, inside, isOver, placeTwin } from "../../src/chart/place";

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

it("the thumb of a slider over the axis is where its rate is", () => {
  const place = { left: 40, right: 140, top: 10, bottom: 60 };
  const style: Record<string, string> = {};
  placeTwin({ style } as unknown as HTMLElement, place);
  // The middle of a thumb of 16 pixels moves between half a thumb from either end.
  const at = (share: number): number =>
    parseFloat(style.left!) + 8 + share * (parseFloat(style.width!) - 16);
  const span = { low: 1e-4, high: 1 };
  expect([at(0), at(0.5), at(1)]).toEqual([1e-4, 1e-2, 1].map((lr) => across(lr, span, place)));
});
