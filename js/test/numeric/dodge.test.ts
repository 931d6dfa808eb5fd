import { describe, expect, it } from "vitest";
import { dodged } from "../../src/numeric/dodge";

describe("dodged", () => {
  it("keeps labels that have room", () => {
    expect(dodged([50, 150, 250], [40, 40, 40], 0, 300)).toEqual([50, 150, 250]);
  });

  it("places coinciding labels side by side around their middle", () => {
    expect(dodged([100, 100, 100], [20, 40, 20], 0, 300)).toEqual([70, 100, 130]);
  });

  it("stays inside the available room", () => {
    expect(dodged([0, 5], [20, 20], 0, 300)).toEqual([10, 30]);
    expect(dodged([299, 300], [20, 20], 0, 300)).toEqual([270, 290]);
  });

  it("moves further neighbours that would then overlap", () => {
    const [first, second, third] = dodged([100, 104, 125], [20, 20, 20], 0, 300);
    expect(second! - first!).toBeCloseTo(20);
    expect(third! - second!).toBeCloseTo(20);
    expect((first! + second! + third!) / 3).toBeCloseTo((100 + 104 + 125) / 3);
  });

  it("keeps order and distances for any middles", () => {
    let seed = 3;
    const random = (): number => (seed = (seed * 16807) % 2147483647) / 2147483647;
    for (let round = 0; round < 200; round++) {
      const count = 1 + Math.floor(random() * 6);
      const wanted = Array.from({ length: count }, () => random() * 600).sort((a, b) => a - b);
      const widths = wanted.map(() => 10 + random() * 60);
      const middles = dodged(wanted, widths, 0, 600);
      middles.forEach((middle, i) => {
        const left = i === 0 ? 0 : middles[i - 1]! + widths[i - 1]! / 2;
        expect(middle - widths[i]! / 2).toBeGreaterThanOrEqual(left - 1e-9);
        expect(middle + widths[i]! / 2).toBeLessThanOrEqual(600 + 1e-9);
      });
    }
  });

  it("returns nothing without labels", () => {
    expect(dodged([], [], 0, 100)).toEqual([]);
  });
});
