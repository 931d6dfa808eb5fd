import { describe, expect, it } from "vitest";
import { columnOf, Columns, type Points, decimated, Decimator } from "../../src/numeric/decimation";
import { below, seeded } from "../random";

const span = { low: 1e-6, high: 1 };

function ladder(steps: number): Float64Array {
  return Float64Array.from({ length: steps }, (_, i) => 1e-6 * 1e6 ** ((i + 1) / steps));
}

function drawn(lr: Float64Array, loss: Float64Array, starts = [0], columns = 600): Points {
  return new Decimator(new Columns(span, columns)).extend(lr, loss, starts);
}

describe("columnOf", () => {
  it("has columns of equal width on the logarithmic axis", () => {
    expect(columnOf(1.01e-6, span, 6)).toBe(0);
    expect(columnOf(2e-3, span, 6)).toBe(3);
    expect(columnOf(0.5, span, 6)).toBe(5);
  });
});

describe("decimated", () => {
  it("draws every row if there are few", () => {
    const lr = ladder(100);
    const loss = lr.map((x) => Math.log(x));
    const points = drawn(lr, loss);
    expect(points.x).toEqual(lr);
    expect(points.y).toEqual(loss);
  });

  it("breaks the line at a non-finite loss and at a row that has not arrived", () => {
    const lr = Float64Array.of(1e-5, 1e-4, NaN, 1e-3, 1e-2);
    const loss = Float64Array.of(1, Infinity, NaN, 2, 3);
    const points = drawn(lr, loss);
    expect([...points.y]).toEqual([1, NaN, 2, 3]);
    expect(points.x.every((x) => x > 0 && Number.isFinite(x))).toBe(true);
  });

  it("breaks the line between sweeps", () => {
    const lr = Float64Array.of(1e-5, 1e-4, 1e-5, 1e-4);
    const points = drawn(lr, Float64Array.of(1, 2, 3, 4), [0, 2]);
    expect([...points.y]).toEqual([1, 2, NaN, 3, 4]);
  });

  it("omits rates that a logarithmic axis cannot show", () => {
    const lr = Float64Array.of(0, -1, Infinity, 1e-3);
    const points = drawn(lr, Float64Array.of(1, 2, 3, 4));
    expect([...points.x]).toEqual([1e-3]);
  });

  it("is empty without rows", () => {
    const points = drawn(new Float64Array(0), new Float64Array(0));
    expect(points.x).toHaveLength(0);
  });

  it.each(Array.from({ length: 50 }, (_, seed) => seed))(
    "keeps the extremes of every pixel column, in order, with few points (seed %i)",
    (seed) => {
      const random = seeded(seed);
      const columns = 50 + below(random, 400);
      const lr = ladder(3 * columns + below(random, 20_000));
      const loss = lr.map(() => {
        const u = random();
        if (u < 0.01) return NaN;
        return u > 0.995 ? 1e6 * random() : random();
      });
      const points = decimated(lr, loss, new Columns(span, columns));

      const least = new Map<number, number>();
      const most = new Map<number, number>();
      loss.forEach((value, i) => {
        if (!Number.isFinite(value)) return;
        const column = columnOf(lr[i]!, span, columns);
        least.set(column, Math.min(value, least.get(column) ?? Infinity));
        most.set(column, Math.max(value, most.get(column) ?? -Infinity));
      });
      const byColumn = new Map<number, number[]>();
      points.x.forEach((x, i) => {
        if (i > 0) expect(x).toBeGreaterThanOrEqual(points.x[i - 1]!);
        const value = points.y[i]!;
        if (Number.isNaN(value)) return;
        const column = columnOf(x, span, columns);
        byColumn.set(column, [...(byColumn.get(column) ?? []), value]);
      });
      expect([...byColumn.keys()].sort()).toEqual([...least.keys()].sort());
      for (const [column, values] of byColumn) {
        expect(Math.min(...values)).toBe(least.get(column));
        expect(Math.max(...values)).toBe(most.get(column));
      }
    },
  );

  it("has a bounded number of points for any number of rows", () => {
    const lr = ladder(100_000);
    const points = decimated(lr, lr.map(Math.sin), new Columns(span, 800));
    expect(points.x.length).toBeLessThanOrEqual(2 * 801);
  });

  it("keeps only two rows on each side of the axis", () => {
    const lr = ladder(5000);
    const loss = lr.map((x) => Math.log(x));
    const zoomed = { low: lr[2000]!, high: lr[2100]! };
    const { x } = decimated(lr, loss, new Columns(zoomed, 200));
    const shown = lr.subarray(2000, 2101);
    expect([...x]).toEqual([lr[0], lr[1999], ...shown, lr[2101], lr[4999]]);
  });

  it("can start at any row", () => {
    const lr = ladder(10);
    const line = new Decimator(new Columns(span, 600), 7);
    expect([...line.extend(lr, lr, []).x]).toEqual([...lr.subarray(7)]);
  });
});
