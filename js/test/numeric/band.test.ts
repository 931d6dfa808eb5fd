import { describe, expect, it } from "vitest";
import { outline } from "../../src/numeric/band";
import { Columns } from "../../src/numeric/decimation";

const array = (...values: number[]): Float64Array => Float64Array.from(values);
const SPAN = { low: 1e-3, high: 1 };

describe("outline", () => {
  it("follows the upper edge, returns along the lower one, and ends at its start", () => {
    const { x, y } = outline(
      array(1e-3, 1e-2, 1e-1),
      array(1, 2, 3),
      array(4, 5, 6),
      new Columns(SPAN, 100),
    );
    expect([...x]).toEqual([1e-3, 1e-2, 1e-1, 1e-1, 1e-2, 1e-3, 1e-3]);
    expect([...y]).toEqual([4, 5, 6, 3, 2, 1, 4]);
  });

  it("is split where the edges have a gap; each part is closed", () => {
    const lr = array(1e-3, 1e-2, 1e-1, 1);
    const { x, y } = outline(lr, array(1, NaN, 3, 4), array(5, NaN, 7, 8), new Columns(SPAN, 100));
    expect([...y]).toEqual([5, 1, 5, NaN, 7, 8, 4, 3, 7]);
    expect([...x].every((rate) => rate > 0 && rate < Infinity)).toBe(true);
  });

  it("is empty if there is no band", () => {
    for (const edge of [array(), array(NaN, NaN)]) {
      expect(
        outline(array(1e-3, 1e-2).subarray(0, edge.length), edge, edge, new Columns(SPAN, 100)),
      ).toEqual({
        x: array(),
        y: array(),
      });
    }
  });

  it("has few points for many steps and includes the extremes", () => {
    const lr = Float64Array.from({ length: 20_000 }, (_, i) => 1e-3 * 1000 ** (i / 20_000));
    const low = lr.map((_, i) => (i === 7777 ? -9 : -1));
    const high = lr.map((_, i) => (i === 5555 ? 9 : 1));
    const { y } = outline(lr, low, high, new Columns(SPAN, 200));
    expect(y.length).toBeLessThan(1000);
    expect([Math.min(...y), Math.max(...y)]).toEqual([-9, 9]);
  });
});
